# SPDX-License-Identifier: MIT
"""Find what must not be in a kernel's log.

Only the kernel's own lines count (they carry a time stamp): tests print the
word WARNING too. What IGT writes into the log about itself does not count.
"""

import re

KERNEL_LINE = re.compile(r"\[ *\d+\.\d{6}\](?:\[ *[TC]\d+\])? (?!\[IGT\]|IGT:|frontdoor: )(.*)")

BAD = re.compile("|".join((
    r"Kernel panic", r"\bBUG: ", r"kernel BUG at", r"\bWARNING: ", r"-+\[ cut here \]-+",
    r"INFO: (possible|task|rcu|trying|suspicious)", r"rcu: INFO", r"suspicious RCU",
    r"\bOops\b", r"general protection fault", r"[Uu]nable to handle", r"Call Trace:",
    r"\bKASAN\b", r"\bUBSAN\b", r"\bODEBUG\b", r"\bBad page", r"(soft lockup|hard LOCKUP)",
    r"list_(add|del) corruption", r"refcount_t: ", r"workqueue lockup", r"stack-protector:",
    r"kmemleak: (?!Kernel memory leak detector initialized|Automatic memory scanning thread)",
    r"DMA-API: (?!preallocated|debugging enabled|debugfs)",
    r"sysrq: (?!HELP)", r"lockdep is turned off", r"blocked for more than \d+ seconds",
    r"double free|use-after-free|bad unlock balance|held lock freed",
    r"\*ERROR\*.*userptr", r"^Out of memory: ",
)))

# A control group's limit that is hit is a test's own doing, and the call trace
# that comes with it no bug. (Of the whole guest's memory it is: see BAD.)
OOM_TRACE = re.compile(r" invoked oom-killer: ")

CONTEXT = 25        # lines that follow the first bad one and are shown with it


def kernel_text(line):
    """What the kernel said in this console line, or None."""
    match = KERNEL_LINE.search(line)
    return match[1] if match else None


def scan(lines, allowed=()):
    """Reports found in a console log, each a list of lines beginning with the bad one."""
    allow = [re.compile(a) for a in allowed]
    reports, room, oom = [], 0, False
    for line in lines:
        text = kernel_text(line)
        if text is None:
            continue
        bad = BAD.search(text) and not any(a.search(text) for a in allow)
        if oom and "Call Trace:" in text:
            bad = oom = False
        oom = oom or bool(OOM_TRACE.search(text))
        if room:
            reports[-1].append(line.rstrip())
            room -= 1
        elif bad:
            reports.append([line.rstrip()])
            room = CONTEXT
    return reports
