"""What lies beside a stack: tilt angles (.tlt, .rawtlt), SerialEM's .mdoc, FEI's log."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.imod import read_angles
from napari_phaset3m.io.mdoc import axis_angle, read_mdoc
from napari_phaset3m.io.mdoc_commas import axis_refusal, axis_unread
from napari_phaset3m.io.mdoc_series import NO_TITLE, MdocSeries, mdoc_series
from napari_phaset3m.io.text import MAX_TEXT, check_count, is_decimal_comma, read_text_file

#: Texts of tilt angles, by their suffix.
ANGLES = (".tlt", ".rawtlt")
#: Begins a note that says where tilt angles are from.
TILTS = "tilt angles from "
_PUTS = "RotationAngle puts the tilt axis at"


@dataclass
class Sidecar:
    """What the files beside a stack say; None where they say nothing."""

    tilt_deg: np.ndarray | None = None
    pixel_size_angstrom: float | None = None
    energy_ev: float | None = None
    tilt_axis_angle_deg: float | None = None
    dose_per_image: np.ndarray | None = None
    defocus_angstrom: np.ndarray | None = None
    prior_dose: np.ndarray | None = None
    exposure_order: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
    #: Why files of the stack's name do not say what they should: damaged, or of another number of images.
    refused: list[DataError] = field(default_factory=list)
    #: Why an mdoc tells no tilts, though some of its sections do: counts where no other file tells them.
    tilts_refused: DataError | None = None
    #: Which file states the axis, and why one in a title or log is not read.
    tilt_axis_from: Path | None = None
    axis_refused: DataError | None = None

    def exposure(self) -> dict[str, list[float]]:
        """Order of exposure and dose before each section, for the metadata of a series."""
        known = {"exposure_order": self.exposure_order, "prior_dose": self.prior_dose}
        return {name: values.tolist() for name, values in known.items() if values is not None}


def without_angles(notes: Iterable[str]) -> list[str]:
    """The notes without those that say where tilt angles are from (of a named file, too)."""
    return [note for note in notes if not (note.startswith(TILTS) or f": {TILTS}" in note)]


def without_derived_axis(notes: Iterable[str]) -> list[str]:
    """The notes without those on an axis that only follows from a RotationAngle."""
    return [note for note in notes if _PUTS not in note and NO_TITLE not in note]


def read_mtf(path: str | os.PathLike[str]) -> np.ndarray:
    """Detector MTF from a text file: `(n, 2)`, fraction of Nyquist and value; # begins a comment.

    Raises
    ------
    DataError
        A line holds other than two numbers.
    """
    rows = []
    for number, line in enumerate(read_text_file(path).splitlines(), 1):
        words = line.partition("#")[0].replace(",", " ").replace(";", " ").split()
        if not words:
            continue
        try:
            frequency, value = map(float, words)
        except ValueError:
            raise DataError(
                f"line {number} does not hold two numbers",
                path=path,
                field="mtf",
                remedy="Write fraction of Nyquist and value in each line",
            ) from None
        rows.append((frequency, value))
    return np.array(rows).reshape(-1, 2)


def mdoc_beside(stack: Path) -> tuple[Path | None, bool]:
    """``stack.mrc.mdoc`` or ``stack.mdoc`` (True), else one whose stem begins the stack's stem (False)."""
    for candidate in (stack.with_name(stack.name + ".mdoc"), stack.with_suffix(".mdoc")):
        if candidate.is_file():
            return candidate, True
    stems = [(p.name.split(".")[0], p) for p in stack.parent.glob("*.mdoc") if p.is_file()]
    fitting = [(len(stem), p) for stem, p in stems if len(stem) >= 4 and stack.stem.startswith(stem + "_")]
    return (max(fitting)[1], False) if fitting else (None, False)


def look_beside(stack: Path, shape: tuple[int, int, int]) -> Sidecar:
    """Read whatever lies beside a stack of ``shape`` (n, ny, nx).

    A `.tlt` or `.rawtlt` of the same name with another number of angles, an `.mdoc` of the same name with
    another number of images, and damaged ones are left to the caller (``refused``): given angles win.
    """
    result = Sidecar()
    mdoc, is_own = mdoc_beside(stack)
    if mdoc is not None:
        try:
            _from_mdoc(result, mdoc, stack, shape, is_own)
        except DataError as error:
            result.refused.append(or_give(error))
    for suffix in ANGLES:
        file = stack.with_suffix(suffix)
        if not file.is_file():
            continue
        try:
            angles = read_angles(file)
            check_count(angles.size, shape[0], file, "angles", stack.name)
        except DataError as error:
            result.refused.append(or_give(error))
            continue
        result.tilt_deg = angles
        result.notes = without_angles(result.notes)  # this file wins
        result.notes.append(f"{TILTS}{file.name}")
        break
    if result.tilt_deg is None and result.tilts_refused is not None:
        result.refused.append(or_give(result.tilts_refused))
    log = stack.with_suffix(".txt")
    if result.tilt_axis_angle_deg is None and log.is_file() and log.stat().st_size <= MAX_TEXT:
        text = read_text_file(log)
        result.tilt_axis_angle_deg = axis_angle(text)
        why = axis_unread(text)
        if result.tilt_axis_angle_deg is not None:
            result.tilt_axis_from = log
        elif why and result.axis_refused is None:
            result.axis_refused = axis_refusal(log, why, "log")
    return result


def or_give(error: DataError, what: str = "the angles: tilt_deg=... in Python or --tilt-angles") -> DataError:
    """The refusal of a file beside a stack, which angles (or ``what``) that are given win over."""
    remedy = f"Or move it away, or give {what}"
    if error.remedy:
        remedy = f"{error.remedy}{'' if error.remedy.endswith('?') else '.'} {remedy}"
    return DataError(error.problem, path=error.path, field=error.field, remedy=remedy)


def not_used(refused: DataError) -> str:
    """A note in place of a refusal, where angles are given or asked for."""
    name = Path(refused.path or "").name
    if refused.field == "TiltAngle":
        return f"{name} tells no tilts: TiltAngle {refused.problem}"
    whole = f"what {name} says of single images" if refused.field == "sections" else name
    where = f"{refused.field}: " if (refused.field or "").startswith("line") else ""
    return f"{whole} is not used: {where}{refused.problem}"


def lacking_tilts(series: MdocSeries, path: Path) -> DataError | None:
    """Why an mdoc tells no tilts, where some of its sections have one, or one with a decimal comma."""
    n, images = len(series.images), series.images
    stated = [image.values.get("TiltAngle", "").strip() for image in images]
    without = [number for number, image in enumerate(images) if image.tilt_deg is None]
    commas = [number for number in without if is_decimal_comma(stated[number])]
    if commas or 0 < len(without) < n or (without and any(stated)):
        told = commas or without
        more = f" and {len(told) - 1} more" if len(told) > 1 else ""
        where = f"in section {told[0]}{more} of {n} (from 0)"
        comma = f"is {stated[told[0]]} {where}, with a decimal comma, and is not read"
        return DataError(
            comma if commas else f"is missing or no angle {where}",
            path=path, field="TiltAngle", remedy="Write a point there" if commas else "Mend it there",
        )  # fmt: skip
    return None


def _from_mdoc(result: Sidecar, path: Path, stack: Path, shape: tuple[int, int, int], is_own: bool) -> None:
    mdoc = read_mdoc(path)
    found = mdoc_series(mdoc)
    fits = len(found.images) == shape[0]
    refused = axis_refusal(path, found.axis_unread) if found.axis_unread else None
    result.axis_refused = refused
    if is_own and found.images and not fits:
        try:
            check_count(len(found.images), shape[0], path, "sections", stack.name)
        except DataError as error:  # what it says of all images holds
            result.refused.append(or_give(error))
    if fits:
        result.tilt_deg = found.tilt_deg
        if found.tilt_deg is not None:
            result.notes.append(f"{TILTS}{path.name}")
        result.tilts_refused = lacking_tilts(found, path) if is_own else None
        if found.dose is not None and found.is_dose_stated:
            result.dose_per_image = found.dose[:, None]
        if found.defocus_angstrom is not None:
            result.defocus_angstrom = found.defocus_angstrom[:, None]
        result.prior_dose = found.prior_dose if found.is_dose_stated else None
        result.exposure_order = found.exposure_order if found.is_order_stated else None
        unread = f"tilt axis: {refused.problem}" if refused is not None else None  # told by its refusal
        told = [text for text in found.questions if unread is None or not text.startswith(unread)]
        result.notes += [f"{path.name}: {text}" for text in (*found.notes, *told)]
    result.energy_ev = found.energy_ev
    binning = _binning(mdoc.text("ImageSize") or "", shape)
    if found.pixel_size_angstrom and binning:
        result.pixel_size_angstrom = found.pixel_size_angstrom * binning
        result.notes.append(
            f"pixel size from {path.name}: {found.pixel_size_angstrom:g} A x binning {binning}"
        )
    if found.is_axis_stated:
        result.tilt_axis_angle_deg, result.tilt_axis_from = found.tilt_axis_angle_deg, path
    elif found.tilt_axis_angle_deg is not None:
        result.notes.append(
            f"{path.name}: {_PUTS} {found.tilt_axis_angle_deg:g} degrees, but no "
            "title says so: not turned. Give tilt_axis_angle_deg=... in Python or --tilt-axis-angle"
        )


def _binning(size: str, shape: tuple[int, int, int]) -> int | None:
    """By how much the stack is binned against the mdoc's ImageSize (nx ny); None when it does not fit."""
    try:
        nx, ny = (int(word) for word in size.split()[:2])
    except ValueError:
        return 1
    factor = round(nx / shape[2]) or 1
    fits = abs(nx / factor - shape[2]) <= 1 and abs(ny / factor - shape[1]) <= 1
    return factor if fits else None
