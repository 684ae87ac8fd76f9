"""The rows of a recipe, kept in step with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from napari_phaset3m.analyse import masks
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.gui.error_words import one_line
from napari_phaset3m.gui.mask.rows import TITLES, StepRow
from napari_phaset3m.gui.mask.work import MaskWork
from napari_phaset3m.gui.theme import label, rule

_SAMPLE = 500_000


class RecipeEditor(QWidget):
    """One row for each step; a row that is being dragged is never replaced.

    Parameters
    ----------
    work : MaskWork
    """

    #: (one line, style role)
    refused = Signal(str, str)

    def __init__(self, work: MaskWork) -> None:
        super().__init__()
        self._work = work
        self.rows: list[StepRow] = []
        self._made_for: object = None
        self._values = (0.0, 1.0)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 6, 0)
        self._layout.setSpacing(0)
        self._list = QVBoxLayout()
        self._list.setSpacing(0)
        self.empty = label("No steps yet. Add one below.", "muted", wrap=True)
        self._layout.addWidget(self.empty)
        self._layout.addLayout(self._list)
        self._layout.addStretch(1)

    def choices(self) -> list[tuple[str, Callable[..., None]]]:
        """What can be added, and what adds it."""
        kinds = ("threshold", "sphere", "ellipsoid", "box", "combine", "largest", "fill", "erode", "dilate",
                 "soft", "invert")  # fmt: skip
        names = {**TITLES, "combine": "Mask file…"}
        return [(names[kind], partial(self._on_add, kind)) for kind in kinds]

    def refresh(self) -> None:
        """Read the recipe again."""
        work = self._work
        kinds = [step.kind for step in work.steps]
        key = (kinds, None if work.source is None else work.source.key)
        if key != self._made_for:
            self._made_for = key
            self._rebuild()
        levels = list(work.result.levels) if work.result is not None else []
        for row, step in zip(self.rows, work.steps, strict=True):
            level = levels.pop(0) if step.kind == "threshold" and levels else None
            row.show_step(step, level)
        self.empty.setVisible(not work.steps and work.source is not None)

    def _rebuild(self) -> None:
        while self._list.count():
            widget = self._list.takeAt(0).widget()
            if widget is not None:
                widget.setParent(None)
                widget.deleteLater()
        self.rows = []
        source = self._work.source
        edge = 100.0
        if source is not None:
            edge = float(max(n * v for n, v in zip(source.data.shape, source.voxel, strict=True)))
            self._values = _range(source.data)
        unit = source.unit if source is not None else ""
        for number, step in enumerate(self._work.steps):
            row = StepRow(step, number == 0, edge, self._values, unit)
            row.edited.connect(partial(self._on_edited, number))
            row.removed.connect(partial(self._on_removed, number))
            row.raised.connect(partial(self._on_raised, number))
            if number:
                self._list.addWidget(rule())
            self._list.addWidget(row)
            self.rows.append(row)

    def _change(self, steps: list[Any], merge: object = None) -> None:
        if steps and getattr(steps[0], "how", "union") != "union":
            steps[0] = steps[0].model_copy(update={"how": "union"})
        try:
            self._work.set_steps(tuple(steps), merge)
        except ConfigError as error:
            self.refused.emit(one_line(error), "error")
            self.refresh()
            return
        self.refused.emit("", "muted")

    def _on_edited(self, number: int, field: str, value: object) -> None:
        steps = list(self._work.steps)
        fields = steps[number].model_dump() | {field: value}
        try:
            steps[number] = type(steps[number]).parse(**fields)
        except ConfigError as error:
            self.refused.emit(one_line(error), "error")
            self.refresh()
            return
        self._change(steps, merge=(number, field))

    def _on_removed(self, number: int) -> None:
        steps = list(self._work.steps)
        del steps[number]
        self._change(steps)

    def _on_raised(self, number: int) -> None:
        steps = list(self._work.steps)
        steps[number - 1], steps[number] = steps[number], steps[number - 1]
        self._change(steps)

    def _on_add(self, kind: str, *_: object) -> None:
        source = self._work.source
        if source is None:
            return
        steps = list(self._work.steps)
        step = self._new_step(kind, first=not steps)
        if step is None:
            return
        soft = next((i for i, known in enumerate(steps) if isinstance(known, masks.Soft)), len(steps))
        steps.insert(len(steps) if kind in ("invert", "combine") else soft, step)
        self._change(steps)

    def _new_step(self, kind: str, first: bool) -> Any:
        source = self._work.source
        assert source is not None
        edge, voxel = min(np.multiply(source.data.shape, source.voxel)), min(source.voxel)
        how = "union" if first else "intersection"
        size, length = float(f"{edge / 2:.3g}"), float(f"{4 * voxel:.2g}")
        if kind == "combine":
            path, _ = QFileDialog.getOpenFileName(self, "Mask file", "", "Masks (*.mrc *.map *.tif *.h5)")
            return masks.Combine(path=path) if path else None
        made = {
            "threshold": lambda: masks.Threshold(lowpass_angstrom=float(f"{10 * voxel:.2g}"), how=how),
            "sphere": lambda: masks.Sphere(diameter_angstrom=size, how=how),
            "ellipsoid": lambda: masks.Ellipsoid(diameters_angstrom=(size,) * 3, how=how),
            "box": lambda: masks.Box(edges_angstrom=(size,) * 3, how=how),
            "largest": masks.Largest,
            "fill": masks.Fill,
            "erode": lambda: masks.Erode(distance_angstrom=length),
            "dilate": lambda: masks.Dilate(distance_angstrom=length),
            "soft": lambda: masks.Soft(width_angstrom=length),
            "invert": masks.Invert,
        }
        return made[kind]()


def _range(data: Any) -> tuple[float, float]:
    """Low and high of a thinned copy: where the level's slider runs."""
    stride = max(1, round((data.size / _SAMPLE) ** (1 / 3)))
    part = np.asarray(data[::stride, ::stride, ::stride])
    low, high = float(part.min()), float(part.max())
    return (low, high) if high > low else (low, low + 1.0)
