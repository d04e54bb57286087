# SPDX-License-Identifier: MIT
"""A cache of immutable directories, each named by the hash of its recipe.

An entry is made in a temporary directory on the same file system and renamed
into place when complete, so a half-made entry has no name that anybody looks
for. Locks are flocks: they vanish with their holders. While an entry is in
use it is locked shared, so that tidying up in another run leaves it alone.

    entries/<kind>-<key>/    complete, never written again
    tmp/<name>/              being made; swept once nobody holds its lock
    locks/<name>             what is flocked
    work/<name>/             kernel work trees (see tree.py)
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import time
from contextlib import contextmanager

from . import run, ui
from .paths import CACHE, PROJECT

KEEP = 6                # entries of one kind that are kept
KEEP_BIG = {"sysroot": 2, "linux": 2}


def key(*parts):
    """Hash of strings, bytes and nested sequences of them, unambiguous."""
    digest = hashlib.sha256()

    def feed(part):
        if isinstance(part, (list, tuple)):
            digest.update(b"[%d" % len(part))
            for p in part:
                feed(p)
        else:
            data = part if isinstance(part, bytes) else str(part).encode()
            digest.update(b"%d:" % len(data) + data)

    feed(parts)
    return digest.hexdigest()[:16]


class Lock:
    """flock on a name, or BlockingIOError. Unlocked explicitly: children may share the descriptor."""

    def __init__(self, name, shared=False):
        path = CACHE / "locks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(self.fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BaseException:
            os.close(self.fd)
            raise
        run.share_lock(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release()

    def release(self):
        if self.fd is not None:
            fcntl.flock(self.fd, fcntl.LOCK_UN)
            run.close_lock(self.fd)
            self.fd = None


def lock_or_tell(name, tell, shared=False):
    """Take a lock; call tell() once if somebody else has it, and wait."""
    told = False
    while True:
        try:
            return Lock(name, shared)
        except BlockingIOError:
            if not told:
                tell()
                told = True
            if run.stopping():
                raise KeyboardInterrupt from None
            time.sleep(0.2)


def only_one(what):
    """A lock on something in this checkout's build directory."""
    return lock_or_tell(f"build-{key(PROJECT)}-{what}", lambda: ui.say(
        f"  waiting: another run in this checkout is at {what}"))


_in_use = {}


def _use(path):
    """Lock an entry against tidying up; None if it is not there."""
    if path.name not in _in_use and path.is_dir():
        lock = lock_or_tell(path.name + ".use", lambda: None, shared=True)
        if path.is_dir():
            _in_use[path.name] = lock
        else:
            lock.release()
    if path.name not in _in_use:
        return None
    os.utime(path)
    return path


def entry(kind, key, make, tell=lambda: None):
    """The entry's directory; made by make(tmp) if there is none yet."""
    path = CACHE / "entries" / f"{kind}-{key}"
    if _use(path):
        return path
    with lock_or_tell(path.name, tell):
        while not _use(path):
            with scratch(kind) as tmp:
                make(tmp)
                os.sync()
                path.parent.mkdir(parents=True, exist_ok=True)
                os.rename(tmp, path)
    _tidy(kind)
    return path


def has(kind, key):
    return (CACHE / "entries" / f"{kind}-{key}").is_dir()


@contextmanager
def scratch(name):
    """A temporary directory in the cache, gone afterwards whatever happens."""
    _sweep()
    base = CACHE / "tmp"
    base.mkdir(parents=True, exist_ok=True)
    path = base / f"{name}-{os.getpid()}-{secrets.token_hex(4)}"
    with Lock(path.name + ".tmp"):
        try:
            path.mkdir()
            path.chmod(0o755)
            yield path
        finally:
            remove(path)
    (CACHE / "locks" / (path.name + ".tmp")).unlink(missing_ok=True)


def remove(path):
    """rm -rf, also of directories that were made read-only."""
    def open_up(function, name, _):
        os.chmod(os.path.dirname(name), 0o755)
        if os.path.isdir(name) and not os.path.islink(name):
            os.chmod(name, 0o755)
        try:
            function(name)
        except OSError:
            pass
    if os.path.lexists(path):
        shutil.rmtree(path, onerror=open_up)


def _sweep():
    """Remove temporary directories whose makers are dead."""
    for path in (CACHE / "tmp").glob("*"):
        try:
            with Lock(path.name + ".tmp"):
                remove(path)
        except BlockingIOError:
            continue
        (CACHE / "locks" / (path.name + ".tmp")).unlink(missing_ok=True)


def _tidy(kind):
    """Keep the entries of a kind that were used last."""
    entries = [p for p in (CACHE / "entries").glob(kind + "-*")
               if p.name[:-17] == kind]
    for path in sorted(entries, key=lambda p: p.stat().st_mtime)[:-KEEP_BIG.get(kind, KEEP)]:
        try:
            with Lock(path.name + ".use"), scratch("old") as old:
                os.rename(path, old / "entry")
        except BlockingIOError:
            pass
