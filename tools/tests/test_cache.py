# SPDX-License-Identifier: MIT
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from unittest import mock

from frontdoor import cache
from frontdoor.paths import TOOLS


class Cache(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        for patch in (mock.patch.object(cache, "CACHE", self.root), mock.patch.dict(cache._in_use, clear=True)):
            patch.start()
            self.addCleanup(patch.stop)

    def leftovers(self):
        return list((self.root / "tmp").glob("*"))

    def test_made_once(self):
        calls = []

        def make(tmp):
            calls.append(tmp)
            (tmp / "file").write_text("x")
        for _ in range(2):
            self.assertEqual((cache.entry("a", "k", make) / "file").read_text(), "x")
        self.assertEqual(len(calls), 1)
        self.assertEqual(self.leftovers(), [])

    def test_failure_leaves_nothing(self):
        def make(tmp):
            (tmp / "half").touch()
            raise KeyboardInterrupt
        with self.assertRaises(KeyboardInterrupt):
            cache.entry("a", "k", make)
        self.assertFalse(cache.has("a", "k"))
        self.assertEqual(self.leftovers(), [])

    def test_killed_maker_is_swept(self):
        script = ("import os, signal; from frontdoor import cache\n"
                  "def make(tmp):\n (tmp / 'half').touch(); os.kill(os.getpid(), signal.SIGKILL)\n"
                  "cache.entry('a', 'k', make)")
        env = dict(os.environ, XDG_CACHE_HOME=str(self.root), PYTHONPATH=str(TOOLS))
        child = subprocess.run([sys.executable, "-c", script], env=env)
        self.assertEqual(child.returncode, -signal.SIGKILL)
        with mock.patch.object(cache, "CACHE", self.root / "drm-userptr"):
            self.assertFalse(cache.has("a", "k"))
            self.assertEqual(len(list((self.root / "drm-userptr/tmp").iterdir())), 1)
            cache.entry("a", "k", lambda tmp: None)
            self.assertEqual(list((self.root / "drm-userptr/tmp").iterdir()), [])

    def test_two_at_once_make_it_once(self):
        calls = []

        def make(tmp):
            calls.append(1)
            time.sleep(0.3)
        threads = [threading.Thread(target=cache.entry, args=("a", "k", make)) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(len(calls), 1)

    def test_old_entries_go_but_not_those_in_use(self):
        paths = []
        for i in range(cache.KEEP + 3):
            paths.append(cache.entry("a", f"{i:016d}", lambda tmp: None))
            os.utime(paths[-1], (i, i))
            if i:                                   # the first stays in use
                cache._in_use.pop(paths[-1].name).release()
        cache._tidy("a")
        self.assertTrue(paths[0].exists())
        self.assertFalse(paths[1].exists())
        self.assertTrue(paths[-1].exists())

    def test_keys_do_not_run_together(self):
        self.assertNotEqual(cache.key("ab", "c"), cache.key("a", "bc"))
        self.assertNotEqual(cache.key(["a"], "b"), cache.key(["a", "b"]))


if __name__ == "__main__":
    unittest.main()
