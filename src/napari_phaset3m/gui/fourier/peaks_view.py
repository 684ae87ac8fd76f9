"""Finds the Bragg peaks of the newest result in the background and lists them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_phaset3m.gui.error_words import error_line
from napari_phaset3m.gui.fourier.peak_table import PeakTable, frequency_of, peak_name
from napari_phaset3m.gui.theme import ElidedLabel, set_role
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.worker import in_background
from napari_phaset3m.session import RunRecord, Session


class PeaksView(QWidget):
    """A table of Bragg peaks with a button that finds them, and what they say.

    Parameters
    ----------
    session : Session
    """

    #: ((kz, ky, kx) in 1/Å, text) of the peak to look at.
    wanted = Signal(tuple, str)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._busy = False
        self.report: Any = None
        self.find = QPushButton("Find peaks")
        self.find.clicked.connect(self._on_find)
        self.says = ElidedLabel()
        set_role(self.says, "muted")
        self.table = PeakTable()
        self.table.chosen.connect(self._on_chosen)
        row = QHBoxLayout()
        row.addWidget(self.find)
        row.addWidget(self.says, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(row)
        layout.addWidget(self.table, 1)
        for signal in (session.run_changed, session.run_added, session.run_removed):
            follow(signal, self._refresh)
        self._refresh()

    def show_report(self, report: Any) -> None:
        """List the peaks of a ``BraggReport``, wherever it was made."""
        self.report = report
        rows = report.rows()
        self.table.set_rows(rows)
        self.table.setVisible(bool(rows))
        self._say(report.statement())

    def newest(self) -> RunRecord | None:
        """The newest run with a volume."""
        return next((r for r in reversed(self._session.runs) if r.volume is not None), None)

    def _refresh(self, *_: object) -> None:
        why = "" if self.newest() is not None else "There is no finished volume yet"
        why = "The peaks are being looked for" if self._busy else why
        self.find.setEnabled(not why)
        self.find.setToolTip(why or "Look for Bragg peaks in the newest result, index them and measure them")

    def _on_find(self) -> None:
        record = self.newest()
        if record is None or self._busy:
            return
        assert record.volume is not None and record.voxel_size_angstrom is not None
        series = self._session.series
        tilts = None if series is None else np.asarray(series.tilt_deg)
        self._busy = True
        self._say("Looking for peaks …")
        self._refresh()
        work = partial(find_peaks, record.volume, record.voxel_size_angstrom, tilts)
        in_background(work, self._on_report, self._on_error)

    def _on_report(self, report: Any) -> None:
        self._busy = False
        self._refresh()
        self.show_report(report)

    def _on_error(self, error: Exception) -> None:
        self._busy = False
        self._refresh()
        self._say(error_line(error), "error")

    def _say(self, text: str, role: str = "muted") -> None:
        set_role(self.says, role)
        self.says.set_full_text(text)

    def _on_chosen(self, row: dict[str, Any]) -> None:
        self.wanted.emit(frequency_of(row), f"{peak_name(row)}   {row['d_angstrom']:.2f} Å")


def find_peaks(volume: np.ndarray, voxel_size_angstrom: float, tilt_deg: np.ndarray | None) -> Any:
    """The Bragg report of a volume (imported late: it needs SciPy); for a worker thread."""
    from napari_phaset3m.analyse.bragg import bragg_report

    return bragg_report(volume, voxel_size_angstrom, tilt_deg=tilt_deg)
