"""Where this program keeps what it can make again, or what it must not lose in a crash."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """The user's folder for caches; ``PHASET3M_CACHE`` names another one."""
    given = os.environ.get("PHASET3M_CACHE")
    if given:
        return Path(given)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "napari-phaset3m"
