# SPDX-License-Identifier: MIT
"""Debian's own kernel, with our drivers as out-of-tree modules."""
from . import ui
def machine(source):
    raise ui.Failure("RIG=debian is not there yet")
