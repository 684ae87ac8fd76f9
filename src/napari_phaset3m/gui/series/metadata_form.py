"""The microscope's side of a series, editable in the units that microscopists use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QVBoxLayout, QWidget

from napari_phaset3m.core.plausible import doubtful_cs, doubtful_energy, doubtful_pixel, is_unit_warning
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.gui.theme import LINE_SPACING, label
from napari_phaset3m.gui.widgets.numbers import QUANTITIES, Quantity, QuantityRow, show

#: Checks of values that may have been typed in another unit.
_DOUBTS: dict[str, Callable[[Any], str | None]] = {
    "energy_ev": doubtful_energy, "spherical_aberration_angstrom": doubtful_cs,
    "pixel_size_angstrom": doubtful_pixel,
}  # fmt: skip


def doubt_of(name: str, value: Any) -> str | None:
    """One line where a value is hardly meant in its unit."""
    return _DOUBTS[name](value) if name in _DOUBTS else None


def doubts(series: TiltFocalSeries) -> list[str]:
    """One line for each value that is hardly meant in its unit."""
    found = (doubt_of(name, getattr(series, name)) for name in _DOUBTS)
    return [line for line in found if line]


def missing_for_multislice(series: TiltFocalSeries) -> list[str]:
    """Labels of the fields that multislice needs and the series lacks; none of dark field."""
    if series.is_dark_field:
        return []
    return [q.label for q in QUANTITIES if q.needed == "multislice" and getattr(series, q.name) is None]


def field_text(series: TiltFocalSeries, quantity: Quantity) -> str:
    """Write what a field's line shows; empty when the value is missing or differs from tilt to tilt."""
    value = getattr(series, quantity.name)
    if value is None or varies_with_tilt(series, quantity):
        return ""
    if not quantity.many:
        return show(float(value), quantity.unit)
    row = value[0]
    if np.all(row == row[0]) and quantity.name != "defocus_angstrom":
        row = row[:1]
    return " / ".join(show(float(item), quantity.unit) for item in row)


def varies_with_tilt(series: TiltFocalSeries, quantity: Quantity) -> bool:
    """Whether a per-image field has more than one value for the same focus."""
    value = getattr(series, quantity.name)
    return quantity.many and value is not None and bool(np.ptp(value, axis=0).any())


def field_remark(series: TiltFocalSeries, quantity: Quantity) -> tuple[str, str, str]:
    """Return (placeholder, remark below, state) of a field."""
    value = getattr(series, quantity.name)
    if varies_with_tilt(series, quantity):
        low, high = (show(float(edge), quantity.unit) for edge in (value.min(), value.max()))
        return f"{low} … {high}", "Differs from tilt to tilt; see the table of images.", "ok"
    if quantity.name == "focal_spread_angstrom" and value is None:
        resolved = series.resolved_focal_spread_angstrom
        if resolved:
            return show(resolved, "nm"), "Default: from Cc and the energy spread.", "ok"
        return "0", "Default: 0 nm, a fully coherent beam.", "ok"
    if value is not None:
        doubt = doubt_of(quantity.name, value)
        return ("", doubt, "doubtful") if doubt else ("", "", "ok")
    if quantity.needed == "multislice" and not series.is_dark_field:
        return "missing", f"{quantity.label} is missing; multislice needs it.", "missing"
    return "not stated", "", "ok"


def changes_for(series: TiltFocalSeries, quantity: Quantity, values: list[float]) -> dict[str, Any]:
    """The field of the series that typed values stand for; none typed: not known.

    Raises
    ------
    ConfigError
        There are more or fewer values than foci.
    """
    if not values:
        return {quantity.name: None}
    if not quantity.many:
        return {quantity.name: values[0]}
    # One defocus for several foci would make them all alike; files and flags are refused it too.
    same = quantity.name != "defocus_angstrom" and series.n_focus > 1
    if len(values) != series.n_focus and not (same and len(values) == 1):
        wanted = f"{'1 or ' if same else ''}{series.n_focus}"
        raise ConfigError(f"{quantity.label}: {len(values)} given, but {wanted} needed")
    return {quantity.name: np.broadcast_to(values, (series.n_tilt, series.n_focus)).copy()}


class MetadataForm(QWidget):
    """One line for each field of :data:`forms.QUANTITIES`."""

    #: Fields of the series to replace.
    changed = Signal(dict)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._series: TiltFocalSeries | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(2, 8, 6, 4)
        grid = QGridLayout()
        grid.setVerticalSpacing(LINE_SPACING)
        grid.setHorizontalSpacing(8)
        grid.setColumnStretch(1, 1)
        self.rows: dict[str, QuantityRow] = {}
        for i, quantity in enumerate(QUANTITIES):
            row = self.rows[quantity.name] = QuantityRow(grid, 2 * i, quantity)
            row.edit.submitted.connect(self._on_submitted)
            row.edit.refused.connect(self._on_refused)
        layout.addLayout(grid)
        self.notes = label("", "muted", wrap=True)
        layout.addWidget(self.notes)
        layout.addStretch(1)

    def set_series(self, series: TiltFocalSeries | None) -> None:
        """Show a series, or an empty, disabled form."""
        self._series = series
        self.setEnabled(series is not None)
        self.setToolTip("" if series is not None else "Open a series first")
        for row in self.rows.values():
            self._show_row(row)
        told = series.metadata.get("notes", ()) if series is not None else ()
        notes = [note for note in told if not is_unit_warning(str(note))]  # said beside the value itself
        self.notes.setText("\n".join(f"On loading: {note}." for note in notes))
        self.notes.setVisible(bool(notes))

    def _show_row(self, row: QuantityRow) -> None:
        if self._series is None:
            row.edit.show_text("")
            row.edit.setPlaceholderText("")
            row.say("")
            return
        row.edit.show_text(field_text(self._series, row.quantity))
        placeholder, remark, state = field_remark(self._series, row.quantity)
        row.edit.setPlaceholderText(placeholder)
        row.say(remark, state)

    def _on_refused(self, problem: str) -> None:
        self.rows[self.sender().quantity.name].say(f"{problem}.", "wrong")

    def refuse(self, name: str, problem: str) -> None:
        """Show a problem that the series itself has with a value."""
        if name in self.rows:
            self.rows[name].say(problem, "wrong")

    def _on_submitted(self, values: list[float]) -> None:
        quantity, series = self.sender().quantity, self._series
        if series is None:
            return
        row = self.rows[quantity.name]
        if not values and quantity.needed == "always":
            row.say(f"{quantity.label} is needed.", "wrong")
            return
        if not values and varies_with_tilt(series, quantity):
            self._show_row(row)
            return
        try:
            self.changed.emit(changes_for(series, quantity, values))
        except ConfigError as error:
            row.say(f"{error}.", "wrong")
