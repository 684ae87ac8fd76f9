"""A person at the window: from Open Sample to a masked, analysed, exported result, by clicks and keys only.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python resources/person.py docs/images

Every control is found by what it says on the screen. ``tests/gui/test_person.py`` goes the same way; this
script keeps the pictures, of which the docs show those named in :data:`SHOWN`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QMenu,
    QTabBar,
    QTreeWidget,
    QWidget,
)

#: Pictures that are in the docs.
SHOWN = ("sample", "reconstructed", "masked", "analysed", "exported")
SIZE = (1366, 768)
LEFT = Qt.MouseButton.LeftButton


class Person:
    """Sees texts, clicks, types and waits.

    Parameters
    ----------
    viewer : napari.Viewer
        Shown.
    pictures : Path
        Folder for a picture of every step.
    names : sequence of str, optional
        Pictures to keep; all by default.
    """

    def __init__(self, viewer: Any, pictures: Path, names: Sequence[str] | None = None) -> None:
        self.window = viewer.window._qt_window
        self.window.setGeometry(0, 0, *SIZE)
        self._pictures, self._names = pictures, names
        pictures.mkdir(parents=True, exist_ok=True)

    # seeing

    def until(self, what: str, seen: Callable[[], Any], seconds: float = 120) -> Any:
        """Wait for something on the screen; returns it."""
        end = time.monotonic() + seconds
        while True:
            found = seen()
            if found:
                return found
            if time.monotonic() > end:
                self._grab("failed")
                raise TimeoutError(f"after {seconds:g} s still not there: {what}")
            QTest.qWait(20)

    def _all(self, kind: Any, text: str) -> list[Any]:
        return [w for w in self.window.findChildren(kind) if w.isVisible() and text in _words(w)]

    def sees(self, text: str) -> bool:
        """Whether a label on the screen says it."""
        return bool(self._all(QLabel, text))

    def button(self, text: str, below: str = "") -> Any:
        """The button that says it, once it can be pressed; ``below`` a heading, the first after it."""
        return self.until(f"button “{text}”", lambda: self._button(text, below))

    def _button(self, text: str, below: str) -> Any:
        found = [b for b in self._all(QAbstractButton, "") if _plain(b.text()) == text and b.isEnabled()]
        if below:
            heads = [h for h in self._all(QLabel, below) if h.text() == below]
            found = [b for b in found if heads and b.parent() is heads[0].parent()]
        return found[0] if found else None

    def field(self, label: str) -> QWidget:
        """The control beside a label."""
        found = self.until(f"field “{label}”", lambda: [w for w in self._all(QLabel, label) if w.buddy()])
        return found[0].buddy()

    # doing

    def click(self, text: str, below: str = "") -> None:
        """Press a button with the mouse."""
        button = self.button(text, below)
        _scroll_to(button)
        QTest.mouseClick(button, LEFT)

    def menu(self, *texts: str) -> None:
        """Choose from the menu bar, entry by entry."""
        bar = self.window.menuBar()
        QTest.mouseClick(bar, LEFT, pos=bar.actionGeometry(_entry(bar, texts[0])).center())
        for text in texts[1:]:
            shown = self.until(f"menu with “{text}”", lambda t=text: _popup_with(t))
            entry = _entry(shown, text)
            if entry.menu() is None:
                QTest.mouseClick(shown, LEFT, pos=shown.actionGeometry(entry).center())
            else:  # by keys: a submenu that opens by itself under the pointer would be closed by a click
                shown.setActiveAction(entry)
                QTest.keyClick(shown, Qt.Key.Key_Right)

    def choose(self, label: str, text: str) -> None:
        """Choose in a drop-down list with the keyboard."""
        box = self.field(label)
        assert isinstance(box, QComboBox)
        _scroll_to(box)
        box.setFocus()
        QTest.keyClicks(box, text)
        self.until(f"“{text}” in “{label}”", lambda: box.currentText() == text, 5)

    def type(self, label: str, text: str) -> None:
        """Type into a field and press Return."""
        box = self.field(label)
        _scroll_to(box)
        edit = box.findChild(QLineEdit) if isinstance(box, QAbstractSpinBox) else box
        QTest.mouseClick(edit, LEFT)
        QTest.keyClick(edit, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        QTest.keyClicks(edit, text)
        QTest.keyClick(edit, Qt.Key.Key_Return)

    def tab(self, text: str) -> None:
        """Click a tab."""
        for bar in self.window.findChildren(QTabBar):
            for place in range(bar.count()) if bar.isVisible() else ():
                if bar.tabText(place) == text:
                    QTest.mouseClick(bar, LEFT, pos=bar.tabRect(place).center())
                    return
        raise LookupError(f"no tab says “{text}”")

    def save_as(self, button: str, path: Path) -> None:
        """Press a button that asks for a file, and type its name."""
        timer = QTimer()
        timer.timeout.connect(lambda: self._type_name(path))
        timer.start(300)
        self.click(button)
        timer.stop()

    @staticmethod
    def _type_name(path: Path) -> None:
        dialog = QApplication.activeModalWidget()
        if isinstance(dialog, QFileDialog):
            edit = dialog.findChild(QLineEdit)
            QTest.keyClick(edit, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
            QTest.keyClicks(edit, str(path))
            QTest.keyClick(edit, Qt.Key.Key_Return)

    def row(self, place: int) -> None:
        """Click a row of the table on the screen."""
        (table,) = self._all(QTreeWidget, "Runs")
        item = table.visualItemRect(table.topLevelItem(place))
        QTest.mouseClick(table.viewport(), LEFT, pos=QPoint(item.left() + 80, item.center().y()))

    def shoot(self, name: str) -> None:
        """Keep a picture of the window as it is on the screen."""
        from napari._qt.dialogs.qt_notification import NapariQtNotification

        if self._names is not None and name not in self._names:
            return
        for note in self.window.findChildren(NapariQtNotification):
            note.close()
        QTest.qWait(2500)  # the first picture of a canvas takes software OpenGL long
        self._grab(name)

    def _grab(self, name: str) -> None:
        picture = self.window.screen().grabWindow(0, 0, 0, *SIZE)
        assert picture.save(str(self._pictures / f"person_{name}.png"))


def _plain(text: str) -> str:
    """A text without the accelerator mark, and without the step guide's sign of progress."""
    return text.replace("&", "").lstrip("✓○● ")


def _words(widget: Any) -> str:
    return " ".join(str(part()) for part in (getattr(widget, "text", str), widget.accessibleName))


def _entry(menu: Any, text: str) -> Any:
    return next(a for a in menu.actions() if _plain(a.text()) == text)


def _popup_with(text: str) -> Any:
    popups = [w for w in QApplication.topLevelWidgets() if isinstance(w, QMenu) and w.isVisible()]
    return next((m for m in popups if any(_plain(a.text()) == text for a in m.actions())), None)


def _scroll_to(widget: QWidget) -> None:
    above = widget.parentWidget()
    while above is not None:
        if hasattr(above, "ensureWidgetVisible"):
            above.ensureWidgetVisible(widget)
        above = above.parentWidget()
    QTest.qWait(30)


# the way


def open_sample(person: Person) -> None:
    """File ▸ Open Sample, then the workspace."""
    person.menu("File", "Open Sample", "PhaseT3M", "Co₃O₄ nanoparticle, tilt/focal series")
    person.menu("Plugins", "PhaseT3M", "Workspace (PhaseT3M)")
    person.until("the series", lambda: person.sees("31 tilts"), 8)
    person.shoot("sample")


def reconstruct(person: Person, sweeps: int = 3, voxel_angstrom: float = 1.0) -> None:
    """Three sweeps with large voxels."""
    person.click("Reconstruct")
    person.type("Sweeps", str(sweeps))
    person.type("Voxel", f"{voxel_angstrom:g}")
    person.shoot("settings")
    person.click("Start reconstruction")
    person.until("the result", lambda: person.sees(f"{sweeps} sweeps in"), 30)
    person.shoot("reconstructed")


def mask(person: Person) -> None:
    """The automatic recipe, for analysis."""
    person.click("Mask")
    person.click("Use for analysis")
    person.until("mask in use", lambda: person.sees("In use for: analysis"))
    person.shoot("masked")


def analyse(person: Person) -> None:
    """Power spectrum and slices."""
    person.click("Analyse")
    person.click("Compute", below="Slices")
    person.click("Compute", below="Bragg peaks")
    person.button("Show", below="Bragg peaks")
    person.shoot("analysed")


def export(person: Person, folder: Path) -> None:
    """The report of everything, and the volume."""
    person.save_as("Write report…", folder / "report.html")
    person.button("Open report")
    person.tab("Runs")
    person.row(0)
    person.save_as("Export…", folder / "particle.mrc")
    person.until("saved", lambda: person.sees("Saved "))
    person.shoot("exported")


def walk(person: Person, folder: Path) -> None:
    """The whole way; results are written to ``folder``."""
    open_sample(person)
    reconstruct(person)
    mask(person)
    analyse(person)
    export(person, folder)


def main() -> None:
    """Go the way and keep the pictures of the docs."""
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("output", type=Path)
    given.add_argument("--all", action="store_true", help="Keep every picture")
    options = given.parse_args()
    own = tempfile.mkdtemp()  # nothing of the user's own settings or projects is touched
    os.environ |= {"XDG_CONFIG_HOME": own, "NAPARI_CONFIG": f"{own}/napari.yaml", "PHASET3M_CACHE": own}
    import napari

    from napari_phaset3m.gui.tour import note_tour_offered

    note_tour_offered()
    viewer = napari.Viewer()
    walk(Person(viewer, options.output, None if options.all else SHOWN), Path(own))
    viewer.close()
    QApplication.processEvents()


if __name__ == "__main__":
    main()
