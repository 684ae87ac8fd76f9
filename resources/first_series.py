"""A new user's way from the README to the first own series, in the real window; counts what is done.

usage: python resources/first_series.py [--data FOLDER] [-o docs/images]

The series is HAADF.mrc with HAADF.rawtlt (of NIST's ETSpy), by default from ../shared/data. Every action is
one that a person does: a command, a click, a name that is typed. Draws the pictures of docs/first_series.md.
Needs a display (xvfb-run will do).
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari.settings import get_settings
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog, QWidget

from napari_phaset3m.gui.launch import open_workspace
from napari_phaset3m.gui.tour import note_tour_offered
from napari_phaset3m.gui.views import ViewsWidget
from napari_phaset3m.gui.workspace import Workspace
from napari_phaset3m.session import session_for

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "real" / "haadf_needle"
_LIMIT_S, _PATIENCE_S = 600, 45


class Person:
    """Does one thing after the other and counts."""

    def __init__(self, viewer: Any, folder: Path) -> None:
        self.viewer, self.folder, self.actions = viewer, folder, 0
        self.window = viewer.window._qt_window

    def act(self, text: str) -> None:
        """Count an action."""
        self.actions += 1
        print(f"{self.actions:2d}. {text}", flush=True)

    def click(self, text: str, widget: QWidget) -> None:
        """Click a widget that can be clicked."""
        assert widget.isVisible() and widget.isEnabled(), f"{text}: {widget.toolTip()}"
        self.act(text)
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=QPoint(12, widget.height() // 2))
        pump(0.3)

    def wait(self, done: Callable[[], bool]) -> None:
        """Wait as a person does: until it is there."""
        began = time.monotonic()
        while not done():
            assert time.monotonic() - began < _LIMIT_S, "nothing happened"
            pump(0.05)
        pump(0.5)

    def picture(self, name: str) -> None:
        """Photograph the screen."""
        pump(0.8)
        QApplication.primaryScreen().grabWindow(self.window.winId()).save(str(self.folder / f"{name}.png"))


def pump(seconds: float) -> None:
    """Let the window live for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.005)


def go(stack: Path, folder: Path) -> int:
    """Open, align, reconstruct and save a stack; returns the number of actions."""
    print(" 1. pip install '.[pyqt5,fast]'")
    print(" 2. phaset3m view HAADF.mrc", flush=True)
    settings = get_settings()
    settings.application.gui_notification_level = "error"  # PyQt5's end is not what the pictures are about
    note_tour_offered()
    viewer = open_workspace(stack, run=False)
    viewer.window.resize(1366, 768)
    person = Person(viewer, folder)
    person.actions = 2
    session = session_for(viewer)
    (workspace,) = (w for w in viewer.window.dock_widgets.values() if isinstance(w, Workspace))
    series = workspace.panel("Series")
    person.wait(lambda: series.file.ask.isVisible() or session.series is not None)
    person.picture("first_ask")
    if session.series is None:
        person.click("Click 'Open as dark field'", series.file.ask.button)
        person.wait(lambda: session.series is not None)
    person.picture("first_series")
    align(person, workspace, session)
    reconstruct(person, workspace, session)
    save(person, viewer, stack.with_name("needle.mrc"))
    viewer.close()
    pump(0.5)
    return person.actions


def align(person: Person, workspace: Workspace, session: Any) -> None:
    """Align and accept."""
    person.click("Click step 'Align'", workspace.guide.buttons[2])
    panel = workspace.panel("Align")
    person.click("Click 'Align'", panel.run)
    began = time.monotonic()
    person.wait(lambda: not panel.work.driver.busy or time.monotonic() - began > _PATIENCE_S)
    if panel.work.driver.busy:
        person.picture("first_align")
        person.click("Click 'Finish now'", panel.bar.finish)
    person.wait(lambda: panel.work.draft is not None and not panel.work.driver.busy)
    person.click("Click 'Accept into series'", panel.ends.accept)


def reconstruct(person: Person, workspace: Workspace, session: Any) -> None:
    """Reconstruct by SIRT, and save the volume."""
    person.click("Click step 'Reconstruct'", workspace.guide.buttons[4])
    panel = workspace.panel("Reconstruct").panel
    person.wait(panel.start.isEnabled)  # the alignment may have to turn the images first
    person.click("Click 'Start reconstruction'", panel.start)
    person.wait(lambda: any(run.status == "finished" for run in session.runs))
    person.picture("first_volume")


def save(person: Person, viewer: Any, path: Path) -> None:
    """Save the volume from the list of runs; the file dialog is answered as a person would type."""
    (views,) = (w for w in viewer.window.dock_widgets.values() if isinstance(w, ViewsWidget))
    person.act("Click tab 'Runs'")
    place = [views.tabs.tabText(k) for k in range(views.tabs.count())].index("Runs")
    bar = views.tabs.tabBar()
    QTest.mouseClick(bar, Qt.MouseButton.LeftButton, pos=bar.tabRect(place).center())
    pump(0.5)
    runs = views.tabs.widget(place)
    runs.table.setCurrentItem(runs.table.topLevelItem(0))
    QFileDialog.getSaveFileName = staticmethod(lambda *_, **__: (str(path), "MRC (*.mrc)"))
    person.click("Click 'Export…'", runs.save_button)
    person.act("Type a name, Enter")
    person.wait(path.exists)


def main() -> None:
    """Go the way and tell how many actions it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "images")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PHASET3M_CACHE"] = f"{folder}/cache"  # nothing of the user's own projects is seen
        for name in ("HAADF.mrc", "HAADF.rawtlt", "HAADF.txt"):
            shutil.copy(given.data / name, folder)
        print(f"{go(Path(folder) / 'HAADF.mrc', given.output)} actions")


if __name__ == "__main__":
    main()
