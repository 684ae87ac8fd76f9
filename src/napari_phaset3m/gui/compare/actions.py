"""Joins the buttons below a comparison with what they start: the list of peaks and the report."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QObject, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog

from napari_phaset3m.gui.compare.controls import AlignRow
from napari_phaset3m.gui.compare.peaks import ComparePeaks
from napari_phaset3m.gui.compare.set import CompareSet
from napari_phaset3m.gui.compare.work import PEAKS, REPORT, CompareWork
from napari_phaset3m.gui.theme import set_role
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.session import Session

_REPORT_TIP = (
    "One page with scores, slices, transforms, peak tables, atoms and spectra side by side, as phaset3m "
    "compare writes it. The mask for analysis is used where it lies on A's grid, cell and model as in step "
    "Analyse"
)


class CompareActions(QObject):
    """Keeps buttons, list and work in step.

    Parameters
    ----------
    session : Session
    chosen : CompareSet
    row : AlignRow
    peaks : ComparePeaks
    """

    #: ((kz, ky, kx) in 1/Å, text) of the peak to look at.
    wanted = Signal(tuple, str)

    def __init__(
        self, session: Session, chosen: CompareSet, row: AlignRow, peaks: ComparePeaks, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._session, self._set, self._row, self._peaks = session, chosen, row, peaks
        self.work = CompareWork(session, chosen, self)
        #: What is listed, or being listed: volumes, and what they are measured with.
        self._listed: tuple[object, ...] | None = None
        row.peaks.toggled.connect(self._on_peaks_wanted)
        row.report.clicked.connect(self._on_report)
        row.opened.clicked.connect(self._on_open)
        peaks.wanted.connect(self.wanted)
        chosen.chosen.connect(self._on_chosen)
        chosen.measured.connect(self._on_measured)
        self.work.peaks_found.connect(peaks.show_found)
        self.work.progressed.connect(self._on_progress)
        self.work.said.connect(self._say)
        self.work.failed.connect(self._on_failed)
        self.work.changed.connect(self._on_work)
        for signal in (session.events.analysis_mask, session.events.series):
            follow(signal, self._look)
        self._refresh()

    def _on_peaks_wanted(self, wanted: bool) -> None:
        self._peaks.setVisible(wanted)
        self._look()

    def _on_chosen(self) -> None:
        self._listed = None
        self._peaks.say("")
        self.work.cancel()
        self._refresh()

    def _on_measured(self) -> None:
        self._refresh()
        self._look()

    def _asked(self) -> tuple[object, ...]:
        known = self.work.known()
        volumes = [self._set.numbers.get(item.candidate.key) for item in self._set.items]
        return (*volumes, known.mask, known.cell, known.series)

    def _look(self, *_: object) -> None:
        """List the peaks of what is compared now, where somebody wants to see them."""
        if not self._row.peaks.isChecked() or self._asked() == self._listed:
            return
        if self._listed is not None and self._session.active_run is not None:
            # The pictures of a run come faster than peaks are found, which takes the solver's processors.
            self._peaks.mark_old("of earlier pictures; listed again when the run has ended")
            return
        why = self.work.why_not()
        self._peaks.say(why or "Looking for peaks …")
        if not why:
            self._listed = self._asked()
            self.work.find_peaks()

    def _on_failed(self, what: str, text: str) -> None:
        if what == PEAKS:
            self._peaks.say(text)
        else:
            self._say(text, "error")

    def _on_work(self) -> None:
        self._refresh()
        if not self.work.running:
            self._look()  # what had to wait

    def _on_report(self) -> None:
        if self.work.running == REPORT:
            self.work.cancel()
            return
        path, _ = QFileDialog.getSaveFileName(self._row, "Write report", "comparison.html", "HTML (*.html)")
        if path:
            found = Path(path)
            self.work.write_report(found if found.suffix else found.with_suffix(".html"))

    def _on_open(self) -> None:
        if self.work.report_path is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.work.report_path.resolve())))

    def _on_progress(self, text: str, part: float) -> None:
        if self.work.running == REPORT:
            self._say(f"{text} …  {100 * part:.0f} %", "muted")

    def _say(self, text: str, role: str) -> None:
        set_role(self._row.says, role)
        self._row.says.set_full_text(text)

    def _refresh(self) -> None:
        why, going = self.work.why_not(), self.work.running == REPORT
        self._row.report.setText("Stop report" if going else "Write report…")
        self._row.report.setEnabled(going or not why)
        self._row.report.setToolTip("Give up the report that is being made" if going else why or _REPORT_TIP)
        self._row.opened.setVisible(self.work.report_path is not None)
