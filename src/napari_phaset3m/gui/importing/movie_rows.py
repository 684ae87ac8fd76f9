"""How the movies of an import and their gain reference are read: orientation, operation, EER."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QSpinBox, QWidget

from napari_phaset3m.gui.importing.work import ImportWork
from napari_phaset3m.gui.theme import LINE_SPACING, label
from napari_phaset3m.gui.widgets.choice_box import ChoiceBox
from napari_phaset3m.io.import_config import at_scale
from napari_phaset3m.io.import_movies import with_movies
from napari_phaset3m.io.movies import MovieConfig

_TURNS = (("not turned", 0), ("turned 90°", 1), ("turned 180°", 2), ("turned 270°", 3))
_FLIPS = (("no flip", "none"), ("flip up-down", "up-down"), ("flip left-right", "left-right"))
_MODES = (("multiplies", "multiply"), ("divides", "divide"))
_UPSAMPLING = (("1 px per detector px", 1), ("2 × 2 px", 2), ("4 × 4 px", 4))
_TIPS = {
    "gain_rotate": "Quarter turns of the gain reference, counter-clockwise on screen, before the flip",
    "gain_flip": "Flip of the gain reference, after the turn",
    "gain_mode": "Frames are multiplied by the reference (SerialEM, Gatan), or divided by it",
    "eer_upsampling": "Pixels per detector pixel along each side; size and pixel size follow",
}
_GROUP = "Raw frames summed into one fraction, which motion correction aligns as a frame"


class MovieRows(QWidget):
    """A line for the orientation of the gain reference and one for EER, each where it is wanted.

    Parameters
    ----------
    work : ImportWork
    """

    def __init__(self, work: ImportWork) -> None:
        super().__init__()
        self._work = work
        self.choices: dict[str, ChoiceBox] = {}
        self.group = QSpinBox()
        self.group.setRange(0, 100_000)
        self.group.setSpecialValueText("fractions by dose")
        self.group.setSuffix(" frames per fraction")
        self.group.setToolTip(_GROUP)
        self.group.setKeyboardTracking(False)
        self.group.valueChanged.connect(self._on_group)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(LINE_SPACING)
        grid.setHorizontalSpacing(8)
        grid.setColumnStretch(1, 1)
        self._of_gain = self._line(
            grid, 0, "Gain is", {"gain_rotate": _TURNS, "gain_flip": _FLIPS, "gain_mode": _MODES}
        )
        self._of_eer = self._line(grid, 1, "EER", {"eer_upsampling": _UPSAMPLING}, self.group)

    def _line(
        self, grid: QGridLayout, at: int, name: str, choices: dict[str, Any], last: QWidget | None = None
    ) -> tuple[QWidget, QWidget]:
        title, content = label(name), QWidget()
        row = QHBoxLayout(content)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        for key, entries in choices.items():
            box = self.choices[key] = ChoiceBox()
            for text, value in entries:
                box.addItem(text, value)
            box.setToolTip(_TIPS[key])
            box.activated.connect(self._on_choice)
            row.addWidget(box)
        if last is not None:
            row.addWidget(last)
        row.addStretch(1)
        grid.addWidget(title, at, 0)
        grid.addWidget(content, at, 1)
        return title, content

    def _on_choice(self, *_: object) -> None:
        key = next(name for name, box in self.choices.items() if box is self.sender())
        self._take(**{key: self.choices[key].currentData()})

    def _on_group(self, value: int) -> None:
        self._take(eer_group=value or None)

    def _take(self, **values: Any) -> None:
        work, plan = self._work, self._work.plan
        if plan is None or all(getattr(plan.movies, key) == value for key, value in values.items()):
            return
        changed = with_movies(plan, MovieConfig.parse(**{**plan.movies.model_dump(), **values}))
        work.config = at_scale(work.config, changed.image_shape[0] / plan.image_shape[0])
        work.set_plan(changed)

    def refresh(self) -> None:
        """Show how the plan reads its movies."""
        work, plan = self._work, self._work.plan
        movies = MovieConfig() if plan is None else plan.movies
        has_gain = plan is not None and plan.has_movies and plan.gain is not None
        has_eer = plan is not None and any(
            entry.frames is not None and entry.frames.suffix.lower() == ".eer" for entry in plan.images
        )
        for widgets, wanted in ((self._of_gain, has_gain), (self._of_eer, has_eer)):
            for widget in widgets:
                widget.setVisible(wanted)
                widget.setEnabled(not work.busy)
        for key, box in self.choices.items():
            box.setCurrentIndex(box.findData(getattr(movies, key)))
        blocked = self.group.blockSignals(True)
        self.group.setValue(movies.eer_group or 0)
        self.group.blockSignals(blocked)
        self.setVisible(has_gain or has_eer)
