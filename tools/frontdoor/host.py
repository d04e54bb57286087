# SPDX-License-Identifier: MIT
"""What the host must have: Debian packages, installed by apt when missing."""

import os
import re
import shutil
import subprocess

from . import run, ui
from .paths import LOGS

BUILDING = ["make", "gcc", "libc6-dev", "flex", "bison", "bc", "libelf-dev",
            "libssl-dev", "rsync", "cpio", "xz-utils", "patch", "kmod", "util-linux"]
ROOT_FS = ["mmdebstrap", "debian-archive-keyring"]
EMULATOR = ["qemu-system-x86"]

NO_NETWORK = re.compile(r"Could not resolve|Temporary failure|Unable to connect|"
                        r"Could not connect|Network is unreachable|Connection refused|"
                        r"Connection timed out|No route to host")


def is_root():
    return os.geteuid() == 0


def need(packages, why):
    """Have these packages, or say exactly what is to be done."""
    if not shutil.which("dpkg-query"):
        raise ui.Failure("this is not Debian (no dpkg-query): the set-up needs Debian 12 or newer")
    known = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    there = {line.split()[0] for line in known.splitlines() if line.endswith(" installed")}
    missing = [p for p in packages if p not in there]
    if not missing:
        return
    line = "apt-get install --no-install-recommends " + " ".join(missing)
    if not is_root():
        raise ui.Failure(f"{why} needs Debian packages that are not installed, and installing "
                         f"packages needs root.\nRun this once, then try again:\n\n    sudo {line}\n")
    log = LOGS / "apt.log"
    options = ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=2"]
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    with ui.Step(f"installing {' '.join(missing)}"):
        # If a run before this one was stopped in the middle of an installation, apt wants this first.
        run.logged(["dpkg", "--force-confold", "--configure", "-a"], log, env=env)
        fetch(["apt-get", *options, "update"], log, env=env)
        fetch(["apt-get", *options, "-y", *line.split()[1:]], log, env=env)


def fetch(command, log, **options):
    """Run something that downloads; be clear when the network is what is missing."""
    start = log.stat().st_size if log.exists() else 0
    try:
        run.logged(command, log, **options)
    except ui.Failure as failure:
        with open(log, errors="replace") as f:
            f.seek(start)
            text = f.read()
        if NO_NETWORK.search(text):
            raise ui.Failure("no network: the first run downloads about 700 MB from a Debian mirror "
                             "(later runs need none)", log) from None
        raise failure
