# SPDX-License-Identifier: MIT
"""Run a job in a guest: User Mode Linux or QEMU, with a watchdog.

The guest's root file system, the checkout and the kernel's modules are
shared with it read-only; one directory, /build in the guest, is writable.
The guest's console goes into a log. A run counts only if the guest said that
it began and that it ended, left its status, and its log is clean.
"""

import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import logscan, run, ui
from .paths import PROJECT

BEGIN, END = "frontdoor: guest begins", "frontdoor: guest ends"


@dataclass
class Outcome:
    status: int = None              # what the job returned, None if it never did
    why: str = ""                   # what went wrong with the run as a whole
    lines: list = field(default_factory=list)
    seconds: float = 0
    console: Path = None


class Machine:
    """One way of running a kernel on a root file system."""

    share = None

    def __init__(self, root, kernel_dir, image, memory="2G"):
        self.root, self.kernel_dir, self.image, self.memory = root, kernel_dir, image, memory

    def run(self, job, build, log, silence=150, limit=1800, arguments=(), on_line=None, allowed=()):
        """Boot, do the job, power off. Never raises for what happens inside."""
        build.mkdir(parents=True, exist_ok=True)
        (build / "status").unlink(missing_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        result = Outcome(console=log)
        start = time.monotonic()
        with _Shares(root=self.root, kernel=self.kernel_dir, project=PROJECT, build=build) as dirs:
            child = run.spawn(self.command(dirs, job, arguments), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=dict(os.environ, TMPDIR="/tmp"))
            try:
                result.why = _watch(child, log, result.lines, silence, limit, on_line)
            finally:
                run.stop(child, patience=2)
        if run.stopping():
            raise KeyboardInterrupt
        result.seconds = time.monotonic() - start
        self._judge(result, build, allowed)
        return result

    def _judge(self, result, build, allowed):
        problems = [result.why] if result.why else []
        text = "\n".join(result.lines)
        status = build / "status"
        if status.exists() and status.read_text().strip().isdigit():
            result.status = int(status.read_text())
        if BEGIN not in text:
            problems.append("the guest never came up")
        elif END not in text or result.status is None:
            problems.append("the guest never finished its job")
        elif result.status:
            problems.append(f"the job in the guest failed (status {result.status})")
        for report in logscan.scan(result.lines, allowed):
            problems.append("\n".join(report))
        if problems and BEGIN not in text or result.why or result.status is None:
            problems.append("last lines of the log:\n" + "\n".join(result.lines[-30:]))
        result.why = "\n".join(problems)

    def interact(self, job, build):
        """Hand the terminal to the guest."""
        with _Shares(root=self.root, kernel=self.kernel_dir, project=PROJECT, build=build) as dirs:
            ui.plain_terminal(True)
            saved = termios.tcgetattr(0) if sys.stdin.isatty() else None
            child = run.spawn(self.command(dirs, job, (), interactive=True))
            try:
                return child.wait()
            finally:
                run.stop(child, patience=2)
                if saved:
                    termios.tcsetattr(0, termios.TCSADRAIN, saved)
                ui.plain_terminal(False)


class Uml(Machine):
    def command(self, dirs, job, arguments, interactive=False):
        console = ["con0=fd:0,fd:1", "quiet"] if interactive else ["con0=null,fd:1"]
        return [self.image, f"mem={self.memory}", "ncpus=2", "seccomp=on",
                "root=/dev/root", "rootfstype=hostfs", f"rootflags={dirs}/root", "ro", "init=/stub",
                "con=null", *console, f"uml_dir={dirs}/", "umid=guest",
                "SHARE=hostfs", f"DIRS={dirs}", f"JOB={job}", *arguments]


class Qemu(Machine):
    boot = ["root=root", "rootfstype=9p", "rootflags=trans=virtio,version=9p2000.L,msize=512000,cache=loose"]
    more = ()

    def command(self, dirs, job, arguments, interactive=False):
        # The watchdog of the TSC takes a busy host for a broken clock, and says so in the log.
        clock = ["tsc=reliable", *(tsc_frequency() if accelerator_name() == "tcg" else ())]
        append = ["console=ttyS0", "panic=-1", *clock, *self.boot, "ro", "init=/stub", "SHARE=9p", f"JOB={job}",
                  *arguments]
        shares = []
        for tag in ("root", "kernel", "project", "build"):
            readonly = "" if tag == "build" else ",readonly=on"
            shares += ["-virtfs", f"local,path={dirs}/{tag},mount_tag={tag},security_model=none,"
                                  f"multidevs=remap{readonly}"]
        return ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot",
                "-nic", "none", "-smp", "2", "-m", self.memory, *accelerator(), *shares, *self.more,
                "-kernel", self.image, "-append", " ".join(append)]


# While Linux identifies the boot CPU the bit of five-level paging is clear for a
# moment. KASAN looks at it: an interrupt then reports a wild access.
FOUR_LEVELS = "-la57"


def accelerator():
    """KVM where the CPU really offers it (the device node alone proves nothing)."""
    flags = Path("/proc/cpuinfo").read_text()
    if (" vmx" in flags or " svm" in flags) and os.access("/dev/kvm", os.R_OK | os.W_OK):
        return ["-accel", "kvm", "-cpu", f"max,{FOUR_LEVELS}"]
    # QEMU 7.2 gets some AVX2 code wrong.
    return ["-accel", "tcg,thread=multi", "-cpu", f"max,-avx2,{FOUR_LEVELS}"]


def accelerator_name():
    return accelerator()[1].split(",")[0]


def tsc_frequency(cpuinfo=None):
    """
    An emulated guest reads the host's TSC. If the host is busy while the guest
    measures how fast that is, it can be wrong by a factor of twenty, and all its
    time-outs with it. Where the host is a virtual machine itself it is known.
    """
    cpuinfo = cpuinfo or Path("/proc/cpuinfo").read_text()
    mhz = re.search(r"^cpu MHz\s*:\s*([\d.]+)", cpuinfo, re.M)
    if " hypervisor" not in cpuinfo or " constant_tsc" not in cpuinfo or not mhz:
        return []
    return [f"tsc_early_khz={round(float(mhz[1]) * 1000)}"]


class _Shares:
    """Short symlinks to what a guest may see: no spaces, no commas, whatever the real paths are."""

    def __init__(self, **targets):
        self.targets = targets

    def __enter__(self):
        self.path = Path(tempfile.mkdtemp(prefix="guest-", dir="/tmp"))
        for name, target in self.targets.items():
            (self.path / name).symlink_to(target)
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def _watch(child, log, lines, silence, limit, on_line):
    """Copy the console until the guest ends; say why if it had to be killed."""
    start = heard = time.monotonic()
    rest = b""
    with open(log, "wb") as sink:
        while True:
            ready, _, _ = select.select([child.stdout], [], [], 0.5)
            now = time.monotonic()
            if ready:
                chunk = os.read(child.stdout.fileno(), 65536)
                if not chunk:
                    break
                heard = now
                sink.write(chunk)
                sink.flush()
                *whole, rest = (rest + chunk).split(b"\n")
                for raw in whole:
                    lines.append(raw.decode(errors="replace").rstrip("\r"))
                    if on_line:
                        on_line(lines[-1])
            elif child.poll() is not None:
                break
            if run.stopping():
                break
            if now - heard > silence:
                return f"the guest hung: no sign of life for {silence} s"
            if now - start > limit:
                return f"the guest took longer than {limit} s"
    if rest:
        lines.append(rest.decode(errors="replace"))
    return ""
