# SPDX-License-Identifier: MIT
"""One function for each make target."""

import os
import re
import signal
import sys

from . import coverage as reached, lanes, lint, report, run, tree, ui
from .paths import BUILD, CACHE, LOGS
from .results import FAIL, Results


def _source():
    ksrc = os.environ.get("KSRC")
    return tree.users_source(ksrc) if ksrc else tree.debian_source()


def _finish(results, folder):
    """Write everything, show the failures, and the verdict last."""
    results.write(folder)
    report.write(results, folder / "report.html")
    for test in results.tests:
        if test.status == FAIL:
            ui.say(f"\nFAILED {test.lane}: {test.name}")
            ui.say("    " + "\n    ".join(test.why.splitlines()[:30]))
    ui.say()
    for lane in results.lanes():
        ui.say(f"  {lane:16} {results.verdict(lane)}")
    ui.say(f"  report: {folder / 'report.html'}, logs: {LOGS}")
    if not results.tests:
        ui.say("  no test ran: that is a failure")
    ui.say(results.verdict())
    return 0 if results.ok() else 1


def kunit():
    """KUnit suites (T=<glob> RIG=uml|uml-deep|uml-plain|qemu)"""
    results = Results()
    rig = lanes.rig(_source(), os.environ.get("RIG"))
    results.extend(lanes.kunit(rig, os.environ.get("T")))
    return _finish(results, BUILD / "kunit")


def igt_tests():
    """our IGT tests (T=<glob> RIG=uml|uml-deep|uml-plain|qemu|debian)"""
    results = Results()
    rig = lanes.rig(_source(), os.environ.get("RIG"))
    results.extend(lanes.igt_own(rig, os.environ.get("T")))
    return _finish(results, BUILD / "igt-results")


def check(full=False):
    """everything: KUnit and IGT on both rigs, and upstream's IGT tests"""
    results = Results()
    try:
        lanes.check(_source(), results, full)
    except ui.Failure as failure:
        results.add("set-up", "check", FAIL, why=f"{failure}\nfull log: {failure.log}")
    return _finish(results, BUILD / "check")


def check_full():
    """check, and what takes hours: the long tests, all on QEMU, Debian's kernel, KASAN and kmemleak"""
    return check(full=True)


def coverage():
    """which lines KUnit and our IGT tests reach; fails below the thresholds"""
    results = Results()
    found, files = lanes.coverage(_source())
    results.extend(found)
    status = _finish(results, reached.OUT)
    reached.show(files)
    return status


def static():
    """static checks: checkpatch, W=1, sparse, kernel-doc, licences and more"""
    results = Results()
    results.extend(lint.run_all(_source()))
    return _finish(results, BUILD / "lint")


def demo():
    """user memory becomes a job on vgem's engine, pictures and all"""
    return lanes.demo(_source())


def shell():
    """a shell in a User Mode Linux guest with vgem and vkms loaded"""
    return lanes.shell(_source())


def clean():
    """remove build/ (the cache stays)"""
    from . import cache
    cache.remove(BUILD)
    print(f"The cache stays: rm -rf {CACHE} removes it too.")
    return 0


def record():
    """write igt-tests/lists/ anew, from the unmodified drivers (T=vgem or vkms)"""
    return lanes.record(_source(), os.environ.get("T"))


def help():
    """this list"""
    print("Usage: make TARGET [RIG=...] [T=...] [KSRC=/path/to/linux] [UPSTREAM=no]\n")
    for name, function in TARGETS.items():
        print(f"  {name:10} {function.__doc__}")
    print(f"\nResults go to build/, what is kept between runs to {CACHE}.")
    return 0


TARGETS = {"help": help, "demo": demo, "check": check, "check-full": check_full, "kunit": kunit, "igt": igt_tests,
           "coverage": coverage, "lint": static, "shell": shell, "record": record, "clean": clean}


def main(arguments):
    target = arguments[0] if arguments else "help"
    if target not in TARGETS:
        print(f"unknown target {target}; make help lists them", file=sys.stderr)
        return 2
    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, signal.default_int_handler)
    try:
        return TARGETS[target]()
    except KeyboardInterrupt:
        run.stop_all()
        ui.say("stopped; start it again any time, finished steps are kept")
        return 130
    except ui.Failure as failure:
        run.stop_all()
        ui.say(f"\n{target}: {failure}")
        if failure.log:
            for line in _tail(failure.log, 12):
                ui.say("    " + line)
            ui.say(f"full log: {failure.log}")
        return 1


def _tail(path, count):
    """The end of a log, preceded by the first lines in it that look like the cause."""
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    causes = [i for i, line in enumerate(lines[:-count]) if re.search(r"\berror\b|\*\*\* |^E: ", line)][:10]
    return [lines[i] for i in causes] + (["..."] if causes else []) + lines[-count:]
