# SPDX-License-Identifier: MIT
"""Which lines and branches of ours the tests reach.

One guest, whose kernel counts (gcov) in our files and nowhere else, runs KUnit
and our IGT tests. gcovr puts together what the compiler noted at build time
and what the kernel counted, with the host's own gcov: it is of the same
version as the compiler.

What is not reached is listed in uncovered.txt, by the reasons that are given in
tools/coverage.exceptions; what has none comes first, and its lines are shown.
"""

import json
import re
import shutil
from dataclasses import dataclass, field

from . import cache, host, kunit, run, ui
from .lint import Exceptions
from .paths import BUILD, LOGS, PROJECT, TOOLS
from .results import FAIL, PASS, Result
from .tree import WorkTree

OUT = BUILD / "coverage"
REASONS = TOOLS / "coverage.exceptions"

# What `make coverage` asks of the shared layer, in per cent. vgem is shown only.
MEASURED = "drivers/gpu/drm/userptr"
THRESHOLDS = {"lines": 95, "branches": 85}

# Branches in these are nobody's: checks that never fail, tracepoints (a static
# key), stubs (a static key), and what they make of their arguments. Only the
# branches of such a line are left out, not the line, nor what depends on it:
# `if (WARN_ON(x))` with a return below still has to reach the return.
NOBODYS = r".*\b(WARN(_ON)?(_ONCE)?|lockdep_\w+|\w+_assert_\w+|might_\w+|trace_\w+|KUNIT_STATIC_STUB_REDIRECT)\("


@dataclass
class Count:
    total: int = 0
    covered: int = 0

    def add(self, covered):
        self.total += 1
        self.covered += bool(covered)

    def percent(self):
        return 100 * self.covered / self.total if self.total else 100.0

    def __str__(self):
        return f"{self.covered:5}/{self.total:<5} {self.percent():5.1f} %" if self.total else f"{'-':>9}  {'':8}"

    def __iadd__(self, other):
        self.total += other.total
        self.covered += other.covered
        return self


@dataclass
class File:
    lines: Count = field(default_factory=Count)
    branches: Count = field(default_factory=Count)
    unreached: list = field(default_factory=list)   # line numbers
    untaken: list = field(default_factory=list)     # (line number, branches not taken, all branches)
    unexplained: list = field(default_factory=list)     # what of unreached has no reason, as text


def counted(overlay):
    """Files of ours that code is in. Tracepoints are macros, whose code is the kernel's."""
    return [name for name in sorted(overlay) if re.search(r"\.[ch]$", name) and (PROJECT / name).exists()
            and not re.search(r"/tests/|^include/(uapi|trace)/", name)]


def collect(source, kernel, share):
    """Read what a guest left in share; writes OUT. Returns {file: File}."""
    host.need(["gcovr"], "reading coverage")
    data = OUT / "data"
    cache.remove(OUT)
    shutil.copytree(kernel.gcov_notes, data)
    if (share / "gcda").is_dir():
        shutil.copytree(share / "gcda", data, dirs_exist_ok=True)
    log = LOGS / "coverage.log"
    log.unlink(missing_ok=True)
    # The compiler noted where its sources were: have them there as they were.
    with WorkTree(source, kernel.config.name) as tree:
        tree.sync(kernel.overlay)
        filters = [part for name in counted(kernel.overlay) for part in ("--filter", re.escape(name) + "$")]
        run.logged(["gcovr", "--root", tree.src, *filters, "--exclude-unreachable-branches",
                    "--exclude-branches-by-pattern", NOBODYS, "--json", OUT / "gcovr.json",
                    "--html-details", OUT / "index.html", "--html-title", "drm_userptr: what the tests reach", data],
                   log, why="gcovr failed", cwd=tree.src)
    files = read(json.loads((OUT / "gcovr.json").read_text()))
    _write(files, kernel.overlay)
    return files


def read(report):
    """gcovr's JSON (its format differs a little between versions) → {file: File}."""
    files = {}
    for entry in report["files"]:
        found = files[entry["file"]] = File()
        for line in entry["lines"]:
            if line.get("gcovr/noncode") or line.get("gcovr/excluded"):
                continue
            number = line["line_number"]
            found.lines.add(line["count"])
            branches = [b for b in line["branches"] if not b.get("gcovr/excluded")]
            for branch in branches:
                found.branches.add(branch["count"])
            if not line["count"]:
                found.unreached.append(number)
            elif untaken := sum(not b["count"] for b in branches):
                found.untaken.append((number, untaken, len(branches)))
    return files


def total(files, folder=""):
    whole = File()
    for name, found in files.items():
        if name.startswith(folder):
            whole.lines += found.lines
            whole.branches += found.branches
    return whole


def judge(files, lane):
    """The thresholds, as tests."""
    whole = total(files, MEASURED)
    results = []
    for what, least in THRESHOLDS.items():
        count = getattr(whole, what)
        good = count.total and count.percent() >= least
        results.append(Result(f"coverage.{what}", lane, PASS if good else FAIL,
                              why="" if good else f"{count.percent():.1f} % of {MEASURED}, should be {least} %"))
    return results


def show(files):
    """A table that ends with what counts."""
    names = sorted(files, key=lambda name: (name.startswith(MEASURED), name))
    width = max(map(len, names + [MEASURED]), default=0)
    ui.say(f"\n  {'':{width}}  {'lines':^20} {'branches':^20}")
    for name in names:
        ui.say(f"  {name:{width}}  {files[name].lines}  {files[name].branches}")
    whole = total(files, MEASURED)
    unexplained = [place for name in names if name.startswith(MEASURED) for place in files[name].unexplained]
    if unexplained:
        ui.say(f"\n  Neither reached nor explained in {REASONS.relative_to(PROJECT)}:")
        for place in unexplained:
            ui.say(f"  {place}")
    ui.say(f"\n  {OUT / 'index.html'}, {OUT / 'uncovered.txt'}")
    ui.say(f"  {MEASURED:{width}}  {whole.lines}  {whole.branches}")


def _write(files, overlay):
    def numbers(found):
        return {what: {"covered": count.covered, "total": count.total, "percent": round(count.percent(), 1)}
                for what, count in (("lines", found.lines), ("branches", found.branches))}
    whole = {"thresholds": {"folder": MEASURED, **THRESHOLDS}, "total": numbers(total(files, MEASURED)),
             "files": {name: numbers(found) for name, found in files.items()}}
    (OUT / "coverage.json").write_text(json.dumps(whole, indent=1) + "\n")

    reasons = {None: []}
    exceptions = Exceptions(REASONS)
    for name, found in files.items():
        text = overlay[name].decode().splitlines()
        places = [(n, "line", "not reached") for n in found.unreached]
        places += [(n, "branch", f"{untaken} of {of} branches not taken") for n, untaken, of in found.untaken]
        for n, kind, what in sorted(places):
            code = f"{enclosing(text, n)}: {text[n - 1].strip()}"
            why = exceptions.reason(kind, f"{name}:{code}")
            reasons.setdefault(why, []).append(f"{name}:{n}: {what}: {code}")
            if kind == "line" and why is None:
                found.unexplained.append(reasons[why][-1])
    (OUT / "uncovered.txt").write_text("\n".join(
        f"# {why or 'No reason is given for these'}\n" + "".join(place + "\n" for place in places)
        for why, places in reasons.items() if places))


def enclosing(text, number):
    """The name of the function that a line is in."""
    for line in reversed(text[:number]):
        if found := re.match(r"(?!EXPORT|DEFINE|MODULE)(?:\w[\w\s*]*\W)?(\w+)\(", line):
            return found[1]
    return ""


def kunit_results(rig, console, lane):
    """What the suites said that ran while the guest booted."""
    found = kunit.parse(console.read_text(errors="replace").splitlines(), rig.kernel.kunit_parser, lane)
    return found or [Result("kunit", lane, FAIL, why="no suite ran")]
