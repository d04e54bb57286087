# SPDX-License-Identifier: MIT
"""Static checks, as the lane `lint`.

What a check finds is a line "path:number: what"; it fails on those that
tools/lint.exceptions does not list. Kernel code is compiled, with everything
that W=1 warns of, in a tree of its own that is configured but never linked.
"""

import ast
import fnmatch
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from . import cache, host, igt, kernel, run, sysroot, ui
from .paths import BUILD, LOGS, PROJECT, TOOLS
from .results import FAIL, PASS, Result
from .tree import WorkTree

LANE = "lint"
EXCEPTIONS = TOOLS / "lint.exceptions"
PACKAGES = ["perl", "pyflakes3"]

# What checkpatch wants of kernel code and user space has not got, or does otherwise: libdrm's names, IGT's main
# function, lists of values in SUBTEST comments that must be one line.
USER_SPACE = ["ARRAY_SIZE", "BIT_MACRO", "CAMELCASE", "EMBEDDED_FUNCTION_NAME", "ENOSYS", "FUNCTION_WITHOUT_ARGS",
              "LINE_SPACING", "LONG_LINE_COMMENT", "LONG_LINE_STRING", "MINMAX", "MULTIPLE_ASSIGNMENTS",
              "PREFER_DEFINED_ATTRIBUTE_MACRO", "PREFER_KERNEL_TYPES", "SPLIT_STRING"]

# The licence of what stands below a path; the first that fits.
LICENCES = [("include/uapi/", "MIT"), ("include/", "GPL-2.0-only OR MIT"), ("drivers/", "GPL-2.0-only OR MIT"),
            ("Documentation/", "GPL-2.0-only OR MIT"), ("", "MIT")]

# Somebody's home or working directory. /root and /tmp of a guest are everybody's.
MACHINE_PATH = re.compile(r"(?<![\w.$})])/(home|Users|work|workspace)/\w|/root/[\w.]|/tmp/\w/")


def files():
    """Every file of the project, relative to it."""
    git = subprocess.run(["git", "-C", PROJECT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if git.returncode == 0 and git.stdout:
        names = os.fsdecode(git.stdout).split("\0")
    else:
        names = [p.relative_to(PROJECT).as_posix() for p in PROJECT.rglob("*")
                 if not re.search(r"(^|/)(build|__pycache__|\.git)/", p.relative_to(PROJECT).as_posix())]
    return sorted(name for name in names if name and (PROJECT / name).is_file())


class Exceptions:
    """tools/*.exceptions: after a comment that says why, lines of check, path and pattern."""

    def __init__(self, path=EXCEPTIONS):
        self.name, self.rules, self.used = path.name, [], set()
        why, fresh = [], True
        for line in path.read_text().splitlines() if path.exists() else ():
            if line.startswith("#"):
                why = why * (not fresh) + [line[1:].strip()]
                fresh = False
            elif line.strip():
                check, where, what = line.split(None, 2)
                self.rules.append((check, where, re.compile(what), line, " ".join(why)))
                fresh = True

    def reason(self, check, found):
        """Why this may stand, or None."""
        where, _, what = found.partition(":")
        for name, pattern, text, line, why in self.rules:
            if name == check and fnmatch.fnmatch(where, pattern) and text.search(what):
                self.used.add(line)
                return why
        return None

    def allow(self, check, found):
        return self.reason(check, found) is not None

    def unused(self):
        return [f"{self.name}: excuses nothing: {line}" for *_, line, _ in self.rules if line not in self.used]


class Log:
    """Commands of one check, their output in a log."""

    def __init__(self, check):
        self.path = LOGS / f"lint-{check}.log"
        self.path.unlink(missing_ok=True)

    def lines(self, command, **options):
        """Output of a command, and whether it was content."""
        seen = []
        try:
            run.logged(command, self.path, on_line=seen.append, **options)
            return [line.rstrip() for line in seen], True
        except ui.Failure:
            return [line.rstrip() for line in seen], False


def ours(names, *patterns):
    return [name for name in names if any(fnmatch.fnmatch(name, p) for p in patterns)]


def checkpatch(tree, names, log, more=()):
    """Run in the kernel's tree: only there is everything that it looks up."""
    found, good = log.lines(["perl", "scripts/checkpatch.pl", "--strict", "--terse", "--show-types", "--no-summary", *more,
                             "-f", *(PROJECT / name for name in names)], cwd=tree.src)
    found = [line.removeprefix(f"{PROJECT}/") for line in found if re.search(r":\d+: (ERROR|WARNING|CHECK):", line)]
    return found or ([] if good else [f"checkpatch.pl: failed, see {log.path}"])


class Compiled:
    """Our directories, compiled in a tree that is configured for it and goes no further."""

    def __init__(self, tree, build, names):
        self.tree, self.build, self.names = tree, build, set(names)
        self.folders = sorted({os.path.dirname(name) for name in names if name.endswith(".c")})
        build.prepare()

    def warnings(self, _):
        for folder in self.folders:     # a warning comes only with an object that is made
            for path in (self.tree.objects / folder).glob("*.o"):
                path.unlink()
        return self._make()

    def sparse(self, _):
        """Looks at every file, compiled or not."""
        found = self._make("C=2", f"CHECK={sysroot.program(sysroot.get(), 'usr/bin/sparse')}")
        text = self.build.log.read_text(errors="replace")
        missed = [name for name in sorted(self.names)
                  if name.endswith(".c") and not re.search(rf"^  CHECK .*/{re.escape(name)}$", text, re.M)]
        return found + [f"{name}:1: sparse did not look at it" for name in missed]

    def _make(self, *more):
        lines = []
        try:
            # Tests stand below what they test and are built with it.
            tops = [f for f in self.folders if os.path.dirname(f) not in self.folders]
            self.build.make("W=1", *more, *(f"{folder}/" for folder in tops), on_line=lines.append)
            good = True
        except ui.Failure:
            good = False
        found = list(dict.fromkeys(filter(None, map(self._ours, lines))))
        return found or ([] if good else [f"make: failed, see {self.build.log}"])

    def _ours(self, line):
        """What gcc or sparse said of a file of ours, with its path in the project."""
        match = re.match(r"(\S+?):(\d+):(?:\d+:)? ((?:warning|error|fatal error): .*)", line)
        if match:
            name = os.path.relpath(os.path.join(self.tree.objects, match[1]), self.tree.src)
            if name in self.names:
                return f"{name}:{match[2]}: {match[3]}"
        return None


def kernel_doc(tree, names, log):
    found, good = log.lines(["python3", "-B", "scripts/kernel-doc", "-none", "-Wall", "-Werror",
                             *(PROJECT / name for name in names)], cwd=tree.src)
    found = [line.replace(f"{PROJECT}/", "") for line in found]
    found = [re.sub(r"^(?:Warning|Error): (\S+?:\d+):? ", r"\1: ", line) for line in found if re.search(r":\d+", line)]
    return list(dict.fromkeys(found)) or ([] if good else [f"kernel-doc: failed, see {log.path}"])


def igt_doc(log):
    """igt-tests/doc_check.py on tests built in the guests' root file system."""
    igt.build()
    try:
        sysroot.chroot(sysroot.get(), {"project": PROJECT, "build": BUILD / "igt"},
                       ["make", "-s", "-C", "/project/igt-tests", "OUT=/build", "doc-check"], log.path, "doc-check")
    except ui.Failure:
        text = log.path.read_text(errors="replace").splitlines()
        return [f"igt-tests/{line}" for line in text if re.match(r"\w+: ", line)] or [f"doc-check: failed, see {log.path}"]
    return []


def python(names, log):
    names = [name for name in names if name.endswith(".py")]
    found = []
    for name in names:
        try:
            ast.parse((PROJECT / name).read_text(), name)
        except SyntaxError as error:
            found.append(f"{name}:{error.lineno}: {error.msg}")
    lines, good = log.lines(["pyflakes3", *names], cwd=PROJECT)
    found += [line for line in lines if re.match(r"\S+?:\d+", line) and line not in found]
    return found or ([] if good else [f"pyflakes3: failed, see {log.path}"])


def shell(names, log):
    found = []
    for name in names:
        first = (PROJECT / name).read_bytes()[:40].split(b"\n")[0]
        if re.match(rb"#!/bin/(ba)?sh\b", first):
            interpreter = first[2:].decode()
            lines, good = log.lines([interpreter, "-n", PROJECT / name])
            if not good:
                found += [line.replace(f"{PROJECT}/", "") for line in lines] or [f"{name}:1: {interpreter} -n fails"]
    return found


def spdx(names):
    """Each file says what its licence is, and that it is the one of its place."""
    found = []
    for name in names:
        head = (PROJECT / name).read_text(errors="replace").splitlines()[:5]
        said = re.search(r"SPDX-License-Identifier: (.+?)\s*(?:\*/|-->)?$", "\n".join(head), re.M)
        due = next(licence for place, licence in LICENCES if name.startswith(place))
        if not said:
            found.append(f"{name}:1: no SPDX-License-Identifier")
        elif said[1] != due:
            found.append(f"{name}:1: {said[1]}, should be {due}")
    return found


def paths(names):
    """No path of the machine that somebody worked on."""
    found = []
    for name in names:
        for number, line in enumerate((PROJECT / name).read_text(errors="replace").splitlines(), 1):
            if MACHINE_PATH.search(line):
                found.append(f"{name}:{number}: names a machine's path: {line.strip()[:100]}")
    return found


def _timed(name, check, exceptions):
    """One check's outcome."""
    start = time.monotonic()
    found = [line for line in check(Log(name)) if not exceptions.allow(name, line)]
    return Result(f"lint.{name}", LANE, FAIL if found else PASS, round(time.monotonic() - start, 3), "\n".join(found))


def _each(checks, exceptions):
    return [_timed(name, check, exceptions) for name, check in checks.items()]


def run_all(source):
    host.need(PACKAGES, "linting")
    names = files()
    code = ours(names, "drivers/*.[ch]", "include/*.h")
    user = ours(names, "igt-tests/*.[ch]", "tools/*.[ch]")
    exceptions = Exceptions()
    with cache.only_one(LANE), ui.Step(LANE), WorkTree(source, "lint") as tree:
        built = Compiled(tree, kernel.linting(source, tree), code)
        # Each line of checks is one thread's work, in this order; longest first.
        lines = [
            {"w1": built.warnings, "sparse": built.sparse},
            {"checkpatch": lambda log: checkpatch(tree, code, log), "kernel-doc": lambda log: kernel_doc(tree, code, log)},
            {"checkpatch-user": lambda log: checkpatch(tree, user, log, ["--ignore", ",".join(USER_SPACE)])},
            {"igt-doc": igt_doc, "python": lambda log: python(names, log), "shell": lambda log: shell(names, log),
             "spdx": lambda log: spdx(names), "paths": lambda log: paths(names)},
        ]
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            jobs = [pool.submit(_each, line, exceptions) for line in lines]
            results = [result for job in jobs for result in job.result()]
    idle = exceptions.unused()
    return results + [Result("lint.exceptions", LANE, FAIL if idle else PASS, why="\n".join(idle))]
