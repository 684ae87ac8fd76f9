"""The alignment below the canvas: shifts and residual against tilt, sinogram, predicted images."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QSlider, QStackedWidget, QVBoxLayout, QWidget

from napari_phaset3m.gui.align.check import AlignCheck
from napari_phaset3m.gui.align.work import AlignWork
from napari_phaset3m.gui.error_words import one_line
from napari_phaset3m.gui.plots.seen_view import SeenView
from napari_phaset3m.gui.plots.tilt_plot import PicturePlot, TiltCurve, TiltPlot
from napari_phaset3m.gui.theme import label
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.widgets.choice_box import ChoiceBox
from napari_phaset3m.gui.worker import in_background
from napari_phaset3m.prepare.checks import sinogram, smoothed

if TYPE_CHECKING:
    from napari_phaset3m.prepare.align.model import Alignment
    from napari_phaset3m.session import Session

TITLE = "Alignment"
PAGES = ("Shifts", "Sinogram", "Re-projection")
_WIDTH = 150


class AlignView(SeenView):
    """One page at a time, brought up to date while it is seen.

    Parameters
    ----------
    session : Session
    work : AlignWork
    check : AlignCheck
    """

    def __init__(self, session: Session, work: AlignWork, check: AlignCheck) -> None:
        super().__init__()
        self._session, self._work, self._check = session, work, check
        self._token = 0
        self._computing = self._again = False
        self.page = ChoiceBox()
        self.page.addItems(PAGES)
        self.page.setToolTip("What is drawn")
        self.row = QSlider(Qt.Orientation.Horizontal)
        self.row.setToolTip("Row of the aligned images that the sinogram is of")
        self.row.setAccessibleName("Row of the sinogram")
        self.row_text = label("", "muted", wrap=True)
        self.text = label("", "muted", wrap=True)
        self._make_plots()
        self._lay_out()
        self.page.currentIndexChanged.connect(self._on_page)
        self.row.valueChanged.connect(self.soon)
        for plot in (self.shift_x, self.shift_y, self.residual):
            plot.clicked.connect(self._on_clicked)
        work.changed.connect(self.soon)
        check.changed.connect(self.soon)
        follow(session.events.shown_image, self.soon)
        self._on_page()

    def _make_plots(self) -> None:
        self.shift_x, self.shift_y, self.residual = (
            TiltPlot(text, legend=False) for text in ("shift x (px)", "shift y (px)", "residual")
        )
        for plot in (self.shift_y, self.residual):
            plot.plot.setXLink(self.shift_x.plot)
        self.legend = label("", wrap=True)
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.pages = QStackedWidget()
        for row in ((self.shift_x, self.shift_y, self.residual), (), ()):
            self.pages.addWidget(_beside(row))

    # Of pages that are not seen at first: all plots at once would hold the window.

    @cached_property
    def sino(self) -> PicturePlot:
        """The sinogram."""
        return self._on(1, PicturePlot("x (nm)", "tilt, used images"))

    @cached_property
    def compared(self) -> tuple[PicturePlot, PicturePlot, PicturePlot]:
        """Measured, predicted, and what they differ by."""
        measured, predicted, error = (self._on(2, PicturePlot(square=True)) for _ in range(3))
        return measured, predicted, error

    def _on(self, page: int, plot: PicturePlot) -> PicturePlot:
        self.pages.widget(page).layout().addWidget(plot, 1)
        return plot

    def _lay_out(self) -> None:
        side = QWidget()
        side.setFixedWidth(_WIDTH)
        column = QVBoxLayout(side)
        column.setContentsMargins(4, 2, 4, 0)
        column.setSpacing(4)
        for widget in (self.page, self.legend, self.row, self.row_text, self.text):
            column.addWidget(widget)
        column.addStretch(1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(side)
        layout.addWidget(self.pages, 1)

    def _on_page(self, *_: object) -> None:
        index = self.page.currentIndex()
        self.pages.setCurrentIndex(index)
        self.legend.setVisible(index == 0)
        for widget in (self.row, self.row_text):
            widget.setVisible(index == 1)
        self.soon()

    def _on_clicked(self, tilt: int, focus: int) -> None:
        self._session.shown_image = (tilt, focus)

    def refresh(self) -> None:
        """Draw the page that is seen."""
        series, alignment = self._session.series, self._work.alignment
        if series is None or alignment is None:
            self._empty()
            return
        (self._draw_shifts, self._draw_sinogram, self._draw_prediction)[self.page.currentIndex()](alignment)

    def _empty(self) -> None:
        self.text.setText("Open a tilt series first (step Series)")
        page = self.page.currentIndex()
        if page == 0:
            for plot in (self.shift_x, self.shift_y, self.residual):
                plot.show_curves([])
                plot.mark(None)
            return
        for picture in (self.sino,) if page == 1 else self.compared:
            picture.show_picture(None, (0, 0, 1, 1))

    def _draw_shifts(self, alignment: Alignment) -> None:
        live, before = self._work.live, self._work.accepted
        shifts = live.get("shifts_px", alignment.shifts_px)
        errors = np.asarray(live.get("shift_error_px", alignment.shift_error_px))
        residual = np.asarray(live.get("residual", alignment.residual))
        moved = before is not None and self._work.draft is not None
        for axis, plot in ((0, self.shift_y), (1, self.shift_x)):
            curves = [_faint("series", alignment, before.shifts_px[..., axis])] if moved and before else []
            plot.show_curves(curves + per_focus(alignment, shifts[..., axis], errors[..., axis]))
        known = bool(np.isfinite(residual).any())
        if not known and self._check.predictions is not None:
            residual = self._check.predictions.residual
            known = True
        self.residual.show_curves(per_focus(alignment, residual) if known else [])
        tilt = self._session.shown_image[0]
        for plot in (self.shift_x, self.shift_y, self.residual):
            plot.mark(float(alignment.tilt_deg[min(tilt, alignment.n_tilt - 1)]))
        self.legend.setText(self.shift_x.legend_html())
        self.text.setText(
            "Running: shifts as they stand" if live
            else "Click a point to see its image. Bars are one standard deviation." if known
            else "The residual is known after a run or Re-project."
        )  # fmt: skip

    def _draw_sinogram(self, alignment: Alignment) -> None:
        series = self._session.series
        if series is None:
            return
        ny = series.image_shape[0]
        if self.row.maximum() != ny - 1:
            blocked = self.row.blockSignals(True)
            self.row.setRange(0, ny - 1)
            self.row.setValue(ny // 2)
            self.row.blockSignals(blocked)
        height = (self.row.value() - (ny - 1) / 2) * series.pixel_size_angstrom / 10
        blur = self._check.look.smooth_px
        self.row_text.setText(f"row {self.row.value()}, y = {height:.1f} nm; {_rows(blur)} rows averaged")
        if self._computing:
            self._again = True
            return
        self._token += 1
        self._computing, self._again = True, False
        focus = self._session.shown_image[1]
        what = series, alignment, self._work.origin.local_px
        job = partial(_sinogram, self._token, what, (self.row.value(), focus), blur)
        in_background(job, self._on_sinogram, self._on_crash)

    def _on_sinogram(self, answer: tuple[int, np.ndarray, np.ndarray, float]) -> None:
        _, rows, tilts, pixel_nm = answer
        self._computing = False
        width = rows.shape[1] * pixel_nm
        if len(rows):
            self.sino.show_picture(rows, (-width / 2, -0.5, width, len(rows)))
            count = min(5, len(tilts))
            ticks = [(int(i), f"{tilts[int(i)]:.0f}°") for i in np.linspace(0, len(tilts) - 1, count)]
            self.sino.plot.getAxis("left").setTicks([ticks, []])
        self.text.setText("Features follow smooth curves where the alignment is right; steps are errors.")
        if self._again:
            self.soon()

    def _on_crash(self, error: Exception) -> None:
        self._computing = False
        self.text.setText(one_line(error))
        if not isinstance(error, ValueError | MemoryError):
            raise error

    def _draw_prediction(self, alignment: Alignment) -> None:
        found, place = self._check.predictions, self._session.shown_image
        known = found is not None and place[0] < len(found.residual) and place[1] < found.residual.shape[1]
        for picture, which in zip(self.compared[:2], ("measured", "predicted"), strict=True):
            data = None
            if found is not None and known:
                data = smoothed(getattr(found, which)[place], self._check.look.smooth_px / found.scale)
            _fill(picture, data, which)
        self._draw_error(place)
        if found is None or not known:
            self.text.setText("Press Re-project in step Align to compare with a reconstruction.")
            return
        self.compared[1].title.setText(f"by {found.model}")
        stale = "\nThe alignment has changed since: Re-project again." if self._check.stale() else ""
        share = found.residual[place]
        self.text.setText(f"{100 * share:.0f} % of this image's power is not predicted.{stale}")

    def _draw_error(self, place: tuple[int, int]) -> None:
        """Misfit over trial shifts where a grid search ran, else where in the image the misfit is."""
        maps, found, error = self._work.error_maps, self._check.predictions, self.compared[2]
        if maps is not None and place[0] < maps[0].shape[0] and np.isfinite(maps[0][place]).any():
            half = float(np.abs(maps[1]).max())
            error.show_picture(maps[0][place], (-half, -half, 2 * half, 2 * half), None, "inferno")
            error.title.setText(f"misfit over shifts, ±{half:.1f} px")
        elif found is not None and place[0] < len(found.residual) and place[1] < found.residual.shape[1]:
            _fill(error, found.error_map(*place), "error map", "inferno")
        else:
            _fill(error, None, "")


def _fill(picture: PicturePlot, data: np.ndarray | None, title: str, colours: str = "gray") -> None:
    ny, nx = (1, 1) if data is None else data.shape
    picture.show_picture(data, (0, 0, nx, ny), None, colours)
    picture.title.setText("" if data is None else title)


def per_focus(alignment: Alignment, values: np.ndarray, errors: np.ndarray | None = None) -> list[TiltCurve]:
    """One curve for each focus, and one for the images that are left out."""
    curves = []
    tilts = alignment.tilt_deg
    for focus in range(alignment.n_focus):
        used = alignment.used[:, focus]
        places = [(int(t), focus) for t in np.flatnonzero(used)]
        name = f"focus {focus + 1}" if alignment.n_focus > 1 else "used"
        error = None if errors is None else errors[used, focus]
        curves.append(TiltCurve(name, tilts[used], values[used, focus], error, focus, focus, places))
    left = np.argwhere(~alignment.used)
    if len(left):
        places = [(int(t), int(f)) for t, f in left]
        y = np.array([values[place] for place in places])
        curves.append(TiltCurve("left out", tilts[left[:, 0]], y, None, -2, 5, places))
    return curves


def _faint(name: str, alignment: Alignment, values: np.ndarray) -> TiltCurve:
    order = np.argsort(alignment.tilt_deg, kind="stable")
    x = np.repeat(alignment.tilt_deg[order], alignment.n_focus)
    return TiltCurve(name, x, values[order].ravel(), None, -2, 0)


def _beside(widgets: tuple[QWidget, ...]) -> QWidget:
    page = QWidget()
    row = QHBoxLayout(page)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(6)
    for widget in widgets:
        row.addWidget(widget, 1)
    return page


def _sinogram(
    token: int, what: tuple[Any, Alignment, np.ndarray | None], place: tuple[int, int], blur_px: float
) -> tuple[int, np.ndarray, np.ndarray, float]:
    from scipy.ndimage import gaussian_filter1d

    series, alignment, local = what
    rows, tilts = sinogram(series, alignment, *place, width=_rows(blur_px), local=local)
    rows = gaussian_filter1d(rows, blur_px, axis=1) if blur_px > 0 else rows
    return token, rows, tilts, series.pixel_size_angstrom / 10


def _rows(blur_px: float) -> int:
    """How many rows of the images a blurred sinogram is of."""
    return 2 * max(1, round(2 * blur_px)) + 1
