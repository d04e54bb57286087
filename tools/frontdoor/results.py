# SPDX-License-Identifier: MIT
"""What the tests said, and the files that tell it: results.json, junit.xml."""

import json
import threading
from dataclasses import asdict, dataclass
from xml.sax.saxutils import escape, quoteattr

PASS, FAIL, SKIP = "pass", "fail", "skip"


@dataclass
class Result:
    name: str
    lane: str
    status: str
    seconds: float = 0.0
    why: str = ""


class Results:
    def __init__(self):
        self.tests = []
        self._lock = threading.Lock()

    def add(self, name, lane, status, seconds=0.0, why=""):
        with self._lock:
            self.tests.append(Result(name, lane, status, round(seconds, 3), _printable(why.strip())))

    def extend(self, results):
        with self._lock:
            self.tests.extend(results)

    def count(self, status, lane=None):
        return sum(t.status == status and lane in (None, t.lane) for t in self.tests)

    def lanes(self):
        return list(dict.fromkeys(t.lane for t in self.tests))

    def ok(self):
        return bool(self.tests) and not self.count(FAIL)

    def verdict(self, lane=None):
        return ", ".join(f"{self.count(status, lane)} {word}" for status, word in
                         ((PASS, "passed"), (FAIL, "failed"), (SKIP, "skipped")))

    def write(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        whole = {"tests": [asdict(t) for t in self.tests]}
        (folder / "results.json").write_text(json.dumps(whole, indent=1) + "\n")
        (folder / "junit.xml").write_text(self._junit())

    def _junit(self):
        out = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
        for lane in self.lanes():
            tests = [t for t in self.tests if t.lane == lane]
            out.append(f'<testsuite name={quoteattr(lane)} tests="{len(tests)}" failures="{self.count(FAIL, lane)}" '
                       f'skipped="{self.count(SKIP, lane)}" time="{sum(t.seconds for t in tests):.3f}">')
            for t in tests:
                out.append(f'<testcase classname={quoteattr(lane)} name={quoteattr(t.name)} time="{t.seconds}">')
                first = quoteattr(t.why.splitlines()[0] if t.why else "")
                if t.status == FAIL:
                    out.append(f"<failure message={first}>{escape(t.why)}</failure>")
                elif t.status == SKIP:
                    out.append(f"<skipped message={first}/>")
                out.append("</testcase>")
            out.append("</testsuite>")
        return "\n".join(out + ["</testsuites>", ""])


def _printable(text):
    return "".join(c if c in "\n\t" or " " <= c and c not in "\ufffe\uffff" else "?" for c in text)
