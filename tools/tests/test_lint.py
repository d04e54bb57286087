# SPDX-License-Identifier: MIT
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from frontdoor import lint


class Base(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        patch = mock.patch.object(lint, "PROJECT", self.root)
        patch.start()
        self.addCleanup(patch.stop)

    def put(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return name


class Files(Base):
    def test_without_git(self):
        self.put("a/b.c", "")
        self.put("build/x", "")
        self.put("a/__pycache__/y", "")
        self.assertEqual(lint.files(), ["a/b.c"])

    def test_licences(self):
        both = "GPL-2.0-only OR MIT"
        good = [self.put("drivers/a.c", f"// SPDX-License-Identifier: {both}\n"),
                self.put("include/drm/a.h", f"/* SPDX-License-Identifier: {both} */\n"),
                self.put("include/uapi/drm/a.h", "/* SPDX-License-Identifier: MIT */\n"),
                self.put("README.md", "<!-- SPDX-License-Identifier: MIT -->\n"),
                self.put("tools/a", "#!/bin/sh\n# SPDX-License-Identifier: MIT\n")]
        self.assertEqual(lint.spdx(good), [])
        bad = [self.put("drivers/b.c", "// SPDX-License-Identifier: MIT\n"), self.put("tools/b", "#!/bin/sh\n")]
        self.assertEqual([line.partition(":")[0] for line in lint.spdx(bad)], bad)

    def test_paths(self):
        fine = self.put("fine", "HOME=/root\nrootflags={dirs}/root\nKSRC=/path/to/linux /tmp/guest-x $x/work/y\n")
        self.assertEqual(lint.paths([fine]), [])
        for line in ("see /home/somebody/x", "'/root/.cache/x'", "(/work/tree)", "/tmp/w/log"):
            self.assertEqual(len(lint.paths([self.put("bad", line + "\n")])), 1, line)

    def test_python(self):
        good, bad = self.put("a.py", "x = 1\n"), self.put("b.py", "x = \n")
        with mock.patch.object(lint.Log, "lines", return_value=([], True)):
            found = lint.python([good, bad, self.put("c", "x = \n")], lint.Log.__new__(lint.Log))
        self.assertEqual([line.partition(":")[0] for line in found], [bad])


class Exceptions(Base):
    def test_each_must_excuse_something(self):
        self.put("list", "# why\nspdx patches/*.patch no.SPDX\ncheckpatch a.c COMPLEX_MACRO:\n")
        exceptions = lint.Exceptions(self.root / "list")
        self.assertTrue(exceptions.allow("spdx", "patches/1.patch:1: no SPDX-License-Identifier"))
        self.assertFalse(exceptions.allow("spdx", "drivers/1.c:1: no SPDX-License-Identifier"))
        self.assertFalse(exceptions.allow("paths", "patches/1.patch:1: no SPDX-License-Identifier"))
        self.assertEqual(len(exceptions.unused()), 1)
        self.assertIn("COMPLEX_MACRO", exceptions.unused()[0])
