"""A film of a volume: turning, slice by slice, or sweep by sweep, with a frame as preview, and Save."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QSpinBox

from napari_phaset3m.analyse.film.frames import (
    AXES,
    SIZES,
    Film,
    slice_film,
    stretched,
    sweep_film,
    turntable_film,
)
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.gui.paper.dialog import PaperDialog
from napari_phaset3m.gui.paper.figure_dialog import open_for_layer
from napari_phaset3m.gui.paper.subject import PaperSubject
from napari_phaset3m.gui.widgets.choice_box import ChoiceBox

if TYPE_CHECKING:
    from napari_phaset3m.gui.paper.work import Job

_KINDS = (("Turntable", "turntable"), ("Slice by slice", "slices"), ("Sweep by sweep", "sweeps"))
_LOOKS = (("Maximum", "mip"), ("Surface", "surface"))
_FORMATS = (("MP4", ".mp4"), ("GIF", ".gif"), ("Folder of PNGs", ""))
_FILTERS = {".mp4": "MP4 (*.mp4)", ".gif": "GIF (*.gif)", "": "Folder of PNG files (*)"}
_NO_SWEEPS = (
    "No pictures of its sweeps were kept: it ran without Live volume, was over too soon, or in another window"
)


@dataclass(frozen=True, slots=True)
class FilmSettings:
    """As the form has them; seconds, frames per second and px."""

    kind: str
    look: str
    axis: str
    seconds: float
    rate: int
    size: int
    inverted: bool

    @property
    def count(self) -> int:
        """Number of frames."""
        return max(1, round(self.seconds * self.rate))


class FilmDialog(PaperDialog):
    """Settings of a film."""

    TITLE = "Film"

    def make_form(self) -> None:
        """Fill the form."""
        self.kind, self.look, self.axis, self.format = (ChoiceBox() for _ in range(4))
        for box, items in (
            (self.kind, _KINDS), (self.look, _LOOKS), (self.format, _FORMATS),
            (self.axis, [(name, name) for name in AXES]),
        ):  # fmt: skip
            for text, value in items:
                box.addItem(text, value)
        if importlib.util.find_spec("imageio_ffmpeg") is None:
            self.format.setCurrentIndex(self.format.findData(".gif"))
        self.seconds, self.rate, self.size_px = QDoubleSpinBox(), QSpinBox(), QSpinBox()
        self.inverted = QCheckBox("Dark on white")
        rows: tuple[tuple[str, Any, str], ...] = (
            ("Kind", self.kind, "A turn about the tilt axis; through the volume; how it came about"),
            ("Look", self.look, "Largest value along the line of sight, or the surface at Otsu's threshold"),
            ("Axis", self.axis, "Along which the slices follow each other; z is the beam at no tilt"),
            ("Length", self.seconds, "Of the film; pictures are held or passed over to fill it"),
            ("Frames/s", self.rate, "15 is smooth for a turntable, 25 for a talk"),
            ("Longest edge", self.size_px, "Of a frame; edges are made even, as H.264 needs them"),
            ("", self.inverted, "For white slides"),
            ("Format", self.format, "MP4 is H.264 and needs imageio-ffmpeg; GIF and PNG need nothing"),
        )
        for text, widget, tip in rows:
            widget.setToolTip(tip)
            self.form.addRow(text, widget)
        self.seconds.setDecimals(1)
        for number, limits, value, suffix in (
            (self.seconds, (0.5, 120.0), 6.0, " s"), (self.rate, (1, 60), 15, ""),
            (self.size_px, SIZES, 480, " px"),
        ):  # fmt: skip
            number.setRange(*limits)
            number.setValue(value)
            number.setSuffix(suffix)
            number.setKeyboardTracking(False)
            number.valueChanged.connect(self.on_changed)
        for box in (self.kind, self.look, self.axis, self.format):
            box.currentIndexChanged.connect(self.on_changed)
        self.inverted.toggled.connect(self.on_changed)

    def settings(self) -> FilmSettings:
        """As the form has them."""
        return FilmSettings(
            self.kind.currentData(), self.look.currentData(), self.axis.currentData(),
            self.seconds.value(), self.rate.value(), self.size_px.value(), self.inverted.isChecked(),
        )  # fmt: skip

    def why_not(self) -> str:
        """Why no film can be made."""
        if self.kind.currentData() == "sweeps":
            found = self.subject.sweeps
            return "" if found is not None and found.by_sweep else _NO_SWEEPS
        return ""

    def refresh(self) -> None:
        """Show what can be done, and the settings that this kind has."""
        super().refresh()
        kind = self.kind.currentData()
        self.look.setEnabled(kind == "turntable")
        self.axis.setEnabled(kind == "slices")

    def told(self) -> str:
        """How many frames there are."""
        settings = self.settings()
        text = f"{settings.count} frames"
        if settings.kind == "sweeps" and self.subject.sweeps is not None:
            text += f" of {len(self.subject.sweeps.by_sweep)} pictures, slice z = 0"
        return f"{text}; the preview is one of them."

    def preview_job(self) -> Job:
        """A frame."""
        return partial(_frame, self.subject, self.settings())

    def pixmap_of(self, found: Any) -> QPixmap:
        """A frame `(height, width, 3)` as a picture."""
        height, width = found.shape[:2]
        pixels = np.ascontiguousarray(found).tobytes()  # held until the pixmap has its copy
        return QPixmap.fromImage(QImage(pixels, width, height, 3 * width, QImage.Format.Format_RGB888))

    def file_name(self) -> tuple[str, str]:
        """By the chosen format."""
        suffix = self.format.currentData()
        return f"{self.subject.stem}_{self.kind.currentData()}{suffix}", _FILTERS[suffix]

    def with_suffix(self, path: Path) -> Path:
        """A suffix that was typed is taken where it can be."""
        wanted = self.format.currentData()
        if not wanted or path.suffix.lower() in (".mp4", ".gif"):
            return path
        return path.with_name(path.name + wanted)

    def require(self, path: Path) -> None:
        """Refuse what cannot be written."""
        from napari_phaset3m.io.film import require_film

        require_film(path)

    def save_job(self, path: Path) -> Job:
        """Write the film."""
        return partial(_save, path, self.subject, self.settings())


def _film(subject: PaperSubject, settings: FilmSettings) -> Film:
    """The film with the pictures that there are."""
    volume, voxel = subject.volume, subject.voxel_size_angstrom
    looks: dict[str, Any] = {"size": settings.size, "inverted": settings.inverted}
    if settings.kind == "turntable":
        look: Any = settings.look
        return turntable_film(np.asarray(volume), voxel, look=look, frames=settings.count, **looks)
    if settings.kind == "slices":
        axis: Any = settings.axis
        return slice_film(np.asarray(volume), voxel, axis=axis, **looks)
    found = subject.sweeps
    if found is None:
        raise ConfigError(_NO_SWEEPS)
    return sweep_film(found.labelled(), found.voxel_size_angstrom, **looks)


def _frame(subject: PaperSubject, settings: FilmSettings, show: Any) -> np.ndarray:
    film = _film(subject, settings)
    show("drawing", 0.5)
    return film.draw({"turntable": 0, "slices": film.count // 2}.get(settings.kind, film.count - 1))


def _save(path: Path, subject: PaperSubject, settings: FilmSettings, show: Any) -> Path:
    from napari_phaset3m.report.paper import save_film

    told = {
        "kind": settings.kind, "look": settings.look, "axis": settings.axis, "size_px": settings.size,
        "seconds": settings.seconds, "inverted": settings.inverted,
    }  # fmt: skip
    film = stretched(_film(subject, settings), settings.count)
    record = subject.provenance(told)
    return save_film(film, path, frames_per_second=settings.rate, record=record, show=show)


def film_command(viewer: napari.Viewer) -> None:
    """Make a film of the selected layer's volume (a command of napari's menus)."""
    open_for_layer(viewer, FilmDialog)
