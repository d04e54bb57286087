# SPDX-License-Identifier: MIT
import json
import re
import tempfile
import unittest
import xml.dom.minidom
from pathlib import Path

from frontdoor import igt, kunit, machine
from frontdoor.results import FAIL, PASS, SKIP, Result, Results


def raw(**words):
    return [Result(name.replace("__", "@"), "lane", word) for name, word in words.items()]


class Clock(unittest.TestCase):
    def test_frequency_only_where_it_is_known(self):
        known = "cpu MHz\t\t: 2300.127\nflags\t\t: fpu constant_tsc hypervisor\n"
        self.assertEqual(machine.tsc_frequency(known), ["tsc_early_khz=2300127"])
        for word in "constant_tsc", "hypervisor", "cpu MHz":
            self.assertEqual(machine.tsc_frequency(known.replace(word, "")), [])


class Programs(unittest.TestCase):
    def test_only_those_that_may_match_are_asked(self):
        programs = ["drm_userptr_canary", "vgem_userptr_basic", "vgem_userptr_fork"]
        for glob, wanted in {None: programs, "munmap": programs, "*": programs, "*@x": programs, "*fork*": programs,
                             "none@x": programs, "vgem_userptr_fork*": programs[2:], "vgem_userptr_[ab]*@op-*": programs[1:2]}.items():
            self.assertEqual(igt.candidates(programs, glob), wanted, glob)


class Upstream(unittest.TestCase):
    def judge(self, got, expected, flaky=None):
        return {r.name: r.status for r in igt.compare(got, dict(expected), flaky or {}, "lane", "vgem")}

    def test_only_skip_to_pass_may_differ(self):
        cases = {("pass", "pass"): PASS, ("pass", "skip"): FAIL, ("pass", "fail"): FAIL, ("skip", "pass"): PASS,
                 ("skip", "skip"): SKIP, ("skip", "fail"): FAIL, ("fail", "fail"): SKIP, ("fail", "crash"): FAIL,
                 ("pass", "dmesg-warn"): FAIL, ("fail", "pass"): PASS, ("pass", "notrun"): FAIL}
        for (was, now), verdict in cases.items():
            with self.subTest(was=was, now=now):
                self.assertEqual(self.judge(raw(a__b=now), {"a@b": was}), {"vgem/a@b": verdict})

    def test_a_listed_test_must_run(self):
        self.assertEqual(self.judge([], {"a@b": "pass", "a@c": "skip"}), {"vgem/a@b": FAIL, "vgem/a@c": FAIL})

    def test_a_skip_may_become_dynamic_subtests(self):
        self.assertEqual(self.judge(raw(a__b__c="pass"), {"a@b": "skip"}), {"vgem/a@b@c": PASS})

    def test_flakes(self):
        self.assertEqual(self.judge(raw(a__b="fail"), {"a@b": "pass"}, {"a@*": "slow"}), {"vgem/a@b": SKIP})


class OwnIgt(unittest.TestCase):
    def test_globs(self):
        def hits(glob, name):
            return bool(re.match(igt.glob_to_regex(glob), name))
        self.assertTrue(hits("munmap", "igt@vgem_userptr@busy-munmap"))
        self.assertTrue(hits("vgem_userptr@*munmap", "igt@vgem_userptr@busy-munmap"))
        self.assertTrue(hits("vgem_userptr@busy", "igt@vgem_userptr@busy@dynamic"))
        self.assertFalse(hits("vgem_userptr@busy", "igt@vgem_userptr@busy-munmap"))
        self.assertTrue(hits("*", "igt@anything"))

    def test_canary(self):
        with tempfile.TemporaryDirectory() as folder:
            tests = {f"igt@{igt.CANARY}@{name}": {"result": result}
                     for name, result in igt.read_list(igt.TESTS / "canary.expected").items()}
            path = Path(folder, "results.json")
            path.write_text(json.dumps({"tests": tests}))
            self.assertEqual(igt.canary(Path(folder), "lane").status, PASS)
            tests[f"igt@{igt.CANARY}@fail"]["result"] = "pass"
            path.write_text(json.dumps({"tests": tests}))
            self.assertEqual(igt.canary(Path(folder), "lane").status, FAIL)
            path.unlink()
            self.assertEqual(igt.canary(Path(folder), "lane").status, FAIL)

    def test_a_run_without_tests_fails(self):
        results = igt._with_outcome([], machine.Outcome(), "lane")
        self.assertEqual([r.status for r in results], [FAIL])


class Judge(unittest.TestCase):
    def judge(self, lines, status):
        with tempfile.TemporaryDirectory() as folder:
            if status is not None:
                Path(folder, "status").write_text(status)
            outcome = machine.Outcome(lines=lines)
            machine.Machine(None, None, None)._judge(outcome, Path(folder), ())
            return outcome.why

    BEGIN, END = f"[    1.000000] {machine.BEGIN}", f"[    2.000000] {machine.END}, status 0"

    def test_a_clean_run(self):
        self.assertEqual(self.judge([self.BEGIN, self.END], "0"), "")

    def test_nothing_passes_vacuously(self):
        self.assertIn("never came up", self.judge([], None))
        self.assertIn("never came up", self.judge([], "0"))
        self.assertIn("never finished", self.judge([self.BEGIN], None))
        self.assertIn("never finished", self.judge([self.BEGIN], "0"))
        self.assertIn("never finished", self.judge([self.BEGIN, self.END], None))
        self.assertIn("never finished", self.judge([self.BEGIN, self.END], "x"))
        self.assertIn("status 3", self.judge([self.BEGIN, self.END], "3"))

    def test_a_splat_fails_a_run_that_passed(self):
        self.assertIn("BUG: x", self.judge([self.BEGIN, "[    1.500000] BUG: x", self.END], "0"))


class Ktap(unittest.TestCase):
    def test_documents(self):
        lines = ["boot", "[    0.500000] KTAP version 1", "[    0.500000]     KTAP version 1", "x",
                 "[    3.000000] KTAP version 1", "y"]
        self.assertEqual([len(d) for d in kunit.documents(lines)], [3, 2])


class Files(unittest.TestCase):
    def test_results_json_and_junit(self):
        results = Results()
        results.add("a<b", "l&1", FAIL, 1.23456, "bad \x1b[1m & <worse>\nmore")
        results.add("c", "l&1", PASS)
        results.add("d", "l2", SKIP, why="no device")
        with tempfile.TemporaryDirectory() as folder:
            results.write(Path(folder))
            self.assertEqual(json.loads(Path(folder, "results.json").read_text())["tests"][0],
                             {"name": "a<b", "lane": "l&1", "status": "fail", "seconds": 1.235,
                              "why": "bad ?[1m & <worse>\nmore"})
            self.assertEqual(len(xml.dom.minidom.parse(str(Path(folder, "junit.xml"))).getElementsByTagName("testcase")), 3)
        self.assertEqual(results.verdict(), "1 passed, 1 failed, 1 skipped")
        self.assertFalse(results.ok())
        self.assertFalse(Results().ok())
