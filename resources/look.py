"""Look at the workspace as it is on other screens: run the sample in it and photograph the window.

    QT_SCALE_FACTOR=2 xvfb-run -a -s "-screen 0 3840x2160x24 +extension GLX" \
        python resources/look.py OUT.png --size 1600x1000 --theme light

``tests/gui/test_screens.py`` does this at twice the scale, on a small and on a 4K screen, and checks that
nothing of the panels is cut off.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any


def until(done: Any, seconds: float = 300) -> None:
    """Run the event loop until something is the case."""
    from qtpy.QtTest import QTest

    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise SystemExit("timed out")
        QTest.qWait(20)


def wait_for(done: Any, seconds: float = 5) -> None:
    """Give a layout the time to settle."""
    from qtpy.QtTest import QTest

    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        QTest.qWait(50)


def cut_off(window: Any) -> list[str]:
    """Labels, buttons and tabs of the panels that have less room than their text needs."""
    from qtpy.QtWidgets import QAbstractButton, QLabel

    from napari_phaset3m.gui.theme import ElidedLabel

    found = []
    for dock in window.findChildren(QLabel) + window.findChildren(QAbstractButton):
        ours = any(type(parent).__module__.startswith("napari_phaset3m") for parent in _above(dock))
        if not ours or not dock.isVisible() or isinstance(dock, ElidedLabel) or not dock.text():
            continue
        if getattr(dock, "wordWrap", lambda: False)():
            need, room = dock.heightForWidth(dock.width()), dock.height()
        else:
            need, room = dock.minimumSizeHint().width(), dock.width()
        if need > room + 1:
            found.append(f"{dock.text()}: needs {need}, has {room}")
    return found + _wider_than_shown(window)


def _wider_than_shown(window: Any) -> list[str]:
    """Panels whose right edge lies below their scroll bar, with no bar to bring it to sight."""
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QScrollArea

    never = Qt.ScrollBarPolicy.ScrollBarAlwaysOff
    return [
        f"{type(area).__name__}: needs {area.widget().width()}, has {area.viewport().width()}"
        for area in window.findChildren(QScrollArea)
        if area.isVisible() and area.widget() is not None and area.horizontalScrollBarPolicy() == never
        and any(type(part).__module__.startswith("napari_phaset3m") for part in (area, *_above(area)))
        and area.widget().width() > area.viewport().width() + 1
    ]  # fmt: skip


def _above(widget: Any) -> list[Any]:
    chain = []
    while (widget := widget.parent()) is not None:
        chain.append(widget)
    return chain


def main() -> None:
    """Open, run, photograph; prints what was measured as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--size", default="1366x768", help="of the window, in pixels of the interface")
    parser.add_argument("--theme", default="dark", choices=("dark", "light"))
    parser.add_argument("--preset", default="quick")
    options = parser.parse_args()
    own = tempfile.mkdtemp()  # nothing of the user's own settings or projects is touched
    os.environ |= {"XDG_CONFIG_HOME": own, "NAPARI_CONFIG": f"{own}/napari.yaml", "PHASET3M_CACHE": own}
    print(json.dumps(_take(options)))


def _take(options: argparse.Namespace) -> dict[str, Any]:
    from napari._qt.dialogs.qt_notification import NapariQtNotification
    from qtpy.QtTest import QTest

    from napari_phaset3m.gui.launch import open_workspace
    from napari_phaset3m.gui.tour import note_tour_offered
    from napari_phaset3m.presets import preset_config
    from napari_phaset3m.sample import sample_path
    from napari_phaset3m.session import session_for

    note_tour_offered()
    viewer = open_workspace(sample_path(), run=False, config=preset_config(options.preset))
    viewer.theme = options.theme
    window, session = viewer.window._qt_window, session_for(viewer)
    window.setGeometry(0, 0, *(int(n) for n in options.size.split("x")))
    session.device = "cpu"
    until(lambda: session.series is not None)
    workspace = session.attachments["workspace"]()
    panels = {}
    for step in ("Series", "Prepare", "Align", "Microscope", "Mask", "Analyse", "Reconstruct"):
        workspace.show_step(step)
        QTest.qWait(300)
        wait_for(lambda: not cut_off(window))
        panels[step] = cut_off(window)
    panel = workspace.panel("Reconstruct").panel
    until(panel.start.isEnabled)
    panel.start.click()
    until(lambda: session.active_run is None)
    for note in window.findChildren(NapariQtNotification):
        note.close()
    QTest.qWait(1500)
    picture = window.screen().grabWindow(0, 0, 0, window.width(), window.height())
    assert picture.save(str(options.output))
    told = {
        "status": session.runs[-1].status, "ratio": window.devicePixelRatioF(), "cut_off": panels,
        "window": [window.width(), window.height()], "picture": [picture.width(), picture.height()],
    }  # fmt: skip
    viewer.close()
    return told


if __name__ == "__main__":
    main()
