# SPDX-License-Identifier: MIT
"""Do the tests exist that the documentation says would fail?"""
import fnmatch
import itertools
import re
import unittest

from frontdoor.paths import PROJECT

GUIDE = (PROJECT / "Documentation/gpu/drm-userptr.rst").read_text()
KUNIT = PROJECT / "drivers/gpu/drm/userptr/tests"
IGT = PROJECT / "igt-tests"


def section(title):
    """The text below a heading, up to the next one."""
    return re.search(rf"^{re.escape(title)}\n=+\n(.*?)(?=^[^\n]+\n=+$|\Z)", GUIDE, re.M | re.S)[1]


def kunit_cases():
    return {name for path in KUNIT.glob("*.c") for name in re.findall(r"KUNIT_CASE\w*\((\w+)", path.read_text())}


def subtests():
    """name@subtest of all our IGT tests, %s filled in with the values that its comment lists."""
    found = set()
    for path in IGT.glob("vgem_userptr_*.c"):
        for block in re.split(r"SUBTEST: ", path.read_text())[1:]:
            comment = block.partition("*/")[0].partition("SUBTEST:")[0]
            name = comment.split("\n", 1)[0].strip()
            values = [re.split(r",\s*", re.sub(r"\n \*\s+", " ", v).strip())
                      for v in re.findall(r"arg\[\d\]\.values: ((?:.|\n \*\s{4,})*)", comment)]
            for pick in itertools.product(*values):
                found.add(f"{path.stem.removeprefix('vgem_userptr_')}@{name.replace('%s', '{}').format(*pick)}")
    return found


def named(text):
    """The subtests that a text names, as patterns."""
    return [name.replace("\\", "") for name in re.findall(r"[\w-]+\\@(?:[\w-]|\\\*)+", text)]


class Documentation(unittest.TestCase):
    def test_every_point_names_tests_that_exist(self):
        cases, igt = kunit_cases(), subtests()
        rows = re.split(r"\n   \* - ", section("What tells"))[2:]
        self.assertEqual([int(row.split(",")[0]) for row in rows], list(range(1, 13)))
        for row in rows:
            point, unit, user = row.split("\n     - ")
            for name in re.findall(r"\w+", unit):
                self.assertIn(name, cases, point)
            for name in named(user):
                self.assertTrue(fnmatch.filter(igt, name), f"{point}: {name}")

    def test_every_bug_names_a_test_that_exists(self):
        igt, names = subtests(), named(section("Bugs of the field"))
        self.assertTrue(names)
        for name in names:
            self.assertTrue(fnmatch.filter(igt, name), name)


if __name__ == "__main__":
    unittest.main()
