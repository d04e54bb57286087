# SPDX-License-Identifier: MIT
"""Configure and build a kernel; hand it out as an immutable cache entry.

    kernel-<config>-<key>/linux | bzImage      what is booted
                          lib/modules/...      installed modules
                          config, release
                          kunit/               the tree's own KTAP parser
                          gcov/                for coverage: the compiler's notes on our files
"""

import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from . import cache, host, run, ui
from .paths import LOGS, PROJECT, TOOLS
from .tree import WorkTree

FRAGMENTS = TOOLS / "kernel"


@dataclass(frozen=True)
class Config:
    name: str
    arch: str
    fragments: tuple
    image: str          # path in the object directory
    objects: int        # roughly how many steps a full build has, for the percentage
    gcov: bool = False  # count what runs in our files


CONFIGS = {c.name: c for c in (
    Config("uml-quick", "um", ("base", "uml", "debug", "uml-quick"), "linux", 1500),
    Config("uml-deep", "um", ("base", "uml", "debug", "uml-deep"), "linux", 1500),
    Config("uml-cov", "um", ("base", "uml", "uml-cov"), "linux", 1450, gcov=True),
    Config("lint", "um", ("base", "uml", "debug", "lint"), "", 0),      # never linked
    Config("uml-plain", "um", ("base", "uml", "uml-plain"), "linux", 1450),
    Config("qemu-debug", "x86_64", ("base", "debug", "qemu-debug"), "arch/x86/boot/bzImage", 2400),
)}


@dataclass(frozen=True)
class Kernel:
    path: Path
    config: Config
    version: str
    overlay: dict       # our files as they were built into it

    @property
    def image(self):
        return self.path / Path(self.config.image).name

    @property
    def kunit_parser(self):
        return self.path / "kunit"

    @property
    def gcov_notes(self):
        return self.path / "gcov"


def get(source, name, plain=False):
    """The kernel of this configuration for the checkout as it is now (or unmodified: plain)."""
    config = CONFIGS[name]
    overlay = source.overlay(plain)
    fragments = _fragments(source, config, overlay)
    key = cache.key("recipe 1", source.identity, sorted(overlay.items()), fragments)
    suffix = "-unmodified" if plain else ""

    def make(tmp):
        host.need(host.BUILDING, "building kernels")
        with WorkTree(source, config.name + suffix) as tree:
            Build(tree, config, fragments, overlay, suffix).into(tmp)
    path = cache.entry(f"kernel-{config.name}{suffix}", key, make, tell=lambda: ui.say(
        f"  waiting: another run is building kernel {config.name}"))
    return Kernel(path, config, source.version, overlay)


def _fragments(source, config, overlay):
    names = list(config.fragments)
    # Until the checkout has its first patch, its symbols are not in Kconfig.
    if any("Kconfig" in path and (source.path / path).exists() for path in overlay):
        names.append("userptr")
    return [_settings((FRAGMENTS / f"{f}.config").read_text()) for f in names]


def _settings(text):
    """A fragment without its comments: those make no other kernel."""
    return "".join(line + "\n" for line in text.splitlines() if re.match(r"CONFIG_|# CONFIG_\w+ is not set", line))


def linting(source, tree):
    """What compiles single directories in a tree; links nothing."""
    host.need(host.BUILDING, "building kernels")
    config, overlay = CONFIGS["lint"], source.overlay()
    return Build(tree, config, _fragments(source, config, overlay), overlay, "")


def profiled(overlay):
    """Source files of ours whose coverage counts: all but tests and what patches change."""
    return [name for name in sorted(overlay)
            if name.endswith(".c") and "/tests/" not in name and (PROJECT / name).exists()]


class Build:
    def __init__(self, tree, config, fragments, overlay, suffix):
        self.tree, self.config, self.fragments, self.overlay = tree, config, fragments, overlay
        self.out = tree.objects
        self.log = LOGS / f"kernel-{config.name}{suffix}.log"
        self.marker = self.out / ".frontdoor-building"
        self.title = f"kernel {config.name}{suffix}"
        self.profiled = profiled(overlay) if config.gcov else []

    def prepare(self):
        """Have the sources and the configuration in place."""
        self.log.unlink(missing_ok=True)
        self.tree.sync(self.overlay)
        self.out.mkdir(exist_ok=True)
        if self.marker.exists():
            _drop_torn_objects(self.out)
        self.marker.touch()
        self.configure()

    def into(self, tmp):
        with ui.Step(f"{self.title} (Linux {self.tree.source.version})") as step:
            self.prepare()
            self.build(step)
            self.publish(tmp)
            self.marker.unlink()

    def make(self, *targets, on_line=None, why=None):
        env = {k: v for k, v in os.environ.items()
               if k not in ("O", "M", "ARCH", "KSRC", "T", "RIG", "UPSTREAM", "SEED", "MFLAGS", "CROSS_COMPILE")
               and not k.startswith(("MAKE", "KBUILD_"))}
        jobs = (os.cpu_count() or 1) + 1
        # kbuild profiles an object if told so by name, here as well as in a Makefile.
        gcov = [f"GCOV_PROFILE_{Path(name).stem}.o=y" for name in self.profiled]
        run.logged(["nice", "make", "-C", self.tree.src, f"O={self.out}", f"ARCH={self.config.arch}", f"-j{jobs}",
                    *gcov, *targets], self.log, on_line=on_line, why=why, env=env)

    def configure(self):
        """tinyconfig + fragments; every symbol that was asked for must come out so."""
        kconfigs = [item for item in sorted(self.overlay.items()) if "Kconfig" in item[0]]
        stamp, key = self.out / ".frontdoor-config", cache.key(self.fragments, kconfigs)
        if stamp.exists() and stamp.read_text() == key and (self.out / ".config").exists():
            return
        stamp.unlink(missing_ok=True)
        self.make("tinyconfig", why="make tinyconfig failed")
        with open(self.out / ".config", "a") as f:
            f.write("\n".join(self.fragments))
        self.make("olddefconfig", why="make olddefconfig failed")
        lost = unmet(self.fragments, (self.out / ".config").read_text())
        if lost:
            raise ui.Failure(f"{self.title}: Kconfig did not accept\n    " + "\n    ".join(lost), self.log)
        stamp.write_text(key)

    def build(self, step):
        counted = self.out / ".frontdoor-steps"
        total = int(counted.read_text()) if counted.exists() else self.config.objects
        done, start = 0, time.monotonic()

        def on_line(line):
            nonlocal done
            if re.match(r"  [A-Z]+[A-Z0-9_]*(  |\s*\[M\])", line):
                done += 1
                if time.monotonic() - start > 20:       # a small rebuild has no meaningful percentage
                    step.progress = f"{min(99, 100 * done // total)} %"
                else:
                    step.progress = f"{done} objects"
        self.make(on_line=on_line, why=f"{self.title} does not build")
        if done > total // 2:
            counted.write_text(str(done))

    def publish(self, tmp):
        shutil.copy(self.out / self.config.image, tmp / Path(self.config.image).name)
        shutil.copy(self.out / ".config", tmp / "config")
        shutil.copy(self.out / "include/config/kernel.release", tmp / "release")
        self.make("modules_install", f"INSTALL_MOD_PATH={tmp}", "DEPMOD=/bin/true")
        release = (tmp / "release").read_text().strip()
        for link in ("build", "source"):
            (tmp / "lib/modules" / release / link).unlink(missing_ok=True)
        run.logged(["depmod", "-b", tmp, release], self.log,
                   env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin"))
        (tmp / "kunit").mkdir()
        for path in (self.tree.src / "tools/testing/kunit").glob("kunit_p*.py"):
            shutil.copy(path, tmp / "kunit")
        for name in self.profiled:
            notes = Path(name).with_suffix(".gcno")
            (tmp / "gcov" / notes).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.out / notes, tmp / "gcov" / notes)


def unmet(fragments, config):
    """Requested settings that the final configuration does not have."""
    have = {}
    for line in config.splitlines():
        if m := re.match(r"(CONFIG_\w+)=(.*)", line):
            have[m[1]] = m[2]
    want = {}
    for line in "\n".join(fragments).splitlines():
        if m := re.match(r"(CONFIG_\w+)=(.*)", line):
            want[m[1]] = m[2]
        elif m := re.match(r"# (CONFIG_\w+) is not set", line):
            want[m[1]] = "n"
    return [f"{name}={value} (is {have.get(name, 'n')})" for name, value in want.items()
            if have.get(name, "n") != value]


def _drop_torn_objects(out):
    """After a killed build: an object newer than its .cmd file may be half-written."""
    for folder, _, names in os.walk(out):
        for name in names:
            if not name.endswith((".o", ".a", ".ko")):
                continue
            path = Path(folder, name)
            cmd = Path(folder, f".{name}.cmd")
            if not cmd.exists() or cmd.stat().st_mtime_ns < path.stat().st_mtime_ns:
                path.unlink()
