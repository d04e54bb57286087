# SPDX-License-Identifier: MIT
"""Run programs so that nothing is left behind, whatever stops us.

Every child leads a process group of its own and dies with us; Ctrl-C (or
TERM, or a closed terminal) ends all groups before we leave. Children also
inherit our cache locks: were we killed outright, the next run waits until
the last of them is gone rather than work beside it.
"""

import os
import signal
import subprocess
import threading
import time

from .ui import Failure

_running = set()
_lock = threading.Lock()
_stopping = threading.Event()
_shared = set()          # descriptors of cache locks


def spawn(command, **options):
    guard = ["setpriv", "--pdeathsig", "TERM", "--"]
    with _lock:
        if _stopping.is_set():
            raise KeyboardInterrupt
        child = subprocess.Popen(
            guard + [str(c) for c in command], start_new_session=True,
            pass_fds=tuple(_shared), **options)
        _running.add(child)
    return child


def share_lock(fd):
    with _lock:
        _shared.add(fd)


def close_lock(fd):
    with _lock:
        _shared.discard(fd)
        os.close(fd)


def forget(child):
    with _lock:
        _running.discard(child)


def stop(child, patience=4):
    """End a child's whole group; politely first."""
    for sig, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, 5)):
        try:
            os.killpg(child.pid, sig)
        except ProcessLookupError:
            pass
        try:
            child.wait(wait)
        except subprocess.TimeoutExpired:
            continue
        if not _group_alive(child.pid):
            break
        time.sleep(0.2)
    forget(child)


def _group_alive(pgid):
    try:
        os.killpg(pgid, 0)
        return True
    except ProcessLookupError:
        return False


def stop_all():
    _stopping.set()
    with _lock:
        children = list(_running)
    for child in children:
        stop(child)


def stopping():
    return _stopping.is_set()


def logged(command, log, on_line=None, why=None, **options):
    """Run a command with its output in a log; Failure with the log's path if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as sink:
        sink.write(("$ " + " ".join(map(str, command)) + "\n").encode())
        sink.flush()
        child = spawn(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                      stderr=subprocess.STDOUT, **options)
        try:
            for line in child.stdout:
                sink.write(line)
                sink.flush()
                if on_line:
                    on_line(line.decode(errors="replace"))
            status = child.wait()
        except BaseException:
            stop(child)
            raise
        finally:
            forget(child)
    if _stopping.is_set():
        raise KeyboardInterrupt
    if status:
        raise Failure(why or f"`{os.path.basename(str(command[0]))}` failed", log)


def succeeds(command):
    """Does a short command succeed? What it says is not wanted."""
    return not subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode


def output(command, **options):
    """The standard output of a short command, stripped."""
    return subprocess.run([str(c) for c in command], check=True, text=True,
                          stdout=subprocess.PIPE, **options).stdout.strip()
