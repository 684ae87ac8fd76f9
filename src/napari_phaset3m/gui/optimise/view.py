"""The search below the canvas: convergence, what the model believes, what is exchangeable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QStackedWidget,
    QVBoxLayout,
)

from napari_phaset3m.gui.optimise.correlation import CorrelationTable
from napari_phaset3m.gui.optimise.look import Look, ShiftPlot
from napari_phaset3m.gui.optimise.units import shown_unit, title
from napari_phaset3m.gui.optimise.words import determined_of
from napari_phaset3m.gui.plots.seen_view import SeenView
from napari_phaset3m.gui.plots.tilt_plot import PicturePlot, TiltCurve, TiltPlot, name_axis
from napari_phaset3m.gui.widgets.choice_box import ChoiceBox
from napari_phaset3m.optimise.parameters import PARAMETERS

if TYPE_CHECKING:
    from napari_phaset3m.gui.optimise.rounds import Round
    from napari_phaset3m.gui.optimise.work import OptimiseWork
    from napari_phaset3m.session import Session

TITLE = "Optimise"


class OptimiseView(SeenView):
    """Convergence, a slice of the posterior, and correlations beside each other.

    Parameters
    ----------
    session : Session
    work : OptimiseWork
    """

    def __init__(self, session: Session, work: OptimiseWork) -> None:
        super().__init__()
        self._work = work
        self.convergence = TiltPlot("held-out error", "trial")
        self.slice, self.map = TiltPlot("held-out error", "value"), PicturePlot("x", "y")
        for plot in (self.convergence, self.slice):
            plot.plot.setToolTip("Drag to pan, wheel to zoom, double click to see all")
        self.stack = QStackedWidget()
        self.stack.addWidget(self.slice)
        self.stack.addWidget(self.map)
        self.which, self.first, self.second = ChoiceBox(), ChoiceBox(), ChoiceBox()
        self.first.setToolTip("Parameter along which the model of the error is shown")
        self.second.setToolTip("Second parameter, for a map")
        self.which.setToolTip("Which search")
        self.correlation, self.images = CorrelationTable(), PicturePlot(square=True)
        self.images.title.setWordWrap(True)
        self.shifts = ShiftPlot()
        self.look = Look(session, work, self)
        self.right, self.side = ChoiceBox(), QStackedWidget()
        self.right.addItems(["Correlations", "Measured | simulated", "Error over shifts"])
        for page in (self.correlation, self.images, self.shifts):
            self.side.addWidget(page)
        self._arrange()
        work.changed.connect(self.soon)
        work.drawn.connect(self.soon)
        self.look.drawn.connect(self._draw_images)
        for box in (self.which, self.first, self.second, self.right):
            box.activated.connect(self.refresh)
        self.refresh()

    def _arrange(self) -> None:
        layout = QHBoxLayout(self)
        layout.setContentsMargins(4, 0, 0, 0)
        layout.addWidget(self.convergence, 3)
        middle = QVBoxLayout()
        middle.setSpacing(2)
        row = QHBoxLayout()
        row.setSpacing(4)
        for box in (self.which, self.first, self.second):
            box.setMinimumWidth(60)
            row.addWidget(box, 1)
        middle.addLayout(row)
        middle.addWidget(self.stack, 1)
        layout.addLayout(middle, 4)
        side = QVBoxLayout()
        side.setSpacing(2)
        side.addWidget(self.right)
        side.addWidget(self.side, 1)
        layout.addLayout(side, 3)

    def refresh(self, *_: object) -> None:
        """Draw what there is."""
        rounds = self._work.rounds
        self.convergence.show_curves(convergence_curves(rounds))
        self._fill(self.which, [f"Search {i + 1}" for i in range(len(rounds))], last=True)
        self.which.setVisible(len(rounds) > 1)
        number = self.which.currentIndex()
        now = rounds[number] if 0 <= number < len(rounds) else None
        names = [] if now is None else now.names
        self._fill(self.first, [PARAMETERS[name].label for name in names])
        self._fill(self.second, ["alone", *(PARAMETERS[name].label for name in names)])
        self.first.setVisible(bool(names))
        self.second.setVisible(len(names) > 1)
        one, other = self.first.currentIndex(), self.second.currentIndex() - 1
        pair = now is not None and now.result is not None and other >= 0 and other != one
        if now is None or one < 0:
            self.slice.show_curves([])
        elif pair:
            self._work.request_map(number, (one, other))
            self._draw_map(now, (number, one, other))
        else:
            name_axis(self.slice.plot, "bottom", title(PARAMETERS[names[one]]))
            self.slice.show_curves(slice_curves(now, one))
        self.stack.setCurrentWidget(self.map if pair else self.slice)
        self.correlation.show_found(determined_of(self._work.result))
        self.side.setCurrentIndex(self.right.currentIndex())
        self.look.wanted = self.side.currentWidget() is not self.correlation
        self.look.request()

    def _draw_images(self) -> None:
        data = self.look.picture
        size = (0, 0, 1, 1) if data is None else (0, 0, data.shape[1], data.shape[0])
        self.images.show_picture(data, size)
        self.images.title.setText(self.look.text)
        self.shifts.show_map(self.look.map, self.look.map_text)

    def _draw_map(self, now: Round, asked: tuple[int, int, int]) -> None:
        known = self._work.map
        if known is None or known[0] != asked:
            self.map.show_picture(None, (0, 0, 1, 1))
            self.map.title.setText("computing, or too few trials")
            return
        names = [now.names[axis] for axis in asked[1:]]
        (x0, x1), (y0, y1) = ([v / shown_unit(n)[1] for v in now.limits[n]] for n in names)
        for side, name in zip(("bottom", "left"), names, strict=True):
            name_axis(self.map.plot, side, title(PARAMETERS[name], short=True))
        mean = known[1].mean.T
        self.map.show_picture(
            mean, (x0, y0, x1 - x0, y1 - y0), (float(mean.min()), float(mean.max())), "viridis"
        )
        self.map.plot.invertY(False)
        self.map.title.setText(f"error {mean.min():.4f} (dark) to {mean.max():.4f}")

    def _fill(self, box: QComboBox, texts: list[str], *, last: bool = False) -> None:
        if [box.itemText(i) for i in range(box.count())] == texts:
            return
        chosen = box.currentIndex()
        box.clear()
        box.addItems(texts)
        box.setCurrentIndex(len(texts) - 1 if last else min(max(chosen, 0), len(texts) - 1))


def convergence_curves(rounds: list[Round]) -> list[TiltCurve]:
    """Score of each trial, and the best so far: anew for each search, whose sampling differs."""
    curves, begun = [], 1
    for number, now in enumerate(rounds):
        scores = np.array([np.nan if t.score is None else t.score for t in now.trials], float)
        x = np.arange(begun, begun + len(scores), dtype=float)
        begun += len(scores)
        many = f" {number + 1}" if len(rounds) > 1 else ""
        curves.append(TiltCurve(f"trials{many}", x, scores, None, number, number))
        lowest = np.fmin.accumulate(scores) if len(scores) else scores
        curves.append(TiltCurve(f"best{many}", x, lowest, None, number, -1))
    return curves + _failed(rounds)


def _failed(rounds: list[Round]) -> list[TiltCurve]:
    """The trials without a score, as high as the worst of all."""
    scores = np.array([np.nan if t.score is None else t.score for now in rounds for t in now.trials], float)
    missing = np.flatnonzero(np.isnan(scores))
    if not missing.size:
        return []
    worst = 1.0 if missing.size == scores.size else np.nanmax(scores)
    return [TiltCurve("failed", missing + 1.0, np.full(missing.size, worst), None, -1, 5)]


def slice_curves(now: Round, axis: int) -> list[TiltCurve]:
    """Mean and one standard deviation of the model along a parameter, with the trials."""
    name = now.names[axis]
    unit = shown_unit(name)[1]
    tried = [trial for trial in now.trials if trial.score is not None]
    curves = [
        TiltCurve(
            "trials",
            np.array([t.values[name] / unit for t in tried]),
            np.array([t.score for t in tried], float),
        )
    ]
    part = next((part for part in now.slices if part.axes == (axis,)), None)
    if part is not None and tried:
        low, high = now.limits[name]
        x = (low + part.grid * (high - low)) / unit
        curves.append(TiltCurve("model", x, part.mean, None, 1, -1))
        low, high = part.mean - part.sigma, part.mean + part.sigma
        # One closed line around the band.
        edge = np.concatenate([x, x[::-1], x[:1]]), np.concatenate([low, high[::-1], low[:1]])
        curves.append(TiltCurve("± 1 σ", *edge, None, -2, -1))
    best = now.best
    if best is not None and best.score is not None:
        at = np.array([best.values[name] / unit])
        curves.append(TiltCurve("best", at, np.array([best.score]), None, -1, 4))
    return curves
