# SPDX-License-Identifier: MIT
"""The IGT lanes: our own tests, and upstream's against recorded results.

Our tests are compiled inside the guests' root file system against Debian's
libigt. Because that library promises no stable interface, a canary with
passing, failing and skipping subtests goes first; its outcomes must be
exactly those of igt-tests/canary.expected, and count as one test.
"""

import fnmatch
import json
import os
import re
import shlex
from contextlib import contextmanager

from . import cache, sysroot, ui
from .cache import only_one
from .paths import BUILD, LOGS, PROJECT
from .results import FAIL, PASS, SKIP, Result

TESTS = PROJECT / "igt-tests"
LISTS = TESTS / "lists"
CANARY = "drm_userptr_canary"
LONG = "^igt@[^@]*@[^@]*-long$"         # subtests that only run when T= says "long"
UPSTREAM = "/usr/libexec/igt-gpu-tools"

# What of upstream's IGT bears on vgem and vkms. core_hotunplug kills a vgem
# run; kms_cursor_crc and kms_cursor_edge_walk trip over a use-after-free that
# unmodified vkms has.
BOTH = ["dumb_buffer", "core_auth", "core_debugfs", "core_getclient", "core_getstats", "core_getversion",
        "core_setmaster", "core_setmaster_vs_auth", "core_sysfs", "drm_read"]
FENCES = ["vgem_basic", "vgem_slow", "dmabuf_sync_file", "sw_sync", "syncobj_basic", "syncobj_eventfd",
          "syncobj_timeline", "syncobj_wait", "dmabuf"]
KMS = ["vgem_basic@dmabuf-export", "kms_prop_blob", "kms_properties", "kms_getfb", "kms_rmfb", "kms_sequence",
       "kms_debugfs", "kms_invalid_mode", "kms_addfb_basic", "kms_atomic", "kms_vblank", "kms_lease", "kms_writeback",
       "kms_pipe_crc_basic", "kms_prime", "vkms_configfs"]
SETS = {"vgem": (BOTH + FENCES, ["vgem"]), "vkms": (BOTH + KMS, ["vkms"])}
NEVER_END = ["kms_invalid_mode@int-max-clock", "kms_invalid_mode@overflow-vrefresh"]    # on vkms


def build():
    """Compile our tests; returns the directory they are in."""
    out = BUILD / "igt"
    out.mkdir(parents=True, exist_ok=True)
    log = LOGS / "igt-build.log"
    log.unlink(missing_ok=True)
    with only_one("igt-build"), ui.Step("igt-tests", announce=False):
        sysroot.chroot(sysroot.get(), {"project": PROJECT, "build": out},
                       ["make", "-s", "-j2", "-C", "/project/igt-tests", "OUT=/build"],
                       log, "igt-tests do not build")
    return out


def _pattern(glob):
    """A T= pattern, on binary@subtest; a bare word means any name that contains it."""
    return glob if re.search(r"[*?@]", glob) else f"*{glob}*"


def asks_for_long(glob):
    """Does T= ask for the subtests that take long? They may also take their time."""
    return "long" in (glob or "")


def glob_to_regex(glob):
    """A T= pattern as the runner wants it."""
    body = fnmatch.translate(_pattern(glob)).replace(r"\Z", "").replace("(?s:", "(?:")
    return f"^igt@{body}(@.*)?$"


def run_own(machine, lane, glob=None, job="igt", share=None, together=False, **options):
    """Our own suite, canary first; job may do more beside it. Returns results.

    together: one process for all subtests of a program, which then do not start anew. Starting is most of what they
    do where the CPU is emulated.
    """
    tests, name, long = build(), share or lane, asks_for_long(glob)
    with _share(name) as share:
        _link_tree(tests, share / "igt", glob)
        _job(share, modules=["vgem", "vkms"], directory="/build/igt", canary=not glob,
             include=glob_to_regex(glob or "*"), exclude=f"^igt@{CANARY}" + ("" if long else f"|{LONG}"),
             patience=600 if long else 60, together=together)
        outcome = _run(machine, name, share, job, **options)
        results = read(share / "results", lane)
        if not glob:
            results.insert(0, canary(share / "canary", lane))
    return _with_outcome(results, outcome, lane)


def run_upstream(machine, which, lane="igt-upstream", **options):
    """Upstream's prebuilt tests, judged by what the unmodified driver does."""
    expected = read_list(LISTS / f"{which}.txt")
    names = sorted({"@".join(name.split("@")[:2]) for name in expected})
    with _share(f"{lane}-{which}") as share:
        _job(share, modules=SETS[which][1], directory=UPSTREAM, force=which, names=names)
        outcome = _run(machine, f"{lane}-{which}", share, "igt", **options)
        results = compare(read(share / "results", lane, raw=True), expected, flakes(), lane, which)
    return _with_outcome(results, outcome, lane)


def record(machine, which, **options):
    """Run a set on an unmodified kernel; returns {binary@subtest: result} and the outcome."""
    binaries, modules = SETS[which]
    with _share(f"record-{which}") as share:
        _job(share, modules=modules, directory=UPSTREAM, force=which,
             include="^igt@(%s)(@.*)?$" % "|".join(binaries), exclude="^igt@(%s)$" % "|".join(NEVER_END))
        outcome = _run(machine, f"record-{which}", share, "igt", **options)
        return {r.name: r.status for r in read(share / "results", which, raw=True)}, outcome


@contextmanager
def _share(lane):
    """An empty directory for a lane's guest to write to."""
    with only_one(lane):
        path = BUILD / "run" / lane
        cache.remove(path)
        path.mkdir(parents=True)
        yield path


def _link_tree(source, target, glob):
    """The built tests as this lane's guest will see them, whatever is rebuilt meanwhile."""
    target.mkdir()
    for path in source.iterdir():
        if path.is_file() and path.suffix not in (".o", ".d", ".txt"):
            (target / path.name).hardlink_to(path)
    programs = candidates((source / "test-list.txt").read_text().split()[1:-2], glob)
    (target / "test-list.txt").write_text("TESTLIST\n" + " ".join(programs) + "\nEND TESTLIST\n")


def candidates(programs, glob):
    """Programs that may have subtests of a T= pattern: the runner asks each for its list, which takes a while."""
    name, at, _ = _pattern(glob or "*").partition("@")
    program = name if at else re.split(r"[*?]", name)[0] + "*"
    return [name for name in programs if fnmatch.fnmatch(name, program)] or programs


def _job(share, modules, directory, force="", canary=False, names=None, include=None, exclude=None, patience=60,
         together=False):
    (share / "modules").write_text("\n".join(modules) + "\n")
    env = [f"TESTS={directory}", f"FORCE={force}", f"CANARY={'^igt@' + CANARY if canary else ''}",
           f"PATIENCE={patience}", f"TOGETHER={'--multiple-mode' if together else ''}", f"SEED={shlex.quote(os.environ.get('SEED', ''))}"]
    if names is not None:
        (share / "tests").write_text("".join(f"igt@{n}\n" for n in names))
        env.append("SELECT='--test-list /build/tests'")
    else:
        (share / "include").write_text(include + "\n")
        (share / "exclude").write_text(exclude + "\n")
        env.append("SELECT=")
    (share / "env").write_text("\n".join(env) + "\n")


def _run(machine, lane, share, job, **options):
    with ui.Step(f"{lane}") as step:
        def on_line(line):
            if m := re.match(r"\[[\d.]+\] \[(\d+)/(\d+)\]", line):
                step.progress = f"test {m[1]} of {m[2]}"
        outcome = machine.run(job, share, LOGS / f"{lane}.console.log", on_line=on_line, **options)
    if (share / "results/metadata.txt").exists() and not (share / "results/results.json").exists():
        # The guest died: what was run up to then still counts.
        sysroot.chroot(sysroot.get(), {"build": share}, ["igt_results", "/build/results"],
                       LOGS / f"{lane}.results.log", "igt_results failed")
    return outcome


def _with_outcome(results, outcome, lane):
    """The run as a whole is a test too: it fails on a dirty log, a hang, or when nothing ran."""
    why = outcome.why
    if not results:
        why = "no test ran\n" + why
    results.append(Result("guest", lane, FAIL if why else PASS, outcome.seconds, why))
    return results


def read(folder, lane, raw=False):
    """results.json of igt_runner → our results (raw: IGT's own result words)."""
    path = folder / "results.json"
    if not path.exists():
        return []
    results = []
    for name, data in json.loads(path.read_text(errors="replace"))["tests"].items():
        word, name = data["result"], name.removeprefix("igt@")
        if name.startswith(CANARY) and not raw:
            continue
        status = word if raw else {"pass": PASS, "skip": SKIP}.get(word, FAIL)
        seconds = data.get("time", {}).get("end", 0) - data.get("time", {}).get("start", 0)
        results.append(Result(name, lane, status, round(max(seconds, 0), 3), _why(word, data)))
    return results


def _why(word, data):
    if word == "pass":
        return ""
    said = data.get("out", "") + "\n" + data.get("err", "")
    if word == "skip":
        found = re.search(r"Test requirement not met.*|^SKIP.*|.*No known gpu found.*", said, re.M)
        reason = re.search(r"^Test requirement: (.*)", said, re.M)
        return (reason or found)[0] if reason or found else "skipped"
    critical = re.findall(r"CRITICAL: (.*)", said.partition("**** DEBUG ****")[0])
    parts = [word] + (critical or said.strip().splitlines()[-25:])
    if word.startswith("dmesg") or word in ("incomplete", "timeout", "crash", "abort"):
        parts += ["kernel log:"] + data.get("dmesg", "").splitlines()[-40:]
    return "\n".join(parts)


def canary(folder, lane):
    """One result: do libigt and our declarations of it still agree?"""
    name = f"{CANARY}@results"
    expected = read_list(TESTS / "canary.expected")
    got = {r.name.removeprefix(CANARY + "@"): r.status for r in read(folder, lane, raw=True)}
    wrong = [f"{test}: {got.get(test, 'did not run')}, should be {result}"
             for test, result in expected.items() if got.get(test) != result]
    wrong += [f"{test}: {result}, is not in canary.expected" for test, result in got.items() if test not in expected]
    return Result(name, lane, FAIL if wrong or not expected else PASS, why="\n".join(wrong))


def read_list(path):
    """A list file: name,result in each line; # begins a comment."""
    found = {}
    if path.exists():
        for line in path.read_text().splitlines():
            line = line.partition("#")[0].strip()
            if line:
                name, _, result = line.partition(",")
                found[name.strip()] = result.strip()
    return found


def flakes():
    """{pattern: reason} of tests whose outcome varies on unmodified drivers."""
    found, reason = {}, []
    path = LISTS / "flakes.txt"
    for line in path.read_text().splitlines() if path.exists() else ():
        if line.startswith("#"):
            reason.append(line.lstrip("# "))
        elif line.strip():
            found[line.strip()] = " ".join(reason)
        else:
            reason = []
    return found


def compare(got, expected, flaky, lane, which):
    """Only skip → pass may differ from the list."""
    results = []
    for r in got:
        was = expected.pop(r.name, None)
        flake = next((why for pattern, why in flaky.items() if fnmatch.fnmatch(r.name, pattern)), None)
        name = f"{which}/{r.name}"
        if r.status == "pass":
            results.append(Result(name, lane, PASS, r.seconds))
        elif r.status == "skip" and was in ("skip", None):
            results.append(Result(name, lane, SKIP, r.seconds, r.why))
        elif r.status == was:
            results.append(Result(name, lane, SKIP, r.seconds, f"known: {was} on the unmodified driver too"))
        elif flake is not None:
            results.append(Result(name, lane, SKIP, r.seconds, f"flake, {r.status} this time: {flake}"))
        else:
            results.append(Result(name, lane, FAIL, r.seconds, f"was {was or 'not there'}, now {r.why or r.status}"))
    for name, was in expected.items():
        # A subtest that used to skip as a whole may now have dynamic parts instead, and the other way round.
        if was == "skip" and any(r.name.startswith(name + "@") for r in got):
            continue
        if any(fnmatch.fnmatch(name, pattern) for pattern in flaky):
            continue
        results.append(Result(f"{which}/{name}", lane, FAIL, why=f"was {was}, did not run"))
    return results
