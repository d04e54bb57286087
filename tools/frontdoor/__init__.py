# SPDX-License-Identifier: MIT
"""The front door: from a bare Debian machine to a tested kernel.

Read in this order: cli (what each make target does), sysroot, tree and
kernel (what is built, cached by content), machine (how a guest runs), kunit
and igt (what runs in it), results and report (what comes out).
"""
