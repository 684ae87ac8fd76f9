"""Field for a set of defoci whose transfer and SSNR are asked for."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLineEdit

from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.gui.widgets.numbers import parse_numbers


class DefociField(QLineEdit):
    """Defoci in nm, separated by semicolons or commas; empty: those of the series."""

    said = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setPlaceholderText("the series' own, nm")
        self.setAccessibleName("Defoci of the CTF and SSNR curves, nm")
        self.setToolTip(
            "Defoci whose contrast transfer and common SSNR are shown, in nm (or with Å), underfocus "
            "positive: 50; 100; 150. Any set, whether it was recorded or not. Empty: those of the series at "
            "the tilt nearest to 0°"
        )
        self._work: Any = None
        self.editingFinished.connect(self._choose)

    def connect_to(self, work: Any) -> None:
        """Show the defoci of the analysis, and choose them there when they are typed."""
        self._work = work
        self._show()

    def _show(self) -> None:
        values = self._work.inputs.ssnr_defoci_angstrom
        self.setText("; ".join(f"{value / 10:.6g}" for value in values) + (" nm" if values else ""))

    def _choose(self) -> None:
        text = self.text().strip()
        try:
            # 50,100 are two foci here; a decimal comma needs semicolons beside it
            listed = text if ";" in text else text.replace(",", ";")
            values = tuple(parse_numbers(listed, "nm")) if text else ()
        except PhaseT3MError as error:
            self.said.emit(f"Defoci: {error}. Write nm, underfocus positive: 50; 100; 150")
            return
        self.said.emit("")
        if values != self._work.inputs.ssnr_defoci_angstrom:
            self._work.choose(ssnr_defoci_angstrom=values)
        self._show()
