# SPDX-License-Identifier: MIT
"""Kernel work trees: pristine source + our files + our patches, kept in step.

A work tree lives in the cache, one for each kernel source and configuration,
with its objects beside it, so that a long build of one does not hold up the
others. Bringing it up to date writes a
file only if its content differs, so that kbuild rebuilds exactly what a
change calls for. Files are replaced, never written in place: most are hard
links to the pristine tree.
"""

import filecmp
import json
import os
import re
import shutil
from pathlib import Path

from . import cache, run, ui
from .paths import CACHE, LOGS, PROJECT

OURS = ["drivers", "include"]
JUNK = re.compile(r"(^|/)\.|~$|\.(o|ko|a|cmd|d|orig|rej|mod|mod\.c|swp)$|(^|/)(modules\.order|Module\.symvers)$")


def _our_files():
    found = {}
    for top in OURS:
        for path in sorted((PROJECT / top).rglob("*")):
            name = path.relative_to(PROJECT).as_posix()
            if path.is_file() and not JUNK.search(name):
                found[name] = path.read_bytes()
    return found


def _our_patches():
    return sorted((PROJECT / "patches").glob("*.patch"))


def _upstream_patches():
    """Fixes of the kernel itself. UPSTREAM=no leaves them out, to see what fails without."""
    wanted = os.environ.get("UPSTREAM") or "yes"
    if wanted not in ("yes", "no"):
        raise ui.Failure(f"UPSTREAM={wanted} is not known; it is yes or no")
    return sorted((PROJECT / "patches/upstream").glob("*.patch")) if wanted == "yes" else []


class Source:
    """A kernel source: Debian's, or the user's own tree (KSRC)."""

    def __init__(self, path, identity, version, name):
        self.path, self.identity, self.version, self.name = path, identity, version, name

    def overlay(self, plain=False):
        """What to lay over it: {path in the tree: content}. Patches are applied here, to copies."""
        if plain:
            return {}
        files = _our_files()
        for name in files:
            if (self.path / name).exists():
                raise ui.Failure(f"{name} exists in the kernel already: change it with a patch in patches/")
        with cache.scratch("patch") as tmp:
            for patch in _upstream_patches():
                if self._has(patch, files, tmp):
                    ui.say(f"  Linux {self.version} has {patch.relative_to(PROJECT)} already")
                else:
                    self._apply(patch, files, tmp, " (UPSTREAM=no leaves it out)")
            for patch in _our_patches():
                self._apply(patch, files, tmp)
            for path in tmp.rglob("*"):
                original = self.path / path.relative_to(tmp)
                if path.is_file() and not (original.exists() and filecmp.cmp(path, original, shallow=False)):
                    files[path.relative_to(tmp).as_posix()] = path.read_bytes()
        return files

    def _has(self, patch, files, tmp):
        """Could the patch be taken out again, to the letter?"""
        self._lay_out(patch, files, tmp)
        return run.succeeds(["patch", "-p1", "-s", "-R", "-f", "-F0", "--dry-run", "-r", "-", "-d", tmp, "-i", patch])

    def _apply(self, patch, files, tmp, hint=""):
        self._lay_out(patch, files, tmp)
        log = LOGS / "patch.log"
        run.logged(["patch", "-p1", "-s", "-N", "-F1", "--no-backup-if-mismatch", "-r", "-", "-d", tmp, "-i", patch],
                   log, why=f"{patch.relative_to(PROJECT)} does not apply to Linux {self.version}{hint}")

    def _lay_out(self, patch, files, tmp):
        touched = set(re.findall(r"^(?:---|\+\+\+) [ab]/(\S+)", patch.read_text(), re.M))
        for name in touched:
            target = tmp / name
            if target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if name in files:
                target.write_bytes(files[name])
            elif (self.path / name).exists():
                shutil.copyfile(self.path / name, target)


def version_of(path):
    """KERNELVERSION from the top Makefile."""
    text = (path / "Makefile").read_text()
    part = {k: v.strip() for k, v in re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *=(.*)$", text, re.M)}
    return "{VERSION}.{PATCHLEVEL}.{SUBLEVEL}{EXTRAVERSION}".format(**part)


class WorkTree:
    """with WorkTree(source, config) as tree: tree.sync(overlay); build in tree.objects"""

    def __init__(self, source, config):
        self.source = source
        self.name = f"{source.name}-{config}"
        self.base = CACHE / "work" / self.name
        self.src = self.base / "src"
        self.objects = self.base / "objects"
        self.manifest = self.base / "manifest.json"

    def __enter__(self):
        self.lock = cache.lock_or_tell("work-" + self.name, lambda: ui.say(
            "  waiting: another run is building in the same kernel tree"))
        try:
            self._create()
        except BaseException:
            self.lock.release()
            raise
        return self

    def __exit__(self, *_):
        self.lock.release()

    def _create(self):
        stamp = self.base / "pristine"
        if self.src.is_dir() and stamp.exists() and stamp.read_text() == self.source.identity:
            return
        with ui.Step(f"kernel work tree {self.name}"):
            stamp.unlink(missing_ok=True)
            cache.remove(self.src)
            self.base.mkdir(parents=True, exist_ok=True)
            run.logged(["cp", "-al", self.source.path, self.src], LOGS / "tree.log")
            for name in self._known():      # changed by us before: must look new to make
                original = self.source.path / name
                if original.exists():
                    (self.src / name).unlink()
                    self._put(self.src / name, original.read_bytes(), original.stat().st_mode)
            stamp.write_text(self.source.identity)

    def sync(self, overlay):
        """Make the tree equal pristine + overlay."""
        old, new = self._known(), set(overlay)
        self._note(old | new)           # before the first change: we may be stopped half-way
        for name in sorted(old - new):
            target, original = self.src / name, self.source.path / name
            if original.exists():       # a copy, not a link: it must look new to make
                self._put(target, original.read_bytes(), original.stat().st_mode)
            else:
                target.unlink(missing_ok=True)
                self._drop_empty(target.parent)
        for name in sorted(new):
            original = self.source.path / name
            mode = original.stat().st_mode if original.exists() else 0o644
            self._put(self.src / name, overlay[name], mode)
        self._note(new)

    def _known(self):
        return set(json.loads(self.manifest.read_text())) if self.manifest.exists() else set()

    def _note(self, names):
        tmp = self.manifest.with_suffix(".tmp")
        tmp.write_text(json.dumps(sorted(names)))
        os.replace(tmp, self.manifest)

    def _drop_empty(self, folder):
        while folder != self.src and not (self.source.path / folder.relative_to(self.src)).exists():
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    @staticmethod
    def _put(target, content, mode):
        if target.exists() and target.read_bytes() == content:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        tmp = target.with_name(f".{target.name}.tmp")
        tmp.write_bytes(content)
        tmp.chmod(mode & 0o777)
        os.replace(tmp, target)


def debian_source():
    from . import sysroot
    path = sysroot.pristine()
    version = version_of(path)
    return Source(path, path.name, version, f"linux-{version}")


def users_source(ksrc):
    """A copy of the user's own tree (theirs is never written to)."""
    ksrc = Path(ksrc).expanduser().resolve()
    if not (ksrc / "Kconfig").exists() or not (ksrc / "Makefile").exists():
        raise ui.Failure(f"KSRC={ksrc} is not a kernel source tree")
    name = "ksrc-" + cache.key(ksrc)[:8]
    copy = CACHE / "work" / name / "pristine-copy"
    log = LOGS / "ksrc.log"
    with cache.lock_or_tell("work-" + name, lambda: ui.say("  waiting: another run is using this KSRC")):
        with ui.Step(f"copying {ksrc}"):
            copy.mkdir(parents=True, exist_ok=True)
            listing = copy.parent / "changes"
            # Built trees carry generated files and objects; a copy must be clean.
            with open(listing, "wb") as out:
                child = run.spawn(["rsync", "-rlptEi", "--delete", "--exclude=.git", "--exclude=*.o", "--exclude=*.ko",
                                   "--exclude=*.cmd", "--exclude=/.config*", "--exclude=/include/config",
                                   "--exclude=/include/generated", "--exclude=/arch/*/include/generated",
                                   "--exclude=/vmlinux*", "--exclude=*.a", "--exclude=.tmp_*",
                                   f"{ksrc}/", f"{copy}/"], stdout=out)
                status = child.wait()
                run.forget(child)
            if status:
                raise ui.Failure("copying KSRC failed (rsync)", log)
            stamp = copy.parent / "identity"
            if listing.stat().st_size or not stamp.exists():
                stamp.write_text(cache.key(ksrc, os.urandom(8)))
    return Source(copy, stamp.read_text(), version_of(copy), name)
