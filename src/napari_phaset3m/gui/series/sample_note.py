"""Where a measured series can be had: none is shipped, so Open Sample tells what is public."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

import napari
import numpy as np
from qtpy.QtCore import Qt, QTimer, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_phaset3m.gui.importing.dialog import open_import
from napari_phaset3m.gui.theme import GROUP_SPACING, LINE_SPACING, follow_theme, label, rule
from napari_phaset3m.gui.widgets.dialogs import show_dialog

if TYPE_CHECKING:
    from napari.components import ViewerModel

_WIDTH = 560
_KEY = "sample note"
_NAME = "Measured series"
INTRO = (
    "No measured series comes with the program: those that are public have licences or sizes that do not "
    "allow it. These can be had, and opened as they are."
)


@dataclass(frozen=True)
class Place:
    """Somewhere that gives series away; docs/data.md has the same."""

    name: str
    address: str
    what: str
    how: str


PLACES = (
    Place(
        "EMPIAR-10164", "https://www.ebi.ac.uk/empiar/EMPIAR-10164/",
        "HIV-1 virus-like particles in ice, 41 dose-symmetric tilts, SerialEM movies with .mdoc (CC0).",
        "Import… the .mdoc, bin 4 or more.",
    ),
    Place(
        "ETSpy (NIST)", "https://github.com/usnistgov/etspy",
        "HAADF-STEM series of a needle: HAADF.mrc with HAADF.rawtlt, 77 tilts.",
        "Open… HAADF.mrc. It goes through the linear methods.",
    ),
    Place(
        "EMPIAR", "https://www.ebi.ac.uk/empiar/",
        "Search for “electron tomography”: tilt series with .mdoc or .rawtlt.",
        "Import… the folder.",
    ),
    Place(
        "tomviz", "https://tomviz.org/",
        "STEM tilt series of nanoparticles.",
        "Convert to TIFF or MRC with a .rawtlt beside it, then open it.",
    ),
)  # fmt: skip


class SampleNote(QDialog):
    """What is public, where, and how it is opened.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QWidget, optional
    """

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.setWindowTitle("Measured series")
        self.setMinimumWidth(_WIDTH)
        layout = QVBoxLayout(self)
        layout.setSpacing(GROUP_SPACING)
        layout.addWidget(label(INTRO, wrap=True))
        for place in PLACES:
            layout.addWidget(rule())
            layout.addLayout(_entry(place))
        layout.addWidget(rule())
        needs = "PhaseT3M itself needs bright-field HRTEM images at known defocus."
        layout.addWidget(label(needs, "muted", wrap=True))
        self.import_, self.close_ = QPushButton("Import…"), QPushButton("Close")
        self.import_.setToolTip("Make a series of files that you have")
        self.import_.clicked.connect(self._on_import)
        self.close_.clicked.connect(self.accept)
        row = QHBoxLayout()
        row.addWidget(self.import_)
        row.addStretch(1)
        row.addWidget(self.close_)
        layout.addLayout(row)
        follow_theme(self, viewer)

    def showEvent(self, event: Any) -> None:
        """As high as its lines need when they are wrapped; a dialog by itself does not ask them."""
        super().showEvent(event)
        self.setMinimumHeight(self.layout().heightForWidth(self.width()))

    def _on_import(self) -> None:
        self.accept()
        open_import(self._viewer)


def _entry(place: Place) -> QVBoxLayout:
    column = QVBoxLayout()
    column.setSpacing(LINE_SPACING)
    head = QHBoxLayout()
    head.addWidget(label(place.name, "title"))
    head.addStretch(1)
    link = QPushButton("Open page")
    link.setToolTip(f"{place.address} in the browser")
    link.clicked.connect(partial(_browse, place.address))
    head.addWidget(link)
    column.addLayout(head)
    column.addWidget(label(place.what, wrap=True))
    address = label(place.address, "muted")
    address.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    column.addWidget(address)
    column.addWidget(label(place.how, wrap=True))
    return column


def _browse(address: str, *_: object) -> None:
    QDesktopServices.openUrl(QUrl(address))


def show_sample_note(viewer: ViewerModel) -> SampleNote:
    """Tell where measured series are."""
    note: SampleNote = show_dialog(viewer, _KEY, SampleNote)
    return note


def measured_series() -> list[tuple[Any, dict[str, Any], str]]:
    """File ▸ Open Sample: the note, in the window that is in front.

    napari takes a sample without layers for a fault, so that an empty one is given, and taken away at once.
    """
    viewer = napari.current_viewer()
    if viewer is None:
        return [_nothing()]
    show_sample_note(viewer)
    QTimer.singleShot(0, partial(_take_away, ref(viewer)))
    return [_nothing()]


def _nothing() -> tuple[Any, dict[str, Any], str]:
    return np.empty((0, 2)), {"name": _NAME}, "points"


def _take_away(owner: Any) -> None:
    viewer = owner()
    if viewer is not None:
        for layer in [found for found in viewer.layers if found.name == _NAME and len(found.data) == 0]:
            viewer.layers.remove(layer)
