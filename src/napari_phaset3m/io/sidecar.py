"""What lies beside a stack: tilt angles (.tlt, .rawtlt), SerialEM's .mdoc, FEI's log."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.limits import MAX_SECTIONS, check_exists

_MAX_TEXT = 32 << 20
_AXIS = re.compile(r"tilt axis angle\s*(?:\[[^\]]*\])?\s*[=:]\s*([-+]?\d+(?:\.\d+)?)", re.IGNORECASE)


@dataclass
class Sidecar:
    """What the files beside a stack say; None where they say nothing."""

    tilt_deg: np.ndarray | None = None
    pixel_size_angstrom: float | None = None
    energy_ev: float | None = None
    tilt_axis_angle_deg: float | None = None
    dose_per_image: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)


def read_text_file(path: str | os.PathLike[str]) -> str:
    """The text of a small file in UTF-8 or Latin-1."""
    found = check_exists(path)
    if found.stat().st_size > _MAX_TEXT:
        raise DataError(f"is larger than {_MAX_TEXT >> 20} MB, too large for text", path=path)
    data = found.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def read_angles(path: str | os.PathLike[str]) -> np.ndarray:
    """Angles of a `.tlt` or `.rawtlt` file: the first number of each line, degrees.

    Raises
    ------
    DataError
        A line holds no number.
    """
    angles = []
    for number, line in enumerate(read_text_file(path).splitlines(), 1):
        words = line.replace(",", " ").split()
        if not words or words[0].startswith("#"):
            continue
        try:
            angles.append(float(words[0]))
        except ValueError:
            raise DataError(f"line {number} holds no angle", path=path, field="tilt_angles") from None
    if not angles or len(angles) > MAX_SECTIONS:
        raise DataError(f"holds {len(angles)} angles", path=path, field="tilt_angles")
    return np.asarray(angles)


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


@dataclass
class Mdoc:
    """A SerialEM `.mdoc`: what holds for all, what each section says, and the free text lines."""

    globals: dict[str, str]
    sections: list[dict[str, str]]
    titles: list[str]


def read_mdoc(path: str | os.PathLike[str]) -> Mdoc:
    """Read an mdoc tolerantly: unknown keys are kept, odd lines skipped."""
    found = Mdoc({}, [], [])
    current = found.globals
    for line in read_text_file(path).splitlines():
        text = line.strip()
        if text.startswith("[") and text.endswith("]"):
            key, _, value = text[1:-1].partition("=")
            if key.strip().lower() == "t":
                found.titles.append(value.strip())
            elif key.strip().lower() in ("zvalue", "frameset", "image", "montsection"):
                current = {}
                found.sections.append(current)
        elif "=" in text:
            key, _, value = text.partition("=")
            current[key.strip()] = value.strip()
    return found


def _number(values: dict[str, str], key: str) -> float | None:
    try:
        number = float(values[key].split()[0])
    except (KeyError, ValueError, IndexError):
        return None
    return number if np.isfinite(number) else None


def axis_angle(text: str) -> float | None:
    """The angle after "Tilt axis angle" in a title or log, degrees."""
    match = _AXIS.search(text)
    return float(match.group(1)) if match else None


def _mdoc_beside(stack: Path) -> Path | None:
    """``stack.mrc.mdoc`` or ``stack.mdoc``, else the one whose stem begins the stack's stem."""
    for candidate in (stack.with_name(stack.name + ".mdoc"), stack.with_suffix(".mdoc")):
        if candidate.is_file():
            return candidate
    stems = [(p.name.split(".")[0], p) for p in stack.parent.glob("*.mdoc") if p.is_file()]
    fitting = [(len(stem), p) for stem, p in stems if len(stem) >= 4 and stack.stem.startswith(stem + "_")]
    return max(fitting)[1] if fitting else None


def look_beside(stack: Path, shape: tuple[int, int, int]) -> Sidecar:
    """Read whatever lies beside a stack of ``shape`` (n, ny, nx).

    Raises
    ------
    DataError
        A `.tlt` or `.rawtlt` of the same name has another number of angles.
    """
    result = Sidecar()
    mdoc = _mdoc_beside(stack)
    if mdoc is not None:
        _from_mdoc(result, mdoc, shape)
    for suffix in (".tlt", ".rawtlt"):
        file = stack.with_suffix(suffix)
        if file.is_file():
            angles = read_angles(file)
            if angles.size != shape[0]:
                raise DataError(
                    f"{angles.size} angles for {shape[0]} images in {stack.name}",
                    path=file,
                    field="tilt_angles",
                    remedy="Give one angle for each image",
                )
            result.tilt_deg = angles
            result.notes.append(f"tilt angles from {file.name}")
            break
    log = stack.with_suffix(".txt")
    if result.tilt_axis_angle_deg is None and log.is_file() and log.stat().st_size <= _MAX_TEXT:
        result.tilt_axis_angle_deg = axis_angle(read_text_file(log))
    return result


def _from_mdoc(result: Sidecar, path: Path, shape: tuple[int, int, int]) -> None:
    mdoc = read_mdoc(path)
    first = mdoc.sections[0] if mdoc.sections else {}
    angles = [_number(section, "TiltAngle") for section in mdoc.sections]
    if len(angles) == shape[0] and all(angle is not None for angle in angles):
        result.tilt_deg = np.asarray(angles, dtype=np.float64)
        result.notes.append(f"tilt angles from {path.name}")
        doses = [_number(section, "ExposureDose") for section in mdoc.sections]
        if all(dose is not None and dose > 0 for dose in doses):
            result.dose_per_image = np.asarray(doses, dtype=np.float64)[:, None]
    voltage = _number(mdoc.globals, "Voltage") or _number(first, "Voltage")
    result.energy_ev = voltage * 1e3 if voltage else None
    pixel = _number(mdoc.globals, "PixelSpacing") or _number(first, "PixelSpacing")
    binning = _binning(mdoc.globals.get("ImageSize") or first.get("ImageSize", ""), shape)
    if pixel and binning:
        result.pixel_size_angstrom = pixel * binning
        result.notes.append(f"pixel size from {path.name}: {pixel:g} A x binning {binning}")
    result.tilt_axis_angle_deg = next((a for t in mdoc.titles if (a := axis_angle(t)) is not None), None)


def _binning(size: str, shape: tuple[int, int, int]) -> int | None:
    """By how much the stack is binned against the mdoc's ImageSize (nx ny); None when it does not fit."""
    try:
        nx, ny = (int(word) for word in size.split()[:2])
    except ValueError:
        return 1
    factor = round(nx / shape[2]) or 1
    fits = abs(nx / factor - shape[2]) <= 1 and abs(ny / factor - shape[1]) <= 1
    return factor if fits else None
