"""TIFF stacks, and folders of TIFFs with the tilt angle in each name."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.limits import MAX_SECTIONS, check_exists, check_memory, check_real
from napari_phaset3m.io.raw import RawSeries
from napari_phaset3m.io.sidecar import look_beside
from napari_phaset3m.io.stack_axes import take_axis

#: Angstrom per unit of length, by the names that files use.
ANGSTROM = {
    "angstrom": 1.0, "å": 1.0, "a": 1.0, "ang": 1.0, "nm": 10.0, "nanometer": 10.0, "pm": 0.01, "um": 1e4,
    "µm": 1e4, "μm": 1e4, "\\u00b5m": 1e4, "micron": 1e4, "micrometer": 1e4, "mm": 1e7,
}  # fmt: skip
#: Values of the tag Orientation: rows run downwards (when it is absent too); 3 and 4 run upwards.
TOP_DOWN = (None, 1, 2)
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
#: A letter for the sign of the last number: ``_m10.0``, ``tilt_p10``.
_LETTER = re.compile(r"(?<![A-Za-z0-9])([mMpP])(?=\d+(?:\.\d+)?\D*$)")
_MARKED = re.compile(
    r"(?:tilt|angle|deg)[ _=]*([-+]?\d+(?:\.\d+)?)|([-+]?\d+(?:\.\d+)?)[ _]*deg", re.IGNORECASE
)


def read_stack(path: str | Path) -> tuple[np.ndarray, dict[str, Any]]:
    """All pages of a TIFF as `(n, ny, nx)` (or `(ny, nx)`), and what its metadata says.

    Rows come from the bottom of the picture upwards, as an MRC file stores them: see :func:`bottom_up`.

    Raises
    ------
    DataError
        Not a TIFF, truncated, or larger than the memory.
    """
    import tifffile

    found = check_exists(path)
    try:
        with tifffile.TiffFile(found) as file:
            series = file.series[0]
            check_memory(series.shape, series.dtype.itemsize, path, "pages")
            check_real(series, path, "pages")
            info = tiff_info(file)
            upright = page_tag(file, "Orientation") in TOP_DOWN
            data = series.asarray()
    except DataError:
        raise
    except Exception as error:  # tifffile lets struct, index and codec errors through
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = "Is it the right file? Else copy it again"
        raise DataError(f"cannot be read as TIFF ({reason})", path=path, remedy=remedy) from None
    data = np.squeeze(data) if data.ndim > 3 else data
    return bottom_up(data) if upright else data, info


def bottom_up(images: np.ndarray) -> np.ndarray:
    """Turn rows of pictures, `(..., ny, nx)`, from top-first to bottom-first, or back.

    TIFF and GIF store the top row first, MRC the bottom row (its origin is the lower left corner: IMOD's
    ``tif2mrc`` turns the rows over, and Bio-Formats does when it reads an MRC file). One picture is
    one array here, whichever of them it comes from, or volumes would be each other's mirror images.
    """
    return np.ascontiguousarray(images[..., ::-1, :])


def page_tag(file: Any, name: str) -> Any:
    """Value of a tag of the first page, or None."""
    tag = file.pages[0].tags.get(name)
    return None if tag is None else tag.value


def tiff_info(file: Any) -> dict[str, Any]:
    """Pixel size and our own record, from ImageJ or OME metadata."""
    info: dict[str, Any] = {}
    imagej = file.imagej_metadata or {}
    stored = imagej.get("phaset3m")
    if isinstance(stored, str):
        try:
            stored = json.loads(stored)
        except ValueError:
            stored = None
    if isinstance(stored, dict):
        info["phaset3m"] = stored
        info["pixel_size_angstrom"] = stored.get("voxel_size_angstrom")
    elif imagej.get("unit"):
        info["pixel_size_angstrom"] = _resolution(file, str(imagej["unit"]))
    elif file.ome_metadata:
        info["pixel_size_angstrom"] = _ome_pixel(file.ome_metadata)
    return info


def _resolution(file: Any, unit: str) -> float | None:
    tag, factor = file.pages[0].tags.get("XResolution"), ANGSTROM.get(unit.strip().lower())
    if tag is None or factor is None or not tag.value[0]:
        return None
    return float(f"{tag.value[1] / tag.value[0] * factor:.6g}")


def _ome_pixel(xml: str) -> float | None:
    size = re.search(r'PhysicalSizeX="([^"]+)"', xml)
    unit = re.search(r'PhysicalSizeXUnit="([^"]+)"', xml)
    factor = ANGSTROM.get(unit.group(1).strip().lower() if unit else "µm")
    try:
        return float(size.group(1)) * factor if size and factor else None
    except ValueError:
        return None


def read_tiff(path: str | Path) -> RawSeries:
    """A TIFF stack with whatever lies beside it (.tlt, .rawtlt, .mdoc)."""
    data, info = read_stack(path)
    if data.ndim == 2:
        data = data[None]
    raw = RawSeries(Path(path), data, metadata={"format": "tiff"})
    if data.ndim == 3:
        beside = look_beside(Path(path), data.shape)
        raw.notes += beside.notes
        raw.refused = tuple(beside.refused)
        for name in ("tilt_deg", "pixel_size_angstrom", "energy_ev", "dose_per_image", "defocus_angstrom"):
            if getattr(beside, name) is not None:
                raw.fields[name] = getattr(beside, name)
        take_axis(raw, beside)
        raw.metadata |= beside.exposure()
    if info.get("pixel_size_angstrom"):
        raw.fields["pixel_size_angstrom"] = info["pixel_size_angstrom"]
    return raw


def angles_from_names(names: Sequence[str]) -> np.ndarray | None:
    """Tilt angles from file names, or None when the numbers there look like mere counters.

    A number marked ``tilt``, ``angle`` or ``deg`` counts as an angle; else the last number of each
    name does, when some of them are signed or have decimals. ``m10`` and ``p10`` are −10 and 10; where all
    have an m, nobody knows.
    """
    letters = [_LETTER.findall(name)[-1:] for name in names]
    if any("m" in letter or "M" in letter for letter in letters):
        if all(letter and letter[0] in "mM" for letter in letters):
            return None
        names = [_LETTER.sub(lambda m: "-" if m[1] in "mM" else "+", name) for name in names]
    marked = [_MARKED.search(name) for name in names]
    if all(marked):
        told = [_Number.of(m, 1 if m.group(1) else 2) for m in marked if m]
        counted = all(number.may_be_dash for number in told) and _are_counters([n.text for n in told])
        return None if counted else np.array([float(number.text) for number in told])
    found = [[_Number.of(m) for m in _NUMBER.finditer(name)] for name in names]
    if not all(found):
        return None
    # "img-001" ... "img-060": the dash separates.
    if len(names) > 1 and all(numbers[-1].may_be_dash for numbers in found):
        return None
    last = [numbers[-1].text for numbers in found]
    values = np.array([float(text) for text in last])
    if not any(text[0] in "+-" or "." in text for text in last) or np.abs(values).max() > 180:
        return None
    return values


class _Number(NamedTuple):
    """A number in a name, and whether its minus may be a dash: after ``_``, a blank or ``=`` it is a sign."""

    text: str
    may_be_dash: bool

    @classmethod
    def of(cls, match: re.Match[str], group: int = 0) -> _Number:
        text, before = match[group], match.string[: match.start(group)][-1:]
        return cls(text, text[0] == "-" and "." not in text and before not in ("_", " ", "="))


def _are_counters(numbers: Sequence[str]) -> bool:
    """Whether numbers with a dash before them are padded with zeros (-001), or follow each other by 1."""
    values = sorted(int(text[1:]) for text in numbers)
    is_padded = any(len(text) > 2 and text[1] == "0" for text in numbers)
    return len(values) > 1 and (is_padded or values == list(range(values[0], values[0] + len(values))))


def read_folder(path: str | Path) -> RawSeries:
    """A folder with one TIFF per tilt, sorted by the angle in the name."""
    folder = Path(path)
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".tif", ".tiff") and p.is_file())
    if not files:
        raise DataError("holds no .tif files", path=path, remedy="Give a file, or a folder of TIFFs")
    if len(files) > MAX_SECTIONS:
        raise DataError(f"holds {len(files)} files", path=path)
    angles = angles_from_names([file.stem for file in files])
    if angles is not None:
        order = np.argsort(angles, kind="stable")
        files, angles = [files[i] for i in order], angles[order]
    first, info = read_stack(files[0])
    check_memory((len(files), *first.shape), first.dtype.itemsize, path, "pages")
    images = []
    for file in files:
        image = read_stack(file)[0]
        if image.ndim != 2 or image.shape != first.shape:
            raise DataError(f"has shape {image.shape}, but {files[0].name} has {first.shape}", path=file,
                            remedy="A folder needs one image of the same size per file")  # fmt: skip
        images.append(image)
    raw = RawSeries(
        folder, np.stack(images), metadata={"format": "tiff folder", "files": [f.name for f in files]}
    )
    if angles is not None:
        raw.fields["tilt_deg"] = angles
        raw.notes.append("tilt angles from the file names")
    if info.get("pixel_size_angstrom"):
        raw.fields["pixel_size_angstrom"] = info["pixel_size_angstrom"]
    return raw
