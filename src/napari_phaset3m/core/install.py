"""The command that installs what is missing, into this Python."""

from __future__ import annotations

import re
import shlex
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

_NAME = "napari-phaset3m"
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


def install_command(extra: str) -> str:
    """A shell line that installs what an extra of this package stands for.

    It names the packages themselves, so that it works wherever this package came from: a checkout,
    a wheel or an index. It names this interpreter, because ``pip`` alone may belong to another one.

    Parameters
    ----------
    extra : str
        A name under ``[project.optional-dependencies]``, e.g. ``"cuda12"``.
    """
    try:
        wanted = [text.split(";") for text in requires(_NAME) or ()]
    except PackageNotFoundError:  # run from a source tree that was never installed
        return pip_install(f"{Path(__file__).resolve().parents[3]}[{extra}]")
    packages = [parts[0].strip() for parts in wanted if len(parts) > 1 and extra in _EXTRA.findall(parts[1])]
    return pip_install(*packages)


def pip_install(*packages: str) -> str:
    """``python -m pip install ...`` for this interpreter, quoted for a shell."""
    return shlex.join([sys.executable or "python3", "-m", "pip", "install", *packages])
