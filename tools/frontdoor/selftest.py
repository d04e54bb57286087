# SPDX-License-Identifier: MIT
"""The front door's own unit tests (tools/tests), as a lane of `make check`."""

import io
import sys
import unittest

from . import ui
from .paths import TOOLS
from .results import FAIL, PASS, Result


def run_all(lane="tools"):
    sys.path.insert(0, str(TOOLS))
    with ui.Step(lane, announce=False):
        suite = unittest.defaultTestLoader.discover(str(TOOLS / "tests"))
        names = [test.id() for test in _flatten(suite)]
        outcome = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
    bad = {test.id(): why for test, why in outcome.failures + outcome.errors}
    results = [Result(name, lane, FAIL if name in bad else PASS, why=bad.pop(name, "")) for name in names]
    return results + [Result(name, lane, FAIL, why=why) for name, why in bad.items()]


def _flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from _flatten(item)
        else:
            yield item
