# SPDX-License-Identifier: MIT
"""Where things are: the checkout, what is made in it, and the cache outside."""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
TOOLS = PROJECT / "tools"
BUILD = PROJECT / "build"
LOGS = BUILD / "log"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drm-userptr"
