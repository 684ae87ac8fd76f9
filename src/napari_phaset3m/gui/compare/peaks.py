"""Bragg peaks of the compared volumes side by side: click a row, and the transforms go there."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_phaset3m.gui.fourier.peak_table import (
    HKL,
    WEDGE,
    Column,
    D,
    PeakTable,
    frequency_of,
    number_text,
    peak_name,
)
from napari_phaset3m.gui.theme import label

#: Width of the list, px.
_WIDTH = 510
_HINT = (
    "Height alone proves no structure, and phases that agree with another reconstruction's prove neither: "
    "both may share what is wrong."
)


_OLD = "Out of date:"


class ComparePeaks(QWidget):
    """The table of a ``PeaksBeside`` with a sentence about each volume."""

    #: ((kz, ky, kx) in 1/Å, text) of the peak to look at.
    wanted = Signal(tuple, str)

    def __init__(self) -> None:
        super().__init__()
        self.says = label("", wrap=True)
        self.table = PeakTable()
        self.table.chosen.connect(self._on_chosen)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.says)
        layout.addWidget(self.table, 1)
        self.setFixedWidth(_WIDTH)
        self.hide()

    def show_found(self, found: Any) -> None:
        """List the peaks of a ``PeaksBeside``."""
        self.says.setText("\n".join(found.statements()))
        self.says.setToolTip(_HINT)
        rows = found.rows()
        self.table.set_rows(rows, columns(found.names))
        self.table.setVisible(bool(rows))

    def mark_old(self, why: str) -> None:
        """Say above the list that it is no longer of what is shown."""
        lines = [line for line in self.says.text().splitlines() if not line.startswith(_OLD)]
        self.says.setText("\n".join([f"{_OLD} {why}.", *lines]))

    def say(self, text: str) -> None:
        """Say why there is no list (any more)."""
        self.says.setText(text)
        self.table.set_rows([])
        self.table.hide()

    def _on_chosen(self, row: dict[str, Any]) -> None:
        self.wanted.emit(frequency_of(row), f"{peak_name(row)}   {row['d_angstrom']:.2f} Å")


def columns(names: tuple[str, ...]) -> tuple[Column, ...]:
    """Indices and spacing, then SNR of each volume and its phase against the first's."""
    made = [HKL, D]
    for number, name in enumerate(names):
        made.append(_snr(number, name))
        if number:
            made.append(_phase(number, name, names[0]))
    return (*made, WEDGE)


def _snr(number: int, name: str) -> Column:
    def value(row: dict[str, Any]) -> float:
        return float(row["volumes"][number]["snr"])

    return Column(
        f"{name} SNR",
        "",
        f"Height in {name} over its local background; found from 5 on, where nothing "
        f"around is as high (fainter: not found). {_HINT}",
        lambda row: number_text(value(row), 1),
        value,
        lambda row: not row["volumes"][number]["found"],
    )


def _phase(number: int, name: str, first: str) -> Column:
    def value(row: dict[str, Any]) -> float | None:
        found = row["volumes"][number]["phase_agreement"]
        return None if found is None else float(found)

    return Column(
        f"phase {name}",
        "",
        f"Agreement of {name}'s phase with {first}'s, from −1 to 1. {_HINT}",
        lambda row: number_text(value(row)),
        lambda row: -2.0 if value(row) is None else value(row),
        lambda row: not row["volumes"][number]["phase_agreed"],
    )
