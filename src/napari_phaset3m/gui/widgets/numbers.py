"""Numbers with units, as microscopists write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLineEdit, QWidget

from napari_phaset3m.errors import ConfigError
from napari_phaset3m.gui.theme import label, set_role
from napari_phaset3m.io.imod import angles_from_text
from napari_phaset3m.io.limits import MAX_AXIS_DEG

#: One of each unit in the unit used inside (angstrom, volt, eV, e/Å², degree).
FACTORS: dict[str, float] = {
    "pm": 0.01, "Å": 1.0, "A": 1.0, "nm": 10.0, "µm": 1e4, "um": 1e4, "μm": 1e4, "mm": 1e7,
    "V": 1.0, "kV": 1e3, "MV": 1e6, "eV": 1.0, "meV": 1e-3, "e/Å²": 1.0, "°": 1.0, "": 1.0,
}  # fmt: skip
#: An angle of a stage is not known better than a thousandth of a degree: -0.000488° is shown as 0.
ANGLE_DECIMALS = 3
_KINDS = (
    frozenset(("pm", "Å", "A", "nm", "µm", "um", "μm", "mm")),
    frozenset(("V", "kV", "MV")),
    frozenset(("eV", "meV")),
    frozenset(("e/Å²",)),
    frozenset(("°",)),
)
_NUMBER = re.compile(r"\s*([-+−]?(?:\d+\.?\d*|\.\d+|\d+,\d+)(?:[eE][-+]?\d+)?)\s*([^\d\s,;/]*[^\s,;]*)\s*$")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A field of the series as the window shows it.

    Attributes
    ----------
    name : str
        Attribute of the series.
    key : str
        Its name in files, as errors give it.
    label, unit, tooltip : str
    needed : {"always", "multislice", "no"}
        What cannot work without it.
    sign : {"positive", "not negative", "any"}
    many : bool
        One value per focus is allowed.
    most : float
        Largest value, either way.
    """

    name: str
    key: str
    label: str
    unit: str
    tooltip: str
    needed: Literal["always", "multislice", "no"] = "no"
    sign: Literal["positive", "not negative", "any"] = "not negative"
    many: bool = False
    most: float = np.inf


QUANTITIES = (
    Quantity("pixel_size_angstrom", "pixel_size", "Pixel size", "Å", "Width of a pixel at the specimen, Å",
             "always", "positive"),
    Quantity("energy_ev", "energy", "Voltage", "kV", "Accelerating voltage, kV", "always", "positive"),
    Quantity("spherical_aberration_angstrom", "spherical_aberration", "Cs", "mm",
             "Spherical aberration, mm; negative values are allowed", "multislice", "any"),
    Quantity("defocus_angstrom", "defocus_values", "Defocus", "nm",
             "Underfocus positive, at the rotation centre, nm: one value for each focus",
             "multislice", "any", many=True),
    Quantity("chromatic_aberration_angstrom", "chromatic_aberration", "Cc", "mm",
             "Chromatic aberration, mm; with the energy spread it gives the focal spread"),
    Quantity("energy_spread_ev", "energy_spread", "Energy spread", "eV",
             "Standard deviation of the beam energy, eV (full width at half maximum ÷ 2.355)"),
    Quantity("focal_spread_angstrom", "focal_spread", "Focal spread", "nm",
             "Standard deviation of defocus, nm (full width at half maximum ÷ 2.355)"),
    Quantity("phase_shift_deg", "phase_shift", "Phase plate", "°",
             "Phase shift of a phase plate, degrees: the scattered beams against the unscattered one; "
             "empty: there is none", sign="any"),
    Quantity("dose_per_image", "dose_per_image", "Dose per image", "e/Å²",
             "Electrons per Å² in one image: one value, or one for each focus", many=True),
)  # fmt: skip
#: Asked for when files are opened; a series has its images turned already.
AXIS = Quantity(
    "tilt_axis_angle_deg", "tilt_axis_angle", "Tilt axis", "°",
    "Angle of the tilt axis from +y towards −x in the files' images, as in SerialEM; they are turned by it",
    "no", "any", most=MAX_AXIS_DEG,
)  # fmt: skip
BY_NAME = {quantity.name: quantity for quantity in QUANTITIES}


def show_number(value: float, digits: int = 4, decimals: int | None = None) -> str:
    """Write a number without exponent or trailing zeros.

    Rounded to ``digits`` significant ones, and to no more than ``decimals`` behind the point, where given.
    """
    if not np.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    places = max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))
    text = f"{value:.{places if decimals is None else min(places, decimals)}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text.replace("-", "−")


def show(value: float, unit: str, digits: int = 4) -> str:
    """Write a value, given in the inner unit, as a number in ``unit`` (which is not appended)."""
    return show_number(value / FACTORS[unit], digits, ANGLE_DECIMALS if unit == "°" else None)


def show_volume(nm3: float, digits: int = 4) -> str:
    """Write a volume with its unit: ``20.68 nm³``, ``2 764 000 nm³``."""
    if nm3 < 10.0**digits:
        return f"{show_number(nm3, digits)} nm³"
    return f"{float(f'{nm3:.{digits}g}'):,.0f} nm³".replace(",", "\u2009")  # thin spaces


def parse_number(text: str, unit: str) -> float:
    """Read a number with an optional unit, into the inner unit; ``unit`` holds when none is typed.

    Raises
    ------
    ConfigError
        It is no number, or its unit measures something else.
    """
    match = _NUMBER.match(text)
    if match is None:
        raise ConfigError(f"“{text.strip()}” is not a number")
    number = float(match[1].replace("−", "-").replace(",", "."))
    typed = match[2] or unit
    kind = next((kind for kind in _KINDS if unit in kind), frozenset((unit,)))
    if typed not in kind:
        raise ConfigError(f"“{typed}” is not a unit for this field. Use {unit}")
    if not np.isfinite(number):
        raise ConfigError(f"“{text.strip()}” is too large")
    return number * FACTORS[typed]


def parse_numbers(text: str, unit: str) -> list[float]:
    """Read numbers separated by commas with a space, semicolons or slashes; the last unit holds for all.

    Raises
    ------
    ConfigError
    """
    measures_dose = unit.startswith("e/")
    separators = r"\s*;\s*|,\s+" if measures_dose else r"\s*[;/]\s*|,\s+"
    parts = [part for part in re.split(separators, text.strip()) if part]
    if not parts:
        raise ConfigError("needs a number")
    match = _NUMBER.match(parts[-1])
    common = match[2] if match is not None and match[2] else unit
    return [parse_number(part, common if common in FACTORS else unit) for part in parts]


def parse_angles(text: str) -> list[float] | str:
    """Read degrees as ``first:last:step``, as a list, or the path of a .tlt file.

    Raises
    ------
    ConfigError
    """
    text = text.strip()
    return text if Path(text).suffix and Path(text).is_file() else angles_from_text(text)


def check_sign(quantity: Quantity, values: Sequence[float]) -> None:
    """Refuse values that the quantity cannot have.

    Raises
    ------
    ConfigError
    """
    if quantity.sign == "positive" and min(values) <= 0:
        raise ConfigError(f"{quantity.label} must be greater than 0")
    if max(map(abs, values)) > quantity.most:
        raise ConfigError(f"{quantity.label} must lie within ±{quantity.most:g} {quantity.unit}")
    if quantity.sign == "not negative" and min(values) < 0:
        raise ConfigError(f"{quantity.label} must not be negative")


class QuantityEdit(QLineEdit):
    """A line for one quantity; says what was typed only when it is a usable value.

    Parameters
    ----------
    quantity : Quantity
    """

    #: The values typed, in the inner unit; an empty list when the field was emptied.
    submitted = Signal(list)
    refused = Signal(str)

    def __init__(self, quantity: Quantity, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.quantity = quantity
        self._shown = ""
        self.setToolTip(quantity.tooltip)
        self.setAccessibleName(f"{quantity.label}, {quantity.unit}")
        self.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.editingFinished.connect(self._on_finished)

    def show_text(self, text: str) -> None:
        """Show a value that comes from the series."""
        self._shown = text
        self.setText(text)

    def values(self) -> list[float]:
        """Read what is typed, in the inner unit; an empty list when there is nothing.

        Raises
        ------
        ConfigError
        """
        text = self.text().strip()
        if not text:
            return []
        quantity = self.quantity
        found = parse_numbers(text, quantity.unit) if quantity.many else [parse_number(text, quantity.unit)]
        check_sign(quantity, found)
        return found

    def _on_finished(self) -> None:
        if self.text() == self._shown:
            return
        try:
            found = self.values()
        except ConfigError as error:
            self.refused.emit(str(error))
            return
        self.submitted.emit(found)


class QuantityRow:
    """Name, line, unit and, only when there is something to say, a remark below.

    Parameters
    ----------
    grid : QGridLayout
        Three columns; two rows of it are used from ``row`` on.
    row : int
    quantity : Quantity
    """

    def __init__(self, grid: QGridLayout, row: int, quantity: Quantity) -> None:
        self.quantity = quantity
        self.edit = QuantityEdit(quantity)
        self.name = label(quantity.label)
        self.name.setToolTip(quantity.tooltip)
        self.name.setBuddy(self.edit)
        self.unit = label(quantity.unit, "muted")
        self.remark = label("", "muted", wrap=True)
        self.remark.hide()
        grid.addWidget(self.name, row, 0)
        grid.addWidget(self.edit, row, 1)
        grid.addWidget(self.unit, row, 2)
        grid.addWidget(self.remark, row + 1, 0, 1, 3)

    def say(self, text: str, state: str = "ok") -> None:
        """Put a remark below (``""``: none); ``state`` is ``ok``, ``missing``, ``doubtful`` or ``wrong``."""
        roles = {"wrong": "error", "missing": "warning", "doubtful": "warning"}
        set_role(self.remark, roles.get(state, "muted"))
        self.remark.setText(text)
        self.remark.setVisible(bool(text))
        set_role(self.edit, "state", "missing" if state == "doubtful" else state)
