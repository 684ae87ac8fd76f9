"""A figure for a paper: what it shows, how wide, with a preview, and Save."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QVBoxLayout

from napari_phaset3m.analyse.figures.publication import (
    COLOUR_MAPS,
    FORMATS,
    PANELS,
    PAPER_DPI,
    TWO_COLUMNS_MM,
    WIDTHS_MM,
    FigureSettings,
)
from napari_phaset3m.errors import DataError
from napari_phaset3m.gui.paper.dialog import PaperDialog, open_paper
from napari_phaset3m.gui.paper.subject import PaperSubject, subject_of_layer
from napari_phaset3m.gui.theme import LINE_SPACING
from napari_phaset3m.gui.widgets.choice_box import ChoiceBox
from napari_phaset3m.session import session_for

if TYPE_CHECKING:
    from napari_phaset3m.gui.paper.work import Job

_PANELS = {
    "slices": ("Central slices", "The three planes through the rotation centre, scale bars in Å"),
    "transforms": ("Their transforms", "Log power, resolution rings, scale bars in Å⁻¹, the missing wedge"),
    "surface": ("Surface", "At Otsu's threshold of the volume, lit from the viewer"),
    "power": ("Power spectrum", "Mean over shells of equal resolution"),
    "fsc": ("FSC", "Correlation of the halves with its threshold"),
}  # fmt: skip
_NO_HALVES = "There are no halves of this volume: compute them in step Analyse, under Resolution"
_FORMATS = {".svg": "SVG", ".png": f"PNG, {PAPER_DPI} dpi", ".pdf": "PDF"}


class FigureDialog(PaperDialog):
    """Settings of :class:`.FigureSettings`."""

    TITLE = "Figure"

    def make_form(self) -> None:
        """Fill the form."""
        start = FigureSettings()
        self.panels: dict[str, QCheckBox] = {}
        shown = QVBoxLayout()
        shown.setSpacing(LINE_SPACING)
        for name in PANELS:
            text, tip = _PANELS[name]
            box = self.panels[name] = QCheckBox(text)
            box.setToolTip(tip)
            box.setChecked(name in start.panels)
            shown.addWidget(box)
        if self.subject.halves is None:
            self.panels["fsc"].setChecked(False)
            self.panels["fsc"].setEnabled(False)
            self.panels["fsc"].setToolTip(_NO_HALVES)
        self.thickness = _number(0.0, 999.0, start.thickness_angstrom, " Å", 1)
        self.thickness.setToolTip("Of the slices that are averaged; one voxel at least")
        self.width_mm = _number(*WIDTHS_MM, TWO_COLUMNS_MM, " mm", 0)
        self.width_mm.setToolTip(
            "On paper: 88 for one column, 180 for two; below 130 plots get rows of their own"
        )
        self.colours, self.format = ChoiceBox(), ChoiceBox()
        self.colours.addItems(COLOUR_MAPS)
        self.colours.setToolTip("Of the slices; all run evenly from dark to light and print in grey")
        self.format.setToolTip("In SVG and PDF letters stay letters, which the journal can set")
        for suffix in FORMATS:
            self.format.addItem(_FORMATS[suffix], suffix)
        self.form.addRow("Panels", shown)
        for text, widget in (
            ("Thickness", self.thickness), ("Width", self.width_mm), ("Colours", self.colours),
            ("Format", self.format),
        ):  # fmt: skip
            self.form.addRow(text, widget)
        for box in self.panels.values():
            box.toggled.connect(self.on_changed)
        for number in (self.thickness, self.width_mm):
            number.valueChanged.connect(self.on_changed)
        self.colours.currentIndexChanged.connect(self.on_changed)

    def settings(self) -> FigureSettings:
        """As the form has them."""
        chosen = tuple(name for name, box in self.panels.items() if box.isChecked())
        return FigureSettings(
            self.thickness.value(), self.colours.currentText(), chosen, self.width_mm.value()
        )

    def why_not(self) -> str:
        """Why nothing can be drawn."""
        return "" if any(box.isChecked() for box in self.panels.values()) else "Choose a panel at least"

    def told(self) -> str:
        """What the preview does not say."""
        wedge = "" if self.subject.tilt_range_deg else "; without the missing wedge: its series is not open"
        return f"Letters are as large as in print{wedge}."

    def preview_job(self) -> Job:
        """A PNG's bytes."""
        return partial(_bytes, self.subject, self.settings())

    def pixmap_of(self, found: Any) -> QPixmap:
        """The PNG as a picture."""
        pixmap = QPixmap()
        pixmap.loadFromData(found, "PNG")
        return pixmap

    def file_name(self) -> tuple[str, str]:
        """By the chosen format."""
        suffix = self.format.currentData()
        return f"{self.subject.stem}_figure{suffix}", f"{suffix[1:].upper()} (*{suffix})"

    def with_suffix(self, path: Path) -> Path:
        """A suffix that was typed is taken where it can be."""
        known = path.suffix.lower() in FORMATS
        return path if known else path.with_name(path.name + self.format.currentData())

    def require(self, path: Path) -> None:
        """Refuse what cannot be written."""
        from napari_phaset3m.report.paper import require_figure

        require_figure(path)

    def save_job(self, path: Path) -> Job:
        """Write the figure."""
        return partial(_save, path, self.subject, self.settings())


def _number(low: float, high: float, value: float, suffix: str, decimals: int) -> QDoubleSpinBox:
    made = QDoubleSpinBox()
    made.setDecimals(decimals)
    made.setRange(low, high)
    made.setSuffix(suffix)
    made.setValue(value)
    made.setKeyboardTracking(False)
    return made


def _given(subject: PaperSubject, settings: FigureSettings) -> tuple[tuple[Any, ...], dict[str, Any]]:
    options = {
        "unit": subject.unit, "tilt_range_deg": subject.tilt_range_deg, "halves": subject.halves,
    }  # fmt: skip
    return (np.asarray(subject.volume), subject.voxel_size_angstrom, settings), options


def _bytes(subject: PaperSubject, settings: FigureSettings, show: Any) -> bytes:
    from napari_phaset3m.report.paper import figure_bytes

    given, options = _given(subject, settings)
    return figure_bytes(*given, **options, show=show)


def _save(path: Path, subject: PaperSubject, settings: FigureSettings, show: Any) -> Path:
    from napari_phaset3m.report.paper import save_figure

    given, options = _given(subject, settings)
    told = {
        "width_mm": settings.width_mm, "thickness_angstrom": settings.thickness_angstrom,
        "panels": settings.panels, "colour_map": settings.colour_map,
    }  # fmt: skip
    return save_figure(path, *given, **options, show=show, record=subject.provenance(told))


def figure_command(viewer: napari.Viewer) -> None:
    """Make a figure of the selected layer's volume (a command of napari's menus)."""
    open_for_layer(viewer, FigureDialog)


def open_for_layer(viewer: Any, kind: type[PaperDialog]) -> PaperDialog | None:
    """Open a window for the volume of the selected layer, or say why not."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands proxies to commands
    try:
        subject = subject_of_layer(session_for(viewer), viewer, viewer.layers.selection.active)
    except DataError as error:
        from napari.utils.notifications import show_info

        show_info(str(error))
        return None
    return open_paper(viewer, subject, kind)
