# SPDX-License-Identifier: MIT
"""Rigs (a kernel on a machine) and lanes (a kind of test on a rig)."""

import os
import threading

from . import cache, coverage as reached, debian, host, igt, kernel, kunit as ktap, lint, selftest, sysroot, ui
from .machine import Qemu, Uml
from .paths import BUILD, LOGS, PROJECT
from .results import FAIL, PASS, Result

RIGS = {"uml": "uml-quick", "uml-quick": "uml-quick", "uml-deep": "uml-deep", "uml-plain": "uml-plain",
        "uml-cov": "uml-cov",
        "qemu": "qemu-debug", "debian": None}
NUMA = ["numa=fake=2"]

# What of our IGT tests `make check` runs on QEMU: those whose outcome depends on
# how an mm takes pages away (huge pages, NUMA, real paging), or for which faults
# are injected: fork, huge, invalidate, observe, oracles, uffd. UML runs all
# tests, and skips what it has no memory for; `make check-full` runs them all
# under emulation, in about thrice the time.
# huge_matrix takes as long as all of these, and is for check-full only: [!x].
EMULATED = "vgem_userptr_[fhiou]*[!x]@*"
LONG = {"silence": 1200, "limit": 7200}     # one test may take minutes without a word


class Rig:
    """A kernel, the machine that runs it, and how patient to be with it."""

    def __init__(self, name, machine, built=None, slow=False, arguments=()):
        self.name, self.machine, self.kernel = name, machine, built
        self.options = {"silence": 300 if slow else 120, "limit": 3600 if slow else 1800, "arguments": list(arguments)}


def rig(source, name, plain=False):
    name = name or "uml"
    if name not in RIGS:
        raise ui.Failure(f"RIG={name} is not known; there are: {' '.join(RIGS)}")
    root = sysroot.get() / "root"
    if name == "debian":
        host.need([*host.EMULATOR, "xz-utils", "cpio", "kmod"], "running Debian's kernel")
        return Rig("debian", debian.machine(), slow=True)
    built = kernel.get(source, RIGS[name], plain)
    if name == "qemu":
        host.need(host.EMULATOR, "the QEMU rig")
        return Rig("qemu", Qemu(root, built.path, built.image, "3G"), built, slow=True, arguments=NUMA)
    return Rig(name, Uml(root, built.path, built.image), built, slow=name == "uml-deep")


def kunit(rig, glob=None):
    if rig.kernel is None:
        raise ui.Failure("Debian's kernel has no KUnit: use another RIG")
    lane = f"{rig.name}-kunit"
    options = dict(rig.options)
    if glob:
        options["arguments"] = [*options["arguments"], f"kunit.filter_glob={glob}"]
    with cache.only_one(lane), ui.Step(lane):
        outcome = rig.machine.run("kunit", BUILD / "run" / lane, LOGS / f"{lane}.console.log", **options)
    results = ktap.parse(outcome.lines, rig.kernel.kunit_parser, lane)
    why = outcome.why if results else "no test ran\n" + outcome.why
    return results + [Result("guest", lane, FAIL if why else PASS, outcome.seconds, why)]


def igt_own(rig, glob=None, long=False, together=False):
    glob = "*-long*" if long else glob
    options = dict(rig.options, **LONG) if igt.asks_for_long(glob) else dict(rig.options)
    options["arguments"] = [*options["arguments"], "kunit.enable=0"]
    lane = "debian" if rig.name == "debian" else f"{rig.name}-igt"
    return igt.run_own(rig.machine, lane, glob, share=f"{lane}-long" if long else lane, together=together, **options)


def coverage(source):
    """KUnit and our IGT tests in one guest that counts. Returns results and what was reached."""
    host.need(["gcovr"], "reading coverage")
    counting = rig(source, "uml-cov")
    lane = counting.name
    with cache.only_one("coverage"):
        results = igt.run_own(counting.machine, lane, job="coverage", **counting.options)
        results += reached.kunit_results(counting, LOGS / f"{lane}.console.log", lane)
        with ui.Step("gcovr", announce=False):
            files = reached.collect(source, counting.kernel, BUILD / "run" / lane)
    return results + reached.judge(files, lane), files


def igt_upstream(rig, which):
    options = dict(rig.options)
    options["arguments"] = [*options["arguments"], "kunit.enable=0"]
    return igt.run_upstream(rig.machine, which, **options)


class _Side:
    """A chain of lanes in a thread of its own; what goes wrong is reported, not lost."""

    def __init__(self, results, name, *jobs):
        self.results, self.name, self.jobs, self.stopped = results, name, jobs, False
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        for job in self.jobs:
            try:
                self.results.extend(job())
            except KeyboardInterrupt:
                self.stopped = True
                return
            except ui.Failure as failure:
                log = f"\nfull log: {failure.log}" if failure.log else ""
                self.results.add("set-up", self.name, FAIL, why=f"{failure}{log}")
                return
            except Exception as error:
                self.results.add("set-up", self.name, FAIL, why=f"{type(error).__name__}: {error}")
                raise

    def join(self):
        while self.thread.is_alive():       # in slices, so that Ctrl-C gets through
            self.thread.join(0.2)
        if self.stopped:
            raise KeyboardInterrupt


def check(source, results, full=False):
    """
    Lanes side by side, since many tests mostly wait; QEMU's kernel builds while
    UML's lanes run. Static checks are `make lint`, for before a submission.

    In full: every test of ours on QEMU, too, the long ones, Debian's own kernel,
    all on a kernel with KASAN and kmemleak, and static checks.
    """
    results.extend(selftest.run_all())
    quick = rig(source, None)
    igt.build()
    rigs = {"uml": quick}

    def on(name):
        if name not in rigs:
            rigs[name] = rig(source, name)
        return rigs[name]

    # As even as can be: the three run side by side, and the first takes longest.
    uml = [lambda: igt_own(quick)]
    upstream = [lambda: kunit(quick), *(lambda which=which: igt_upstream(quick, which) for which in igt.SETS)]
    qemu = [lambda: kunit(on("qemu")), lambda: igt_own(on("qemu"), None if full else EMULATED, together=not full)]
    if full:
        uml += [lambda: igt_own(quick, long=True), lambda: kunit(on("uml-deep")), lambda: igt_own(on("uml-deep"))]
        upstream += [lambda: lint.run_all(source), lambda: igt_own(on("debian"))]
        qemu += [lambda: igt_own(on("qemu"), long=True)]
    sides = [_Side(results, "uml", *uml), _Side(results, "upstream", *upstream), _Side(results, "qemu", *qemu)]
    for side in sides:
        side.join()


def record(source, only=None):
    bare = rig(source, "uml", plain=True)
    for which in [only] if only else igt.SETS:
        got, outcome = igt.record(bare.machine, which, **dict(bare.options, arguments=["kunit.enable=0"]))
        if outcome.why:
            ui.say(outcome.why)
        if not got:
            return 1
        igt.LISTS.mkdir(exist_ok=True)
        head = (f"# SPDX-License-Identifier: MIT\n# What upstream's IGT says about unmodified {which}, Linux {bare.kernel.version}, User Mode Linux.\n"
                "# Written by `make record`; binary@subtest[@dynamic],result.\n")
        (igt.LISTS / f"{which}.txt").write_text(head + "".join(f"{n},{r}\n" for n, r in sorted(got.items())))
        ui.say(f"  {igt.LISTS / which}.txt: {len(got)} results")
    return 0


def demo(source):
    """Build the demo's client in the guests' root file system and run it in a UML guest."""
    plain = rig(source, "uml-plain")
    out = BUILD / "demo"
    (out / "bin").mkdir(parents=True, exist_ok=True)
    log = LOGS / "demo-build.log"
    log.unlink(missing_ok=True)
    with ui.Step("demo client", announce=False):
        sysroot.chroot(sysroot.get(), {"project": PROJECT, "build": out / "bin"},
                       ["make", "-s", "-j2", "-C", "/project/tools/demo", "OUT=/build"], log, "the demo does not build")
    ui.say("  running the demo in a User Mode Linux guest\n")

    def show(line):
        if not _is_kernel_line(line):
            ui.say(line)
    outcome = plain.machine.run("demo", out, LOGS / "demo.console.log", silence=120, limit=900,
                                arguments=["kunit.enable=0"], on_line=show)
    if outcome.why:
        ui.say(outcome.why)
        ui.say(f"full log: {outcome.console}")
        return outcome.status or 1
    ui.say(f"\n  report: {out / 'report.html'}")
    return 0


def _is_kernel_line(line):
    from .logscan import KERNEL_LINE
    return bool(KERNEL_LINE.search(line)) or "frontdoor: " in line


def shell(source):
    guest = rig(source, os.environ.get("RIG", "uml"))
    share = BUILD / "run" / "shell"
    share.mkdir(parents=True, exist_ok=True)
    ui.say("  Ctrl-D leaves the guest; the checkout is in /project, /build is writable")
    return guest.machine.interact("shell", share)
