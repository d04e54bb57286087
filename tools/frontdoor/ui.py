# SPDX-License-Identifier: MIT
"""What the person at the terminal sees.

Everything that takes time is a step: one line when it begins to matter, one
when it ends. On a terminal the steps under way share a live line at the
bottom with their elapsed time and progress; elsewhere each gives a sign of
life now and then.
"""

import sys
import threading
import time

HEARTBEAT = 30          # seconds between signs of life when not on a terminal
QUIET = 1.0             # steps shorter than this are not worth a line


class Failure(Exception):
    """Something the user must know about; printed without a traceback."""

    def __init__(self, message, log=None):
        super().__init__(message)
        self.log = log


class _Screen:
    def __init__(self):
        self.lock = threading.RLock()
        self.live = sys.stdout.isatty()
        self.steps = []
        self.drawn = False
        self.raw = False

    def line(self, text):
        with self.lock:
            self.erase()
            print(text, flush=True)

    def erase(self):
        if self.drawn:
            sys.stdout.write("\r\033[K")
            self.drawn = False

    def draw(self):
        with self.lock:
            if not self.live or self.raw:
                return
            self.erase()
            if self.steps:
                text = "  " + " | ".join(s.state() for s in self.steps)
                sys.stdout.write("\033[?7l" + text + "\033[?7h")
                self.drawn = True
            sys.stdout.flush()


_screen = _Screen()


def say(text=""):
    _screen.line(text)


def plain_terminal(on):
    """Keep the live line away while a guest owns the terminal."""
    with _screen.lock:
        _screen.erase()
        _screen.raw = on


def human(seconds):
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


class Step:
    """with Step("kernel uml-quick") as step: ...; step.progress = "34 %" """

    def __init__(self, what, announce=True):
        self.what = what
        self.announce = announce
        self.progress = ""
        self.note = ""

    def state(self):
        text = f"{self.what}: {human(self.seconds())}"
        return f"{text}, {self.progress}" if self.progress else text

    def seconds(self):
        return time.monotonic() - self.start

    def __enter__(self):
        self.start = time.monotonic()
        self.over = threading.Event()
        with _screen.lock:
            _screen.steps.append(self)
        if self.announce and not _screen.live:
            say(f"  {self.what} ...")
        threading.Thread(target=self._tick, daemon=True).start()
        return self

    def _tick(self):
        period = 0.5 if _screen.live else HEARTBEAT
        while not self.over.wait(period):
            if _screen.live:
                _screen.draw()
            else:
                say(f"  ... {self.state()}")

    def __exit__(self, kind, *_):
        self.over.set()
        with _screen.lock:
            _screen.steps.remove(self)
            note = f", {self.note}" if self.note else ""
            if kind is None and (self.announce or self.seconds() > QUIET):
                say(f"  {self.what}: {human(self.seconds())}{note}")
            elif kind is not None:
                say(f"  {self.what}: stopped after {human(self.seconds())}")
            _screen.draw()
