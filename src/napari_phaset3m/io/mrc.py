"""MRC stacks and maps (.mrc .st .ali .rec .mrcs): every size is checked against the file first."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.limits import MAX_SECTIONS, MOST_UNEQUAL, check_exists, nbytes, not_quite_square
from napari_phaset3m.io.mdoc import axis_angle
from napari_phaset3m.io.mdoc_commas import axis_refusal, axis_unread
from napari_phaset3m.io.raw import RawSeries
from napari_phaset3m.io.sidecar import Sidecar, look_beside
from napari_phaset3m.io.stack_axes import take_axis

_HEADER = 1024
_MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_IMOD_STAMP = 1146047817
_MAX_SIDE = 1 << 20
_AGAIN = "Copy the file again"
#: bit of SerialEM's flags -> bytes per section
_SERI_SIZES = ((1, 2), (2, 6), (4, 4), (8, 2), (16, 2), (32, 4))


@dataclass
class MrcHeader:
    """What an MRC header and its extended header say; None where they say nothing."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    pixel_size_angstrom: float | None
    origin: tuple[float, float, float]
    labels: list[str] = field(default_factory=list)
    tilt_deg: np.ndarray | None = None
    energy_ev: float | None = None
    tilt_axis_angle_deg: float | None = None
    is_default_pixel: bool = False
    #: Why its pixel size is none.
    pixel_refused: DataError | None = None
    #: What to tell of it where it is used.
    pixel_notes: list[str] = field(default_factory=list)


def read_header(path: str | Path) -> MrcHeader:
    """Read and check the header; the data is not touched.

    Raises
    ------
    DataError
        Not an MRC file, truncated, or of a kind that holds no real images.
    """
    found = check_exists(path)
    if not found.is_file():
        raise DataError("is a folder, not an MRC file", path=path)
    size = found.stat().st_size
    with found.open("rb") as stream:
        block = stream.read(_HEADER)
        if len(block) < _HEADER:
            problem = f"is truncated: {size} bytes, a header has {_HEADER}"
            raise DataError(problem, path=path, field="header", remedy=_AGAIN)
        order = _byte_order(block, path)
        words = np.frombuffer(block, order + "i4")
        reals = np.frombuffer(block, order + "f4")
        shape, dtype, extended = _sizes(block, order, path)
        wanted = _HEADER + extended + nbytes(shape, dtype.itemsize)
        if wanted > size:
            nz, ny, nx = shape
            problem = f"is truncated: {nz} x {ny} x {nx} values need {wanted} bytes, the file has {size}"
            raise DataError(problem, path=path, field="data", remedy=_AGAIN)
        extra = stream.read(extended)
    header = MrcHeader(shape, dtype, _HEADER + extended, None, _origin(reals), _labels(block, words))
    _take_pixel(header, words, reals, path)
    header.tilt_axis_angle_deg = next((a for t in header.labels if (a := axis_angle(t)) is not None), None)
    _read_extended(header, block, extra, order)
    return header


def stated_bytes(path: Path) -> int:
    """Size of the file as its header states it; the file may be shorter, as while it is being written.

    Raises
    ------
    DataError
        There is no whole header, or it cannot be.
    """
    with path.open("rb") as stream:
        block = stream.read(_HEADER)
    if len(block) < _HEADER:
        return _HEADER
    shape, dtype, extended = _sizes(block, _byte_order(block, path), path)
    return _HEADER + extended + nbytes(shape, dtype.itemsize)


def _sizes(block: bytes, order: str, path: str | Path) -> tuple[tuple[int, int, int], np.dtype[Any], int]:
    """((nz, ny, nx), dtype, bytes of the extended header) as stated."""
    words = np.frombuffer(block, order + "i4")
    nx, ny, nz, mode = (int(word) for word in words[:4])
    dtype, extended = _dtype(block, mode, order, path), int(words[23])
    if min(nx, ny, nz) < 1 or max(nx, ny) > _MAX_SIDE or nz > MAX_SECTIONS or extended < 0:
        raise DataError(f"states {nz} x {ny} x {nx} values, which cannot be", path=path, field="header",
                        remedy="The header is damaged: copy the file again")  # fmt: skip
    return (nz, ny, nx), dtype, extended


def _byte_order(block: bytes, path: str | Path) -> str:
    """``<`` or ``>``: by the machine stamp, else by which one gives a sane header."""
    marked = {0x44: "<", 0x11: ">"}.get(block[212])
    for order in [marked] if marked else ["<", ">"]:
        nx, ny, _, mode = (int(n) for n in np.frombuffer(block[:16], order + "i4"))
        mx = int(np.frombuffer(block[28:32], order + "i4")[0])
        sane = 0 <= mode <= 101 and 0 < nx < _MAX_SIDE and 0 < ny < _MAX_SIDE and mx >= 0
        if sane or (block[208:211] == b"MAP" and marked):
            return str(order)
    raise DataError("is not an MRC file (no MAP mark and no sensible header)", path=path, field="header",
                    remedy="Is it the right file? Else copy it again")  # fmt: skip


def _dtype(block: bytes, mode: int, order: str, path: str | Path) -> np.dtype[Any]:
    if mode in (3, 4):
        raise DataError("holds complex numbers (a Fourier transform), not images", path=path, field="mode")
    if mode not in _MODES:
        raise DataError(
            f"mode {mode} cannot be read",
            path=path,
            field="mode",
            remedy="Convert it to mode 0, 1, 2, 6 or 12, e.g. with IMOD's newstack -mode 2",
        )
    stamp, flags = np.frombuffer(block[152:160], order + "i4")
    if mode == 0 and stamp == _IMOD_STAMP and not flags & 1:
        return np.dtype("u1")
    return np.dtype(order + _MODES[mode])


def _pixel(words: np.ndarray, reals: np.ndarray, axis: int) -> float | None:
    """Pixel size along x (0) or y (1) as it is stated, whatever it is; None: not stated."""
    count, cell = int(words[7 + axis]), float(reals[10 + axis])
    if count <= 0 or cell == 0:
        return None
    # float32 cell lengths: 49.92 / 96 shall read 0.52.
    return float(f"{cell / count:.6g}")


def _take_pixel(header: MrcHeader, words: np.ndarray, reals: np.ndarray, path: str | Path) -> None:
    """The pixel size along x, with what the header says of the one along y."""
    pixel, upright = _pixel(words, reals, 0), _pixel(words, reals, 1)
    header.is_default_pixel = pixel == 1.0  # what programs write when they know none
    problem = ""
    if pixel is not None and not 0 < pixel < np.inf:
        problem = f"is {pixel:g}, but must be positive"
    elif pixel is not None and upright is not None:
        # Programs that know of x alone write so.
        careless = "my is 1" if words[8] == 1 else "cell y is cell x" if reals[11] == reals[10] else ""
        if abs(upright / pixel - 1) <= MOST_UNEQUAL:
            header.pixel_notes = not_quite_square(upright, pixel)
        elif careless and upright > 0:
            along_y = f"the header's along y, {upright:g} A, is none that is meant ({careless})"
            header.pixel_notes = [f"pixel size {pixel:g} A along x used; {along_y}"]
        else:
            problem = f"is {pixel:g} Å along x and {upright:g} Å along y, and pixels must be squares"
    if problem:
        remedy = "Give pixel_size_angstrom=... in Python or --pixel-size (angstrom)"
        header.pixel_refused = DataError(problem, path=path, field="pixel_size", remedy=remedy)
        return
    header.pixel_size_angstrom = pixel


def _origin(reals: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) if np.isfinite(v) else 0.0 for v in reals[49:52])
    return z, y, x


def _labels(block: bytes, words: np.ndarray) -> list[str]:
    count = min(max(int(words[55]), 0), 10)
    texts = [block[224 + 80 * i : 304 + 80 * i].decode("latin-1").strip("\0 ") for i in range(count)]
    return [text for text in texts if text]


def _read_extended(header: MrcHeader, block: bytes, extra: bytes, order: str) -> None:
    """Tilt angles, pixel size and voltage from FEI's and SerialEM's extended headers."""
    kind = block[104:108]
    if kind in (b"FEI1", b"FEI2"):
        _read_fei(header, extra, kind.decode(), order)
        return
    n_int, n_real = (int(n) for n in np.frombuffer(block[128:132], order + "i2"))
    nz = header.shape[0]
    seri = sum(size for bit, size in _SERI_SIZES if n_real & bit)
    if (kind == b"SERI" or n_int > 0) and n_int == seri and n_real & 1 and len(extra) >= nz * n_int:
        rows = np.frombuffer(extra[: nz * n_int], order + "i2").reshape(nz, n_int // 2)
        header.tilt_deg = rows[:, 0] / 100.0
    elif n_int == 0 and n_real == 32 and len(extra) >= nz * 128:
        rows = np.frombuffer(extra[: nz * 128], order + "f4").reshape(nz, 32).astype(np.float64)
        _apply_fei(header, rows[:, 0], rows[0, 11], rows[0, 13])


def _read_fei(header: MrcHeader, extra: bytes, kind: str, order: str) -> None:
    from mrcfile.dtypes import get_ext_header_dtype

    dtype = get_ext_header_dtype(kind.encode(), order)
    nz = header.shape[0]
    if len(extra) < nz * dtype.itemsize:
        return
    rows = np.frombuffer(extra[: nz * dtype.itemsize], dtype)
    _apply_fei(
        header, rows["Alpha tilt"].astype(np.float64), float(rows["Pixel size X"][0]), float(rows["HT"][0])
    )


def _apply_fei(header: MrcHeader, tilts: np.ndarray, pixel_m: float, voltage: float) -> None:
    if np.isfinite(tilts).all() and np.abs(tilts).max() <= 180:
        header.tilt_deg = tilts
    if 1e-13 < pixel_m < 1e-5:
        header.pixel_size_angstrom = float(f"{pixel_m * 1e10:.6g}")
        header.pixel_refused, header.pixel_notes = None, []
        header.is_default_pixel = False
    if 1e3 < voltage < 1e7:
        header.energy_ev = float(voltage)


def map_mrc(path: str | Path) -> tuple[np.ndarray, MrcHeader]:
    """The data as a read-only memory map `(nz, ny, nx)`, and the header."""
    header = read_header(path)
    data = np.memmap(Path(path), header.dtype, "r", header.offset, header.shape)
    return data, header


def read_mrc(path: str | Path) -> RawSeries:
    """Read a stack with whatever lies beside it (.tlt, .rawtlt, .mdoc, FEI log)."""
    data, header = map_mrc(path)
    beside = look_beside(Path(path), header.shape)
    raw = RawSeries(Path(path), data, metadata={"format": "mrc", "labels": header.labels})
    raw.notes += beside.notes
    raw.refused = tuple(beside.refused)
    if header.pixel_refused is not None and beside.pixel_size_angstrom is not None:
        raw.notes.append(
            f"{Path(path).name}: pixel size {header.pixel_refused.problem}; another is stated beside it"
        )
    elif header.pixel_refused is not None:
        raw.unusable["pixel_size_angstrom"] = header.pixel_refused
    # An extended header that was never filled in holds zeros.
    filled = header.tilt_deg if header.tilt_deg is not None and header.tilt_deg.any() else None
    tilts = beside.tilt_deg if beside.tilt_deg is not None else filled
    if tilts is not None:
        raw.fields["tilt_deg"] = tilts
    _choose_pixel(raw, header, beside)
    energy = header.energy_ev or beside.energy_ev
    if energy:
        raw.fields["energy_ev"] = energy
    for name in ("dose_per_image", "defocus_angstrom"):
        if getattr(beside, name) is not None:
            raw.fields[name] = getattr(beside, name)
    raw.metadata |= beside.exposure()
    why = axis_unread(*header.labels)
    take_axis(raw, beside, header.tilt_axis_angle_deg, axis_refusal(raw.path, why, "label") if why else None)
    return raw


def _choose_pixel(raw: RawSeries, header: MrcHeader, beside: Sidecar) -> None:
    pixel = header.pixel_size_angstrom
    if (pixel is None or header.is_default_pixel) and beside.pixel_size_angstrom is not None:
        pixel = beside.pixel_size_angstrom
    else:
        if header.is_default_pixel:
            raw.notes.append(
                "pixel size of exactly 1 A in the header, which many programs write when they know none"
            )
        raw.notes += header.pixel_notes
    if pixel is not None:
        raw.fields["pixel_size_angstrom"] = pixel
