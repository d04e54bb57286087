# SPDX-License-Identifier: MIT
"""The guests' root file system, which also brings the kernel's source.

mmdebstrap makes it in one signature-checked step. Nothing in it needs root:
files belong to whoever unpacks them, and device nodes come from the guest's
own devtmpfs. The tarball of the kernel source moves out to stand beside it:

    sysroot-<key>/root/              what guests boot from, read-only
    sysroot-<key>/linux-source.tar.xz
    linux-<key>/                     that tarball unpacked: the pristine tree
"""

import hashlib
import os
import re
import shutil

from . import cache, host, run, ui
from .paths import LOGS, TOOLS

SUITE = "forky"
SOURCE = "linux-source-7.2"
PACKAGES = [
    SOURCE, "linux-image-amd64", "linux-headers-amd64", "kmod",      # kernels
    "gcc", "make", "libc6-dev", "libdrm-dev",                        # to build tests with
    "libpng-dev", "libjpeg62-turbo-dev", "mate-backgrounds",         # the demo's picture
    "igt-gpu-tools", "igt-gpu-tools-tests",                          # libigt, runner, upstream's tests
    "procps", "busybox-static",
    "sparse",                                                        # Debian 12's is too old for Linux 7.2
]
STUB = TOOLS / "guest" / "stub"     # the first process of every guest
MOUNT_POINTS = ["project", "build", "kernel"]


def _key():
    return cache.key(SUITE, PACKAGES, MOUNT_POINTS, STUB.read_bytes(), "recipe 1")


def get():
    """The sysroot's entry (its file system is in root/)."""
    return cache.entry("sysroot", _key(), _make,
                       tell=lambda: ui.say("  waiting: another run is making the root file system"))


def ready():
    """The same if it is there already, else None."""
    return get() if cache.has("sysroot", _key()) else None


def _make(tmp):
    host.need(host.ROOT_FS + ([] if host.is_root() else ["uidmap"]), "making the guests' root file system")
    tar, root, log = tmp / "root.tar", tmp / "root", LOGS / "sysroot.log"
    command = ["mmdebstrap", "--variant=minbase", "--architectures=amd64",
               '--aptopt=Acquire::Check-Valid-Until "false"',
               '--aptopt=APT::Install-Recommends "false"',
               "--include=" + ",".join(PACKAGES), SUITE, tar]
    with ui.Step(f"root file system (Debian {SUITE}; about 600 MB to download)") as step:
        def on_line(line):
            if line.startswith("I: "):
                step.progress = line[3:].strip().rstrip(".")[:50]
        env = dict(os.environ)
        if host.is_root():
            env["TMPDIR"] = str(tmp)     # swept with the rest if we are killed
        host.fetch(command, log, on_line=on_line, env=env)
        step.progress = "unpacking"
        root.mkdir()
        run.logged(["tar", "-C", root, "--no-same-owner", "--exclude=./dev/*", "-xf", tar], log)
        tar.unlink()
        for leftover in tmp.glob("mmdebstrap.*"):
            cache.remove(leftover)
        os.rename(root / "usr/src" / f"{SOURCE}.tar.xz", tmp / "linux-source.tar.xz")
        for name in MOUNT_POINTS:
            (root / name).mkdir()
        shutil.copy(STUB, root / "stub")
        (root / "stub").chmod(0o755)
        (root / "etc/resolv.conf").unlink(missing_ok=True)
        with open(tmp / "linux-source.tar.xz", "rb") as f:
            (tmp / "linux-source.sha256").write_text(_sha256(f))
        (tmp / "versions.txt").write_text(_versions(root))


def _sha256(f):
    digest = hashlib.sha256()
    while block := f.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _versions(root):
    """Package versions, from dpkg's own record."""
    status = (root / "var/lib/dpkg/status").read_text(errors="replace")
    found = dict(re.findall(r"^Package: (\S+)$.*?^Version: (\S+)$", status, re.M | re.S))
    wanted = PACKAGES + ["libigt0", "libdrm2", "libc6", "mesa-vulkan-drivers"]
    return "".join(f"{name} {found[name]}\n" for name in wanted if name in found)


def debian_release(entry):
    """Version of the Debian kernel in the sysroot."""
    return min(p.name for p in (entry / "root/usr/lib/modules").iterdir())


def pristine():
    """Debian's kernel source, unpacked."""
    source = get()
    key = (source / "linux-source.sha256").read_text()[:16]

    def make(tmp):
        with ui.Step("unpacking the kernel source"):
            run.logged(["tar", "-C", tmp, "--no-same-owner", "--strip-components=1",
                        "-xf", source / "linux-source.tar.xz"], LOGS / "sysroot.log")
    return cache.entry("linux", key, make,
                       tell=lambda: ui.say("  waiting: another run is unpacking the kernel source"))


def program(entry, path):
    """What runs a program of the root file system here, with its own libraries."""
    root = entry / "root"
    return f"{root}/usr/lib64/ld-linux-x86-64.so.2 --library-path {root}/usr/lib/x86_64-linux-gnu {root}/{path}"


def chroot(entry, binds, command, log, why):
    """Run a command inside the root file system, in mount and user namespaces of its own."""
    root = entry / "root"
    script = 'root=$1; shift\n'
    script += 'mount --rbind /dev "$root/dev"\nmount --rbind /proc "$root/proc"\nmount -t tmpfs none "$root/tmp"\n'
    script += 'while [ "$1" != -- ]; do mount --bind "$1" "$root/$2"; shift 2; done; shift\n'
    script += 'exec chroot "$root" "$@"\n'
    namespaces = ["--mount"] if host.is_root() else ["--mount", "--map-root-user"]
    pairs = [part for where, path in binds.items() for part in (path, where)]
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
    run.logged(["unshare", *namespaces, "--", "sh", "-ec", script, "sh", root, *pairs, "--", *command],
               log, why=why, env=env)
