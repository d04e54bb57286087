# SPDX-License-Identifier: MIT
"""The KUnit lanes: suites run while the kernel boots (or a module loads) and
report in KTAP on the console; the kernel's own parser reads it."""

import re
import subprocess
import sys
import json

from .results import FAIL, PASS, SKIP, Result

# Runs the kernel's kunit_parser, which keeps global state, in a process of its own.
PARSE = r"""
import json, sys
sys.path.insert(0, sys.argv[1])
import kunit_parser
from kunit_printer import Printer
def tree(test):
    return {"name": test.name, "status": test.status.name, "why": test.skip_reason, "log": test.log,
            "tests": [tree(t) for t in test.subtests]}
json.dump(tree(kunit_parser.parse_run_tests(json.load(sys.stdin), Printer(print=False))), sys.stdout)
"""


def documents(lines):
    """Split a console log into KTAP documents: the boot's, and one for each module with suites."""
    found = []
    for line in lines:
        if re.search(r"\] KTAP version \d+\s*$", line) or line.startswith("KTAP version"):
            found.append([])
        if found:
            found[-1].append(line)
    return found


def parse(lines, parser, lane):
    """Results named suite.case or suite.case[parameter]."""
    results = []
    for document in documents(lines):
        child = subprocess.run([sys.executable, "-B", "-c", PARSE, str(parser)], input=json.dumps(document),
                               stdout=subprocess.PIPE, text=True)
        if child.returncode:
            results.append(Result("ktap", lane, FAIL, why="the kernel's KTAP parser failed"))
            continue
        for suite in json.loads(child.stdout)["tests"]:
            results += _suite(suite, lane)
    return results


def _suite(suite, lane):
    results = []
    for case in suite["tests"]:
        for name, leaf in _leaves(case, case["name"]):
            results.append(Result(f"{suite['name']}.{name}", lane, *_status(leaf)))
    # A suite can fail, or crash, by itself: in its init or exit, or by losing its end.
    status, seconds, why = _status(suite)
    if status == FAIL and not any(r.status == FAIL for r in results):
        results.append(Result(suite["name"], lane, status, seconds, why))
    if not suite["tests"] and status != FAIL:
        results.append(Result(suite["name"], lane, SKIP if status == SKIP else FAIL, why="suite without a test"))
    return results


def _leaves(test, name):
    if not test["tests"]:
        yield name, test
        return
    for sub in test["tests"]:
        yield from _leaves(sub, f"{name}[{sub['name']}]")
    if test["status"] not in ("SUCCESS", "SKIPPED") and \
       all(t["status"] in ("SUCCESS", "SKIPPED") for t in test["tests"]):
        yield name, dict(test, tests=[])


def _status(test):
    log = "\n".join(test["log"])
    if test["status"] == "SUCCESS":
        return PASS, 0.0, ""
    if test["status"] == "SKIPPED":
        return SKIP, 0.0, test["why"] or "no reason given"
    return FAIL, 0.0, f"{test['status'].lower().replace('_', ' ')}\n{log}"
