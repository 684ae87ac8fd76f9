"""Whether an alignment file fits a series, and whether one may be written beside what is there."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError, OutputError
from napari_phaset3m.io.imod import read_angles
from napari_phaset3m.io.text import check_count
from napari_phaset3m.prepare.align.file_rows import MAX_TILT_APART_DEG, apart_deg, matched, offset_note
from napari_phaset3m.prepare.align.model import Alignment

#: Foci of one tilt are taken without moving the stage; a file may round their angle.
MAX_FOCI_APART_DEG = 0.02
#: Sizes of stacks that one pixel of another covers: whole bins either way, and 3 : 2.
_RATIOS = (*range(1, 17), *(Fraction(1, n) for n in range(2, 17)), Fraction(3, 2), Fraction(2, 3))


def alignment_files(path: str | Path) -> tuple[Path, ...]:
    """The files that an alignment of this name is written to: the .xf and its .tlt, or the .aln.

    Raises
    ------
    OutputError
        The suffix is another.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".xf", ".aln"):
        raise OutputError(f"{path}: unknown suffix. An alignment is written as .xf (and .tlt) or .aln")
    return (path,) if suffix == ".aln" else (path, path.with_suffix(".tlt"))


def check_export(path: str | Path) -> tuple[Path, ...]:
    """As :func:`alignment_files`, of files that may be written.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    tuple of Path
        The .xf and its .tlt, or the .aln.

    Raises
    ------
    OutputError
        The suffix is another, or a .tlt is there that belongs to no .xf of this name.
    """
    files = alignment_files(path)
    if len(files) == 2 and files[1].exists() and not files[0].exists():
        raise OutputError(
            f"{files[1]}: is there without {files[0].name}, whose angles would overwrite it. "
            "Choose another name"
        )
    return files


def check_ratio(ratio: Any, series: TiltFocalSeries) -> None:
    """Refuse a ratio of pixels that is no number (None: not given), or that no stack has.

    Raises
    ------
    ConfigError
    """
    if ratio is None:
        return
    told = "Give a positive number: 4 for a stack binned by 4"
    if isinstance(ratio, bool) or not isinstance(ratio, Real):
        raise ConfigError(f"pixel_ratio: is {ratio!r}. {told}")
    number = float(ratio)
    if not 0 < number < np.inf:
        raise ConfigError(f"pixel_ratio: is {number:g}. {told}")
    ny, nx = series.image_shape if series.sections is None else series.sections.image_shape
    if min(ny, nx) < number:
        raise ConfigError(f"pixel_ratio: is {number:g}, which leaves nothing of {ny} x {nx} pixels. {told}")


def check_some_used(found: Alignment, path: Path) -> None:
    """Refuse an alignment of which no image is left: it has rows for unused images alone.

    Raises
    ------
    DataError
    """
    if not found.used.any():
        raise DataError(
            "has rows for none of the images that the series uses",
            path=path,
            field="SEC" if path.suffix.lower() == ".aln" else "rows",
            remedy="Use more of them (--unused), or leave the file out",
        )


def angles_beside(path: Path, series: TiltFocalSeries) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Angles of the .tlt beside a .xf, and which row of both belongs to which tilt, by order and tilt alone.

    Parameters
    ----------
    path : Path
        The .tlt.
    series : TiltFocalSeries

    Returns
    -------
    tilt_deg : ndarray
        `(n_tilt,)` in the order of the series.
    rows : ndarray
        `(n_tilt,)` row of the files for each tilt of the series.
    notes : tuple of str
        Where the files are in another order than the series, or all tilts differ alike.

    Raises
    ------
    DataError
        Another number of angles than of tilts, or angles of other tilts.
    """
    angles, stated = _tilts(path, series), np.asarray(series.tilt_deg, np.float64)
    rows, notes = np.arange(series.n_tilt), list[str]()
    apart, offset = apart_deg(angles, stated)
    if apart > MAX_TILT_APART_DEG:
        rows = matched(angles, stated)
        apart, offset = apart_deg(angles[rows], stated)
        notes.append(f"{path.name} is in another order than the series; rows were matched by their tilts")
    if apart > MAX_TILT_APART_DEG:
        raise DataError(
            f"differs from the tilts of the series by up to {apart:.1f}° even when both are sorted by tilt "
            "and a common offset is taken off",
            path=path,
            field="angles",
            remedy="Give that of this series, or move it away: rows are then in the order of the series",
        )
    told = offset_note(offset)
    return angles[rows], rows, (*notes, told) if told else tuple(notes)


def _tilts(path: Path, series: TiltFocalSeries) -> np.ndarray:
    """One angle for each tilt, of a file with one for each tilt or (as it is written here) for each image."""
    angles = np.asarray(read_angles(path), np.float64)
    if angles.size == series.n_tilt * series.n_focus:
        foci = angles.reshape(series.n_tilt, series.n_focus)
        if np.ptp(foci, axis=1).max() <= MAX_FOCI_APART_DEG:
            return np.asarray(foci.mean(axis=1))
    check_count(angles.size, series.n_tilt, path, "angles", "the series")
    return angles


def given_ratio_note(ratio: float) -> tuple[str, ...]:
    """What to tell of a pixel ratio that was given; nothing where it is 1."""
    return () if ratio == 1 else (f"shifts were multiplied by {ratio:.4g} (the pixel ratio given)",)


def size_ratio(
    raw_size: tuple[int, int, int] | None,
    image_shape: tuple[int, int],
    turned: bool,
    whose: str,
    given: float | None = None,
) -> tuple[float, tuple[str, ...]]:
    """Pixel of the stack that AreTomo aligned over that of other images.

    Parameters
    ----------
    raw_size : tuple of int or None
        ``RawSize`` (nx, ny, n); None: the file does not tell, and the pixels are taken to be the same.
    image_shape : (int, int)
        (ny, nx) of the other images.
    turned : bool
        By about a quarter: their sides may be exchanged.
    whose : str
        Images of what they are, for the error.
    given : float, optional
        The ratio that the user states.

    Returns
    -------
    ratio : float
        Size of the other images over that of the stack.
    notes : tuple of str
        Empty where it is 1.

    Raises
    ------
    DataError
        The sizes are no whole multiple of each other (nor 3 : 2) in both directions.
    ConfigError
        They are not in the given ratio.
    """
    if raw_size is None:
        return (1.0, ()) if given is None else (given, given_ratio_note(given))
    raw, (ny, nx) = raw_size[:2], image_shape
    # Quarter turns at import exchange the sides; those of a later alignment do not.
    shapes = [(nx, ny), (ny, nx)] if turned else [(nx, ny)]
    # A bin that does not divide the size leaves out the rest, less than one pixel of the result.
    error, ratio = _nearest(shapes, raw, _RATIOS)
    told = f"{raw[0]} x {raw[1]} px where the images of {whose} are {nx} x {ny} px"
    if given is not None and _nearest(shapes, raw, (given,))[0] >= 1:
        tells = f": {ratio:.4g}" if error < 1 else ""
        raise ConfigError(
            f"pixel_ratio: is {given:g}, but RawSize is {told}{tells}. Leave it out (RawSize tells it), or "
            "give the file of these images"
        )
    error, ratio = (error, ratio) if given is None else (0.0, given)
    if error < 1:
        return ratio, (f"RawSize is {told}: shifts were multiplied by {ratio:.4g}",) if ratio != 1 else ()
    raise DataError(
        told,
        field="RawSize",
        remedy="Give the .aln of these images, or of images binned or unbinned as a whole",
    )


def made_for_series(raw_size: tuple[int, int, int] | None, series: TiltFocalSeries) -> bool:
    """Whether a RawSize is of the series' own images and not of the files that they come from."""
    if raw_size is None or series.sections is None:
        return False
    size = raw_size[1::-1]
    return size != series.sections.image_shape and size == series.image_shape


def _nearest(
    shapes: list[tuple[int, int]], raw: tuple[int, int], ratios: Sequence[float | Fraction]
) -> tuple[float, float]:
    """By how many pixels sizes are off, at least, and the ratio at which they are."""
    return min((_off(shape, raw, float(ratio)), float(ratio)) for shape in shapes for ratio in ratios)


def _off(shape: tuple[int, int], raw: tuple[int, int], ratio: float) -> float:
    """By how many of the larger pixels sides are not in this ratio, at worst."""
    return max(abs(here - there * ratio) for here, there in zip(shape, raw, strict=True)) / max(ratio, 1.0)
