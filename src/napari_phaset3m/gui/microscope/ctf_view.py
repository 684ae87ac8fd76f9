"""The CTF below the canvas: the shown image's curve with its fit, and defocus against tilt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QHBoxLayout

from napari_phaset3m.gui.microscope.ctf_work import DOUBTFUL, CtfWork
from napari_phaset3m.gui.plots.seen_view import SeenView
from napari_phaset3m.gui.plots.tilt_plot import TiltCurve, TiltPlot
from napari_phaset3m.gui.widgets.binding import follow

if TYPE_CHECKING:
    from napari_phaset3m.prepare.ctf.result import CtfResult
    from napari_phaset3m.session import Session

TITLE = "CTF"


class CtfView(SeenView):
    """Two plots beside each other.

    Parameters
    ----------
    session : Session
    work : CtfWork
    """

    def __init__(self, session: Session, work: CtfWork) -> None:
        super().__init__()
        self._session, self._work = session, work
        self.curve = TiltPlot("power of the rings", "spatial frequency (1/Å)")
        self.curve.plot.setToolTip(
            "Averaged over equal phase, so that astigmatism does not wash the rings out"
        )
        self.defocus = TiltPlot("defocus (nm)")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.curve, 1)
        layout.addWidget(self.defocus, 1)
        self.defocus.clicked.connect(self._on_clicked)
        work.changed.connect(self.soon)
        work.drawn.connect(self.soon)
        follow(session.events.shown_image, self.soon)
        self.refresh()

    def _on_clicked(self, tilt: int, focus: int) -> None:
        self._session.shown_image = (tilt, focus)

    def refresh(self) -> None:
        """Draw both."""
        self.curve.show_curves(self._curve())
        series, tilt = self._session.series, self._work.place()[0]
        self.defocus.mark(None if series is None else float(series.tilt_deg[tilt]))
        self.defocus.show_curves(self._defocus())

    def _curve(self) -> list[TiltCurve]:
        found = self._work.curve
        if found is None:
            return []
        x = found.frequency_per_angstrom
        return [
            TiltCurve("agreement", x, found.agreement, None, -2, -1),
            TiltCurve("measured", x, found.measured, None, 0, -1),
            TiltCurve("fitted", x, found.fitted, None, 1, -1),
        ]

    def _defocus(self) -> list[TiltCurve]:
        series, result = self._session.series, self._work.result
        if series is None:
            return []
        curves = []
        if series.defocus_angstrom is not None and not self._work.applied:
            x = np.repeat(series.tilt_deg, series.n_focus)
            places = [(t, f) for t in range(series.n_tilt) for f in range(series.n_focus)]
            curves.append(TiltCurve("series", x, series.defocus_angstrom.ravel() / 10, None, -2, 0, places))
        live = self._work.live
        if live is not None:
            for focus in range(series.n_focus):
                name = f"focus {focus + 1}" if series.n_focus > 1 else "fitted"
                curves.append(TiltCurve(name, series.tilt_deg, live[:, focus] / 10, None, focus, focus))
            return curves
        return curves if result is None else curves + fitted_curves(result)


def fitted_curves(result: CtfResult) -> list[TiltCurve]:
    """Defocus in nm against tilt: one curve for each focus, and what deserves a look."""
    values, errors = result.defocus_angstrom / 10, result.array("defocus_error_angstrom") / 10
    confidence, flags = result.array("confidence"), result.outliers()
    edited = np.array([[image.method == "edited" for image in row] for row in result.images])
    doubtful = (flags | (confidence < DOUBTFUL)) & ~edited
    curves = []
    for focus in range(values.shape[1]):
        good = ~doubtful[:, focus] & ~edited[:, focus]
        name = f"focus {focus + 1}" if values.shape[1] > 1 else "fitted"
        places = [(int(t), focus) for t in np.flatnonzero(good)]
        curves.append(
            TiltCurve(
                name, result.tilt_deg[good], values[good, focus], errors[good, focus], focus, focus, places
            )
        )
    for name, chosen, symbol in (("doubtful", doubtful, 5), ("by hand", edited, 4)):
        at = np.argwhere(chosen)
        if len(at):
            places = [(int(t), int(f)) for t, f in at]
            curves.append(
                TiltCurve(name, result.tilt_deg[at[:, 0]], values[chosen], None, -1, symbol, places)
            )
    return curves
