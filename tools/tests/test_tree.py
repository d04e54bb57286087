# SPDX-License-Identifier: MIT
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from frontdoor import cache, kernel, tree, ui


class Base(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.project, self.pristine = self.root / "project", self.root / "pristine"
        for patch in (mock.patch.object(cache, "CACHE", self.root / "cache"),
                      mock.patch.object(tree, "CACHE", self.root / "cache"),
                      mock.patch.object(tree, "LOGS", self.root / "log"),
                      mock.patch.object(tree, "PROJECT", self.project),
                      mock.patch.dict(os.environ, UPSTREAM="")):
            patch.start()
            self.addCleanup(patch.stop)
        self.put(self.pristine, "Makefile", "VERSION = 7\nPATCHLEVEL = 2\nSUBLEVEL = 12\nEXTRAVERSION =\n")
        self.put(self.pristine, "drivers/x/Kconfig", "one\ntwo\nthree\n")
        self.source = tree.Source(self.pristine, "id", "7.2.12", "linux-7.2.12")

    def put(self, top, name, text):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


class Overlay(Base):
    PATCH = "--- a/drivers/x/Kconfig\n+++ b/drivers/x/Kconfig\n@@ -1,3 +1,4 @@\n one\n+our\n two\n three\n"

    def test_files_and_patches(self):
        self.put(self.project, "drivers/x/new.c", "new")
        self.put(self.project, "drivers/x/new.o", "junk")
        self.put(self.project, "drivers/x/.new.c.swp", "junk")
        self.put(self.project, "patches/0001-x.patch", self.PATCH)
        self.assertEqual(self.source.overlay(), {"drivers/x/new.c": b"new",
                                                 "drivers/x/Kconfig": b"one\nour\ntwo\nthree\n"})
        self.assertEqual(self.source.overlay(plain=True), {})
        self.assertEqual((self.pristine / "drivers/x/Kconfig").read_text(), "one\ntwo\nthree\n")

    FIX = "From: x\n\nWhy.\n---\n one file\n\n--- a/mm/core.c\n+++ b/mm/core.c\n@@ -1,3 +1,3 @@\n one\n-bug\n+fix\n three\n"

    def test_upstream_patches_come_first_and_can_be_left_out(self):
        self.put(self.pristine, "mm/core.c", "one\nbug\nthree\n")
        self.put(self.project, "patches/upstream/0001-fix.patch", self.FIX)
        self.put(self.project, "patches/0001-x.patch", self.FIX.replace("-bug", "-fix").replace("+fix", "+ours"))
        self.assertEqual(self.source.overlay(), {"mm/core.c": b"one\nours\nthree\n"})
        with mock.patch.dict(os.environ, UPSTREAM="no"), self.assertRaisesRegex(ui.Failure, "does not apply"):
            self.source.overlay()
        (self.project / "patches/0001-x.patch").unlink()
        with mock.patch.dict(os.environ, UPSTREAM="no"):
            self.assertEqual(self.source.overlay(), {})
        with mock.patch.dict(os.environ, UPSTREAM="maybe"), self.assertRaisesRegex(ui.Failure, "UPSTREAM=maybe"):
            self.source.overlay()
        self.assertEqual(self.source.overlay(plain=True), {})

    def test_an_upstream_patch_that_the_kernel_has_is_skipped(self):
        self.put(self.pristine, "mm/core.c", "zero\none\nfix\nthree\n")
        self.put(self.project, "patches/upstream/0001-fix.patch", self.FIX)
        with mock.patch.object(ui, "say") as say:
            self.assertEqual(self.source.overlay(), {})
        self.assertIn("has patches/upstream/0001-fix.patch already", say.call_args[0][0])

    def test_an_upstream_patch_that_does_not_apply_is_told(self):
        self.put(self.pristine, "mm/core.c", "one\nelse\nthree\n")
        self.put(self.project, "patches/upstream/0001-fix.patch", self.FIX)
        with self.assertRaisesRegex(ui.Failure, "0001-fix.patch does not apply.*UPSTREAM=no"):
            self.source.overlay()

    def test_a_patch_that_does_not_apply_is_told(self):
        self.put(self.project, "patches/0001-x.patch", self.PATCH.replace(" one", " uno").replace(" two", " due").replace(" three", " tre"))
        with self.assertRaisesRegex(ui.Failure, "0001-x.patch does not apply"):
            self.source.overlay()

    def test_a_file_of_the_kernel_is_not_overwritten(self):
        self.put(self.project, "drivers/x/Kconfig", "ours")
        with self.assertRaisesRegex(ui.Failure, "exists in the kernel already"):
            self.source.overlay()

    def test_version(self):
        self.assertEqual(tree.version_of(self.pristine), "7.2.12")


class Sync(Base):
    def test_only_what_differs_is_written_and_nothing_is_left_behind(self):
        with tree.WorkTree(self.source, "config") as work:
            work.sync({"drivers/x/new.c": b"1", "drivers/y/z.c": b"2", "drivers/x/Kconfig": b"patched"})
            before = (work.src / "drivers/y/z.c").stat().st_mtime_ns
            work.sync({"drivers/x/new.c": b"3", "drivers/y/z.c": b"2", "drivers/x/Kconfig": b"patched"})
            self.assertEqual((work.src / "drivers/x/new.c").read_text(), "3")
            self.assertEqual((work.src / "drivers/y/z.c").stat().st_mtime_ns, before)
            patched = (work.src / "drivers/x/Kconfig").stat().st_mtime_ns
            work.sync({})
            self.assertFalse((work.src / "drivers/y").exists())
            self.assertFalse((work.src / "drivers/x/new.c").exists())
            self.assertEqual((work.src / "drivers/x/Kconfig").read_text(), "one\ntwo\nthree\n")
            # make must see that it changed back
            self.assertGreaterEqual((work.src / "drivers/x/Kconfig").stat().st_mtime_ns, patched)
        self.assertEqual((self.pristine / "drivers/x/Kconfig").read_text(), "one\ntwo\nthree\n")

    def test_a_sync_that_was_cut_off_is_finished_by_the_next(self):
        with tree.WorkTree(self.source, "config") as work:
            with mock.patch.object(work, "_put", side_effect=KeyboardInterrupt), self.assertRaises(KeyboardInterrupt):
                work.sync({"drivers/x/new.c": b"1"})
            (work.src / "drivers/x/new.c").write_text("half")
            work.sync({})
            self.assertFalse((work.src / "drivers/x/new.c").exists())


class Config(unittest.TestCase):
    def test_unmet_settings_are_listed(self):
        lost = kernel.unmet(["CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n", "CONFIG_D=n\nCONFIG_B=y\n"],
                            "CONFIG_B=y\nCONFIG_C=y\n")
        self.assertEqual(lost, ["CONFIG_A=y (is n)", "CONFIG_C=n (is y)"])
