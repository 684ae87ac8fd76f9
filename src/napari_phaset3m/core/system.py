"""What this computer offers: device, FFT, Qt, and what is missing with the command that installs it."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from napari_phaset3m.core.install import install_command

_BINDINGS = ("PyQt5", "PyQt6", "PySide6")
_OPTIONAL = {
    "pyfftw": "fast", "rsciio": "em-io", "ase": "atoms", "ome_zarr": "zarr",
    "dask": "dask", "matplotlib": "figures", "imageio_ffmpeg": "film",
}  # fmt: skip

#: How a report's lines begin; the keys themselves are for programs.
_LABELS = {
    "version": "Version", "device": "Device", "cuda_problem": "GPU", "fft": "FFT",
    "numba_cache": "Numba cache", "qt": "Qt", "opengl": "OpenGL", "missing": "Missing",
}  # fmt: skip
_WIDTH = 1 + max(map(len, _LABELS.values()))


def _found(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def qt_bindings() -> list[str]:
    """Names of the Qt bindings that are installed; none of them is imported."""
    return [name for name in _BINDINGS if _found(name)]


def system_report() -> dict[str, Any]:
    """Version, device, FFT, caches and Qt; under ``"missing"`` a command for each package that is not there.

    Takes up to seconds: the device is asked.
    """
    from napari_phaset3m import __version__
    from napari_phaset3m.core.backend import cuda_problem, resolve_device
    from napari_phaset3m.core.fft import fft_backend

    bindings = qt_bindings()
    missing = {name: install_command(extra) for name, extra in _OPTIONAL.items() if not _found(name)}
    if not bindings:
        missing["Qt"] = install_command("pyqt5")
    return {
        "version": __version__,
        "device": resolve_device("auto").label,
        "cuda_problem": cuda_problem(),
        "fft": fft_backend(),
        "numba_cache": os.environ.get("NUMBA_CACHE_DIR") or "__pycache__ beside the package",
        "qt": bindings,
        "missing": missing,
    }


def system_text(report: dict[str, Any]) -> str:
    """A report of :func:`system_report` as lines to read."""
    lines = []
    for key, value in report.items():
        if key != "missing":
            shown = ", ".join(value) if isinstance(value, list) else value
            nothing = "no problem" if key == "cuda_problem" else "none"
            lines.append(_line(key, shown or nothing))
    lines += [_line("missing", f"{name}: {remedy}") for name, remedy in report["missing"].items()]
    return "\n".join(lines)


def _line(key: str, text: str) -> str:
    return f"{_LABELS[key]:<{_WIDTH}} {text}"
