# SPDX-License-Identifier: MIT
"""Debian's own kernel, with our drivers as out-of-tree modules.

The modules are built in the guests' root file system, with the compiler that
Debian built its kernel with. A small initramfs loads 9p and hands over to
the same stub as everywhere else.

    debian-<key>/vmlinuz, initramfs
                 lib/modules/<release>/     Debian's modules, ours in the place of theirs
"""

import os
import shutil
import subprocess

from . import cache, run, sysroot, tree, ui
from .machine import Qemu
from .paths import LOGS

# Which of our (or patched) driver directories, and how they are configured.
DRIVERS = {"userptr": "DRM_USERPTR", "vgem": "DRM_VGEM", "vkms": "DRM_VKMS"}
SWITCHES = ["DRM_VGEM_USERPTR"]

KBUILD = """LINUXINCLUDE := -I$(src)/include -I$(src)/include/uapi $(LINUXINCLUDE) -I$(srctree)/include/uapi/drm
export LINUXINCLUDE
"""

INIT = """#!/busybox sh
/busybox mkdir -p /proc /root /dev
/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do /busybox insmod $module; done
/busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro root /root
exec /busybox switch_root /root /stub
"""


class Debian(Qemu):
    boot = ("rdinit=/init",)

    def __init__(self, root, path):
        super().__init__(root, path, path / "vmlinuz", "3G")
        self.more = ("-initrd", str(path / "initramfs"))


def machine():
    entry = sysroot.get()
    release = sysroot.debian_release(entry)
    source = tree.debian_source()           # not KSRC: it must match Debian's kernel
    overlay = source.overlay()
    key = cache.key("recipe 1", entry.name, source.identity, sorted(overlay.items()), KBUILD, INIT)

    def make(tmp):
        with ui.Step(f"our modules for Debian's kernel {release}"):
            _build(tmp, entry, release, source, overlay)
    path = cache.entry("debian", key, make, tell=lambda: ui.say(
        "  waiting: another run is building modules for Debian's kernel"))
    return Debian(entry / "root", path)


def _build(tmp, entry, release, source, overlay):
    log = LOGS / "debian-modules.log"
    log.unlink(missing_ok=True)
    work = tmp / "work"
    _lay_out(work, source, overlay)
    symbols = [f"CONFIG_{s}=m" for s in DRIVERS.values()] + [f"CONFIG_{s}=y" for s in SWITCHES]
    flags = [f"-DCONFIG_{s}_MODULE=1" for s in DRIVERS.values()] + [f"-DCONFIG_{s}=1" for s in SWITCHES]
    sysroot.chroot(entry, {"build": work},
                   ["make", "-C", f"/usr/src/linux-headers-{release}", "M=/build", f"-j{(os.cpu_count() or 1) + 1}",
                    "KCFLAGS=" + " ".join(flags), *symbols, "modules"],
                   log, "our modules do not build against Debian's kernel headers")
    theirs = entry / "root/usr/lib/modules" / release
    modules = tmp / "lib/modules" / release
    modules.parent.mkdir(parents=True)
    run.logged(["cp", "-al", theirs, modules], log)
    for link in ("build", "source"):
        (modules / link).unlink(missing_ok=True)
    for ko in sorted(work.rglob("*.ko")):
        for old in modules.rglob(ko.stem + ".ko*"):
            old.unlink()
        (modules / "updates").mkdir(exist_ok=True)
        shutil.copy(ko, modules / "updates")
    for index in modules.glob("modules.*"):         # hard links: depmod must not write through them
        if index.name not in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            index.unlink()
    run.logged(["depmod", "-b", tmp, release], log, env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin"))
    shutil.copy(entry / "root/boot" / f"vmlinuz-{release}", tmp / "vmlinuz")
    _initramfs(tmp, entry, modules, log)
    cache.remove(work)


def _lay_out(work, source, overlay):
    """The driver directories as they are in the patched tree, and a Kbuild above them."""
    top = "drivers/gpu/drm"
    for name in DRIVERS:
        if (source.path / top / name).is_dir():
            shutil.copytree(source.path / top / name, work / name)
    for path, content in overlay.items():
        for prefix, place in [(f"{top}/{n}/", n) for n in DRIVERS] + [("include/", "include")]:
            if path.startswith(prefix):
                target = work / place / path.removeprefix(prefix)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
    present = [name for name in DRIVERS if (work / name / "Makefile").exists()]
    (work / "Kbuild").write_text(KBUILD + "".join(f"obj-m += {name}/\n" for name in present))


def _initramfs(tmp, entry, modules, log):
    tree_ = tmp / "initramfs.d"
    (tree_ / "modules").mkdir(parents=True)
    (tree_ / "init").write_text(INIT)
    (tree_ / "init").chmod(0o755)
    shutil.copy(entry / "root/usr/bin/busybox", tree_ / "busybox")
    for number, path in enumerate(("fs/netfs/netfs", "net/9p/9pnet", "net/9p/9pnet_virtio", "fs/9p/9p")):
        packed = modules / "kernel" / f"{path}.ko.xz"
        with open(tree_ / "modules" / f"{number}-{packed.name[:-3]}", "wb") as out:
            subprocess.run(["xz", "-dc", packed], stdout=out, check=True)
    run.logged(["sh", "-ec", 'cd "$1" && find . | cpio -o -H newc --quiet > "$2"', "sh", tree_, tmp / "initramfs"], log)
    cache.remove(tree_)
