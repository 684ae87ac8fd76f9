"""SerialEM's .mdoc (and .idoc): a tolerant parser, and each image's values with units.

Format: SerialEM's help, "File Formats" (https://bio3d.colorado.edu/SerialEM/hlp/html/about_formats.htm):
IMOD "autodoc", global keys first, then sections ``[ZValue = 3]``, ``[FrameSet = 0]``, ``[Image = name]``,
``[MontSection = 0]``; titles are ``[T = text]``. Order is free, unknown keys are kept, other lines skipped.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath, PureWindowsPath

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.limits import MAX_AXIS_DEG, MAX_SECTIONS
from napari_phaset3m.io.text import one_number, read_text_file

_NUMBER = r"\d+(?:\.\d*)?(?!\d|,\d)"
_AXIS = re.compile(rf"tilt axis angle\s*(?:\[[^\]]*\])?\s*[=:]\s*([-+]?{_NUMBER})", re.IGNORECASE)
_BINNING = re.compile(rf"\bbinning\s*=\s*({_NUMBER})", re.IGNORECASE)
_SECTION = re.compile(r"\[\s*(\w+)\s*=\s*(.*?)\s*\]?\s*$")
_KINDS = {"zvalue": "ZValue", "frameset": "FrameSet", "image": "Image", "montsection": "MontSection"}
_DATE = re.compile(r"(\d{1,4})[-./ ]+([^\W\d_]{3,}|\d{1,2})[-./ ]+(\d{1,4})\s+(\d{1,2}):(\d{2}):(\d{2})")
#: Pixel sizes (angstrom) and binnings (0.5: super-resolution) that can be; beyond, a number is damaged.
_PIXELS, _BINNINGS = (1e-3, 1e6), (0.01, 1e3)
#: First letters of months in the languages that microscopes' computers speak.
_MONTHS = {
    "jan": 1, "feb": 2, "fév": 2, "mar": 3, "mär": 3, "mrz": 3, "apr": 4, "avr": 4, "may": 5, "mai": 5,
    "jun": 6, "jui": 6, "jul": 7, "aug": 8, "aoû": 8, "sep": 9, "oct": 10, "okt": 10, "nov": 11, "dec": 12,
    "dez": 12, "déc": 12,
}  # fmt: skip


def axis_angle(text: str) -> float | None:
    """The angle after "Tilt axis angle" in a title or log, degrees; None beyond ±360."""
    match = _AXIS.search(text)
    return float(match.group(1)) if match and abs(float(match.group(1))) <= MAX_AXIS_DEG else None


def read_date(text: str | None) -> datetime | None:
    """SerialEM's time, ``30-Nov-15  15:21:38`` or ``11-Aug-2023 17:44:56`` (or with numbers), or None."""
    match = _DATE.search(text or "")
    if match is None:
        return None
    first, month, last = match.group(1), match.group(2).lower(), match.group(3)
    number = int(month) if month.isdigit() else _MONTHS.get(month[:3])
    if month.startswith("juil"):
        number = 7
    day, year = (last, first) if len(first) == 4 else (first, last)
    try:
        century = 2000 if int(year) < 100 else 0
        hour, minute, second = (int(match.group(k)) for k in (4, 5, 6))
        return datetime(int(year) + century, number or 0, int(day), hour, minute, second)
    except ValueError:
        return None


@dataclass(frozen=True, eq=False)
class MdocImage:
    """One section of an mdoc.

    Attributes
    ----------
    kind : str
        ``"ZValue"``, ``"FrameSet"``, ``"Image"`` or ``"MontSection"``.
    name : str
        What stands after it: the section of the stack, or a file.
    values : mapping
        Keys as in the file, and their text; globals are not repeated here.
    """

    kind: str
    name: str
    values: Mapping[str, str]

    def number(self, key: str) -> float | None:
        """The first number of a key, or None; ``10,5`` is none, for it would be read as 10."""
        return one_number(self.values.get(key))

    def numbers(self, key: str) -> tuple[float, ...]:
        """All numbers of a key; ``10,5`` is none."""
        found = (one_number(word) for word in self.values.get(key, "").split())
        return tuple(value for value in found if value is not None)

    @property
    def z(self) -> int | None:
        """Section of the stack, from 0."""
        value = one_number(self.name) if self.kind == "ZValue" else None
        return int(value) if value is not None and 0 <= value < MAX_SECTIONS else None

    @property
    def tilt_deg(self) -> float | None:
        """Stage tilt; None beyond ±180 degrees, which no stage reaches."""
        value = self.number("TiltAngle")
        return value if value is not None and abs(value) <= 180 else None

    @property
    def target_defocus_angstrom(self) -> float | None:
        """Nominal defocus, underfocus **positive** (SerialEM writes µm, underfocus negative)."""
        return _underfocus(self.number("TargetDefocus"))

    @property
    def measured_defocus_angstrom(self) -> float | None:
        """``CtfFind``: defocus that was fitted while the series was taken, underfocus positive."""
        return _underfocus(self.number("CtfFind"))

    @property
    def lens_defocus_angstrom(self) -> float | None:
        """``Defocus``: the lens reading, underfocus positive. Its zero is arbitrary; differences count."""
        return _underfocus(self.number("Defocus"))

    @property
    def stated_dose(self) -> float | None:
        """Dose on the specimen, e/Å²: ``ExposureDose``, else the sum of ``FrameDosesAndNumber``."""
        dose = self.number("ExposureDose")
        if dose is not None and 0 < dose < 1e6:
            return dose
        pairs = self.numbers("FrameDosesAndNumber")
        total = sum(one * count for one, count in zip(pairs[::2], pairs[1::2], strict=False))
        return total if 0 < total < 1e6 else None

    def camera_dose(self, unbinned_pixel_angstrom: float | None) -> float | None:
        """Dose at the camera, e/Å²: ``DoseRate`` (e per unbinned pixel and second) times ``ExposureTime``.

        What the specimen or an energy filter stopped is missing from it, so it is a lower bound. None as
        well for a pixel that no image has, and for a dose that is not between 0 and 1e6.
        """
        rate, seconds, pixel = self.number("DoseRate"), self.number("ExposureTime"), unbinned_pixel_angstrom
        if rate is None or seconds is None or pixel is None or rate < 0 or seconds < 0:
            return None
        if not _PIXELS[0] <= pixel < _PIXELS[1]:
            return None
        dose = rate * seconds / pixel**2
        return dose if 0 < dose < 1e6 else None

    @property
    def prior_dose(self) -> float | None:
        """``PriorRecordDose``: what the specimen had before this image, e/Å²."""
        value = self.number("PriorRecordDose")
        return value if value is not None and 0 <= value < 1e9 else None

    @property
    def time(self) -> datetime | None:
        """When it was taken."""
        return read_date(self.values.get("DateTime"))

    @property
    def movie(self) -> str | None:
        """File name of the frames, without the folders of the computer they were saved on."""
        path = self.values.get("SubFramePath", "").strip()
        return (PureWindowsPath if "\\" in path else PurePosixPath)(path).name or None

    @property
    def n_frames(self) -> int | None:
        """``NumSubFrames``."""
        value = self.number("NumSubFrames")
        return int(value) if value is not None and 0 < value < MAX_SECTIONS else None

    @property
    def frame_range(self) -> tuple[int, int] | None:
        """``FrameTSStartEndFrames``: first and last frame of this image in a movie of several, from 0."""
        values = self.numbers("FrameTSStartEndFrames")
        if len(values) != 2 or not 0 <= values[0] <= values[1] < MAX_SECTIONS:
            return None
        return int(values[0]), int(values[1])


def _underfocus(micrometre: float | None) -> float | None:
    if micrometre is None or abs(micrometre) > 1e3:
        return None
    return -micrometre * 1e4 or 0.0


@dataclass(frozen=True, eq=False)
class Mdoc:
    """A whole ``.mdoc``.

    Attributes
    ----------
    path : path-like
    globals : mapping
        Keys that hold for all images.
    sections : tuple of MdocImage
        In the file's order.
    titles : tuple of str
    """

    path: str | os.PathLike[str]
    globals: Mapping[str, str] = field(default_factory=dict)
    sections: tuple[MdocImage, ...] = ()
    titles: tuple[str, ...] = ()

    @property
    def is_montage(self) -> bool:
        """Pieces of one large picture rather than tilts."""
        pieces = sum("PieceCoordinates" in image.values for image in self.sections)
        return bool(one_number(self.globals.get("Montage"))) or 2 * pieces > len(self.sections) > 0

    @property
    def images(self) -> tuple[MdocImage, ...]:
        """The sections that are images: a frame set that is split into tilts counts as these.

        What the set says (movie, target defocus ...) holds for its parts unless they say otherwise.
        """
        kept = tuple(s for s in self.sections if s.kind != "MontSection")
        parts = tuple(s for s in kept if s.kind == "ZValue")
        whole = self.frame_set
        if whole is None or not parts:
            return kept
        return tuple(MdocImage(s.kind, s.name, {**whole.values, **s.values}) for s in parts)

    @property
    def frame_set(self) -> MdocImage | None:
        """The ``[FrameSet = ...]`` section, when there is one."""
        return next((s for s in self.sections if s.kind == "FrameSet"), None)

    def number(self, key: str) -> float | None:
        """A number that holds for all: from the globals, else the first section that has it."""
        first = one_number(self.globals.get(key))
        if first is not None:
            return first
        return next((v for s in self.sections if (v := s.number(key)) is not None), None)

    def text(self, key: str) -> str | None:
        """The text of a key: from the globals, else the first section that has it."""
        found = (s.values[key] for s in self.sections if s.values.get(key))
        return self.globals.get(key) or next(found, None)

    @property
    def title_axis_deg(self) -> float | None:
        """The "tilt axis angle" of the titles: from +y towards −x, degrees."""
        return next((a for t in self.titles if (a := axis_angle(t)) is not None), None)

    @property
    def rotation_axis_deg(self) -> float | None:
        """``RotationAngle`` − 90°, within ±180: the same axis, as SerialEM derives it.

        All files here that state both agree so (175.3 and 85.3, -176 and 94, 3.35 and -86.7, 0 and -90).
        """
        angle = next((v for s in self.sections if (v := s.number("RotationAngle")) is not None), None)
        if angle is None or abs(angle) > MAX_AXIS_DEG:
            return None
        return float(f"{180 - (270 - angle) % 360:.6g}")

    @property
    def binning(self) -> float | None:
        """Binning of the camera (0.5: super-resolution); None where no camera has such."""
        value = self.number("Binning")
        if value is None:
            found = next((m for t in self.titles if (m := _BINNING.search(t))), None)
            value = float(found.group(1)) if found else None
        return value if value is not None and _BINNINGS[0] <= value <= _BINNINGS[1] else None

    @property
    def pixel_size_angstrom(self) -> float | None:
        """``PixelSpacing`` of the images; None below 0.001 Å and from 1e6 Å on."""
        value = self.number("PixelSpacing")
        return value if value is not None and _PIXELS[0] <= value < _PIXELS[1] else None

    @property
    def energy_ev(self) -> float | None:
        """``Voltage`` in volts (SerialEM writes kV)."""
        value = self.number("Voltage")
        return float(f"{value * 1e3:.12g}") if value and 0 < value < 1e5 else None


def read_mdoc(path: str | os.PathLike[str]) -> Mdoc:
    """Read an mdoc tolerantly: unknown keys are kept, odd lines skipped, the last of equal keys counts.

    Raises
    ------
    DataError
        It cannot be read, holds no section and no key, or far too many.
    """
    general: dict[str, str] = {}
    current = general
    sections: list[tuple[str, str, dict[str, str]]] = []
    titles: list[str] = []
    for line in read_text_file(path).splitlines():
        text = line.strip(" \t\r\n\0")
        match = _SECTION.match(text)
        if match:
            kind = _KINDS.get(match.group(1).lower())
            if match.group(1).lower() == "t":
                titles.append(match.group(2))
            elif kind:
                current = {}
                sections.append((kind, match.group(2), current))
        elif "=" in text:
            key, _, value = text.partition("=")
            if key.strip() == "T":
                titles.append(value.strip())
            else:
                current[key.strip()] = value.strip()
    if len(sections) > MAX_SECTIONS or not (sections or general or titles):
        raise DataError(f"holds {len(sections)} sections", path=path, remedy="Is it a SerialEM .mdoc file?")
    return Mdoc(path, general, tuple(MdocImage(*section) for section in sections), tuple(titles))
