"""``phaset3m doctor`` and ``view``."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_phaset3m.core.install import install_command
from napari_phaset3m.core.system import qt_bindings, system_report, system_text
from napari_phaset3m.errors import DeviceError


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False) -> None:
    """Say which device and FFT are used, what is missing and the command that installs it."""
    report = system_report()
    print(json.dumps(report, indent=2) if as_json else system_text(report))


def has_display() -> bool:
    """Whether Qt can open a window: tried in another process, because Qt aborts the one that cannot."""
    named = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in named):
        return False
    if not qt_bindings():
        return False
    code = "from qtpy.QtWidgets import QApplication; QApplication([])"
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def window(otherwise: str = "") -> Any:
    """The module that opens napari with the workspace.

    Raises
    ------
    DeviceError
        There is no Qt binding or no display.
    """
    if not qt_bindings():
        raise DeviceError(f"No Qt binding is installed. Install one: {install_command('pyqt5')}")
    if not has_display():
        raise DeviceError(f"napari needs a display, and Qt can open none here. {otherwise}".rstrip())
    # Looked up only when asked for: the command line depends on the engine, not on the window.
    return importlib.import_module("napari_phaset3m.gui.launch")


def view(paths: Annotated[list[Path], typer.Argument(help="Volumes or series")]) -> None:
    """Open napari with the workspace on a series, or on volumes (and further series) as layers."""
    from napari_phaset3m.io.limits import check_exists
    from napari_phaset3m.io.napari_hooks import read_layers

    for path in paths:
        check_exists(path)
    layers = {path: read_layers(str(path))[0] for path in paths}
    kinds = {path: layer[1]["metadata"]["phaset3m"]["kind"] for path, layer in layers.items()}
    series = next((path for path in paths if kinds[path] == "series"), None)
    launch = window()
    import napari

    viewer = launch.open_workspace(series, run=False)
    for path, (data, options, _) in layers.items():
        if path != series:
            viewer.add_image(data, **options)
    napari.run()
