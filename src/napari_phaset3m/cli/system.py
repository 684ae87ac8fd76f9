"""``phaset3m doctor`` and ``view``."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_phaset3m.errors import DataError, DeviceError

_OPTIONAL = {
    "pyfftw": "fast", "rsciio": "em-io", "ase": "atoms", "ome_zarr": "zarr",
    "dask": "dask", "matplotlib": "figures",
}  # fmt: skip


def _found(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _report() -> dict[str, Any]:
    from napari_phaset3m import __version__
    from napari_phaset3m.core.backend import cuda_problem, resolve_device
    from napari_phaset3m.core.fft import fft_backend

    bindings = [name for name in ("PyQt5", "PyQt6", "PySide6") if _found(name)]
    missing = {
        name: f"pip install 'napari-phaset3m[{x}]'" for name, x in _OPTIONAL.items() if not _found(name)
    }
    if not bindings:
        missing["Qt"] = "pip install 'napari-phaset3m[pyqt5]'"
    return {
        "version": __version__,
        "device": resolve_device("auto").label,
        "cuda_problem": cuda_problem(),
        "fft": fft_backend(),
        "numba_cache": os.environ.get("NUMBA_CACHE_DIR") or "__pycache__ beside the package",
        "qt": bindings,
        "missing": missing,
    }


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False) -> None:
    """Say which device and FFT are used, what is missing and the command that installs it."""
    report = _report()
    if as_json:
        print(json.dumps(report, indent=2))
        return
    for key, value in report.items():
        if key != "missing":
            shown = ", ".join(value) if isinstance(value, list) else value
            print(f"{key:<13} {shown or 'none'}")
    for name, remedy in report["missing"].items():
        print(f"missing       {name}: {remedy}")


def view(paths: Annotated[list[Path], typer.Argument(help="Volumes or series")]) -> None:
    """Open napari on results or series."""
    for path in paths:
        if not path.exists():
            raise DataError("does not exist", path=path)
    if not any(_found(name) for name in ("PyQt5", "PyQt6", "PySide6")):
        raise DeviceError("No Qt binding is installed. Install one: pip install 'napari-phaset3m[pyqt5]'")
    import napari

    viewer = napari.Viewer()
    viewer.open([str(path) for path in paths], stack=False, plugin="napari-phaset3m")
    napari.run()
