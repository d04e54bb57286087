# SPDX-License-Identifier: MIT
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from frontdoor import coverage
from frontdoor.results import FAIL, PASS


def line(number, count, *branches, **more):
    return {"line_number": number, "count": count, "branches": [{"count": b} for b in branches], **more}


class Read(unittest.TestCase):
    FILE = coverage.MEASURED + "/a.c"

    def read(self, *lines, name=FILE):
        return coverage.read({"files": [{"file": name, "lines": list(lines)}]})

    def test_counts(self):
        found = self.read(line(1, 2, 1, 1), line(2, 0, 0, 0), line(3, 5, 5, 0))[self.FILE]
        self.assertEqual((found.lines.covered, found.lines.total), (2, 3))
        self.assertEqual((found.branches.covered, found.branches.total), (3, 6))
        self.assertEqual(found.unreached, [2])
        self.assertEqual(found.untaken, [(3, 1, 2)])

    def test_excluded(self):
        excluded = line(3, 1, 1)
        excluded["branches"].append({"count": 0, "gcovr/excluded": True})
        found = self.read(line(1, 0, **{"gcovr/noncode": True}), line(2, 0, **{"gcovr/excluded": True}), excluded)
        self.assertEqual((found[self.FILE].lines.total, found[self.FILE].branches.total), (1, 1))

    def test_thresholds(self):
        with mock.patch.object(coverage, "THRESHOLDS", {"lines": 50, "branches": 75}):
            results = coverage.judge(self.read(line(1, 1, 1, 0), line(2, 0)), "lane")
        self.assertEqual([(r.name, r.status) for r in results], [("coverage.lines", PASS), ("coverage.branches", FAIL)])

    def test_nothing_is_not_enough(self):
        self.assertEqual([r.status for r in coverage.judge({}, "lane")], [FAIL, FAIL])

    def test_only_the_shared_layer_is_judged(self):
        files = {**self.read(line(1, 1, 1)), **self.read(line(1, 0, 0), name="drivers/gpu/drm/vgem/b.c")}
        self.assertEqual([r.status for r in coverage.judge(files, "lane")], [PASS, PASS])

    def test_nobodys(self):
        import re
        for text in ("\tlockdep_assert_held(&x->lock);", "\tif (WARN_ON_ONCE(!x))", "\ttrace_drm_userptr_commit(vm, 0);",
                     "\tdrm_userptr_vm_assert_locked(vm);"):
            self.assertTrue(re.match(coverage.NOBODYS, text), text)
        for text in ("\tif (!x)", "\tif (drm_userptr_should_fail())", "\terr = traced(x);"):
            self.assertFalse(re.match(coverage.NOBODYS, text), text)


class Explain(unittest.TestCase):
    SOURCE = """\
static int *
first(int a)
{
	return a;
}
EXPORT_SYMBOL_GPL(first);

static const struct ops second_ops = {
};

int second(int a,
	   int b)
{
	if (third(a))
		goto out;
out:
	return fourth(b);
}
"""

    def test_enclosing(self):
        text = self.SOURCE.splitlines()
        self.assertEqual(coverage.enclosing(text, text.index("\treturn a;") + 1), "first")
        self.assertEqual(coverage.enclosing(text, text.index("\treturn fourth(b);") + 1), "second")
        self.assertEqual(coverage.enclosing(text, 1), "")

    def test_by_reason(self):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder)
            (out / "why").write_text("# Seldom.\n# Or never.\nline */a.c second:.*fourth\nbranch */a.c third\n")
            name = coverage.MEASURED + "/a.c"
            found = coverage.File(unreached=[4, 17], untaken=[(14, 1, 2)])
            with mock.patch.object(coverage, "OUT", out), mock.patch.object(coverage, "REASONS", out / "why"):
                coverage._write({name: found}, {name: self.SOURCE.encode()})
            text = (out / "uncovered.txt").read_text()
        self.assertEqual(found.unexplained, [f"{name}:4: not reached: first: return a;"])
        self.assertLess(text.index("first: return a;"), text.index("# Seldom. Or never."))
        self.assertLess(text.index("# Seldom. Or never."), text.index("second: return fourth(b);"))
        self.assertIn(f"{name}:14: 1 of 2 branches not taken: second: if (third(a))", text)
