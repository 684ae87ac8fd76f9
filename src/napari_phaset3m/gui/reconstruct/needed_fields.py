"""What the chosen method needs and the series lacks, asked for where the run is started."""

from __future__ import annotations

from qtpy.QtWidgets import QGridLayout, QWidget

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.gui.series.metadata_form import changes_for
from napari_phaset3m.gui.theme import LINE_SPACING
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.widgets.numbers import QUANTITIES, Quantity, QuantityRow
from napari_phaset3m.reconstruct.methods.registry import METHODS
from napari_phaset3m.session import Session

_MICROSCOPE = tuple(quantity for quantity in QUANTITIES if quantity.needed == "multislice")


def lacking(series: TiltFocalSeries, config: ReconstructionConfig) -> list[Quantity]:
    """What has to be known before a run can start: linear methods need optics for CTF correction only.

    Dark field lacks nothing: no value would make its optics known.
    """
    if series.is_dark_field or (METHODS[config.method].linear and config.ctf_correction == "none"):
        return []
    return [quantity for quantity in _MICROSCOPE if getattr(series, quantity.name) is None]


def why_lacking(series: TiltFocalSeries, config: ReconstructionConfig) -> str:
    """One line on it; empty when nothing is lacking."""
    entry = METHODS[config.method]
    if series.is_dark_field and not entry.linear:
        return "Dark field has no phase to retrieve: choose a linear method, e.g. SIRT"
    if series.is_dark_field and config.ctf_correction != "none":
        return "Dark field has no CTF to correct: set CTF correction to none"
    names = [quantity.label for quantity in lacking(series, config)]
    if not names:
        return ""
    what = "CTF correction" if entry.linear else entry.label
    missing, needed = ("is", "it") if len(names) == 1 else ("are", "them")
    return f"{' and '.join(names)} {missing} missing, and {what} needs {needed}"


class NeededFields(QWidget):
    """A line for each field that is lacking; not there when none is.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(LINE_SPACING)
        grid.setHorizontalSpacing(8)
        grid.setColumnStretch(1, 1)
        self.rows = {q.name: QuantityRow(grid, 2 * i, q) for i, q in enumerate(_MICROSCOPE)}
        for row in self.rows.values():
            row.edit.submitted.connect(self._on_submitted)
            row.edit.refused.connect(self._on_refused)
            row.edit.setPlaceholderText("missing")
        for name in ("series", "config"):
            follow(session.events[name], self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Ask for what is lacking now."""
        series = self._session.series
        asked = {q.name for q in lacking(series, self._session.config)} if series is not None else set()
        for name, row in self.rows.items():
            for widget in (row.name, row.edit, row.unit):
                widget.setVisible(name in asked)
            if name not in asked or not row.edit.text():
                row.say("", "missing")
            if name not in asked:
                row.edit.show_text("")
        self.setVisible(bool(asked))

    def _on_refused(self, problem: str) -> None:
        self.rows[self.sender().quantity.name].say(f"{problem}.", "wrong")

    def _on_submitted(self, values: list[float]) -> None:
        quantity, series = self.sender().quantity, self._session.series
        if series is None or not values:
            return
        try:
            edited = series.replace(**changes_for(series, quantity, values))
        except PhaseT3MError as error:
            self.rows[quantity.name].say(f"{error}.", "wrong")
            return
        self._session.series = edited
