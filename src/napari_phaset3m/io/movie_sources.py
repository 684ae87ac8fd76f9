"""Frames of a movie, one at a time: MRC, TIFF and EER. Rows bottom-first, see tiff.bottom_up."""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from xml.etree import ElementTree

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.limits import MAX_SECTIONS, check_memory, check_real

#: Compression tags of EER, and how many bits count skipped pixels (65002 states it in tags).
_EER = {65000: 8, 65001: 7, 65002: 7}
_MAX_XML = 1 << 20
_INSTALL = 'Install it: pip install "napari-phaset3m[em-io]" (imagecodecs)'


class FrameSource(Protocol):
    """Where frames come from."""

    n_frames: int
    image_shape: tuple[int, int]
    dtype: np.dtype[Any]
    pixel_size_angstrom: float | None
    total_dose_px: float | None
    notes: list[str]

    def read(self, index: int) -> np.ndarray:
        """One frame `(ny, nx)` as stored."""
        ...


@dataclass(eq=False)
class MrcFrames:
    """A stack of MRC sections, mapped: a frame is read when it is asked for."""

    path: Path
    notes: list[str] = field(default_factory=list)
    total_dose_px: float | None = None

    def __post_init__(self) -> None:
        from napari_phaset3m.io.mrc import read_header

        header = read_header(self.path)
        self.n_frames, ny, nx = header.shape
        self.image_shape = (ny, nx)
        self.dtype: np.dtype[Any] = header.dtype
        self.pixel_size_angstrom: float | None = (
            None if header.is_default_pixel else header.pixel_size_angstrom
        )
        self._offset = header.offset

    def read(self, index: int) -> np.ndarray:
        """One frame as stored."""
        ny, nx = self.image_shape
        start = self._offset + index * ny * nx * self.dtype.itemsize
        return np.fromfile(self.path, self.dtype, ny * nx, offset=start).reshape(ny, nx)


@dataclass(eq=False)
class TiffFrames:
    """Pages of a TIFF."""

    path: Path
    notes: list[str] = field(default_factory=list)
    total_dose_px: float | None = None

    def __post_init__(self) -> None:
        from napari_phaset3m.io.tiff import TOP_DOWN, page_tag, tiff_info

        self._file = _open_tiff(self.path, self)
        page = self._file.pages[0]
        self.n_frames = len(self._file.pages)
        _check_pages(self.path, self.n_frames, page.shape)
        self.image_shape = (int(page.shape[0]), int(page.shape[1]))
        self.dtype: np.dtype[Any] = np.dtype(page.dtype)
        check_real(page, self.path, "pages")
        self.pixel_size_angstrom: float | None = tiff_info(self._file).get("pixel_size_angstrom")
        self._is_top_down = page_tag(self._file, "Orientation") in TOP_DOWN

    def read(self, index: int) -> np.ndarray:
        """One frame as stored, rows bottom-first."""
        try:
            image = np.asarray(self._file.pages[index].asarray())
        except Exception as error:  # codecs raise their own kinds
            raise tiff_error(self.path, error, f"frame {index}") from None
        if image.shape != self.image_shape:
            raise DataError(f"has shape {image.shape}, the first has {self.image_shape}", path=self.path,
                            field=f"frame {index}")  # fmt: skip
        return image[::-1] if self._is_top_down else image


@dataclass(eq=False)
class EerFrames:
    """Electron events of a ThermoFisher EER file, rendered.

    Parameters
    ----------
    path : Path
    upsampling : {1, 2, 4}
        Pixels per detector pixel along each side; the events' sub-pixel positions fill them.

    Notes
    -----
    Format: "EER file format documentation" 3.0 (ThermoFisher; M. Leichsenring, 2023). The bit stream is
    decoded by imagecodecs (BSD-3).
    """

    path: Path
    upsampling: int = 1
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._decode = _eer_decoder(self.path)
        self._file = _open_tiff(self.path, self)
        pages = self._file.pages
        self._first = next((k for k in (0, 1) if k < len(pages) and pages[k].compression in _EER), None)
        if self._first is None:
            raise DataError("holds no electron events", path=self.path, remedy="Is it an EER file?")
        page = pages[self._first]
        self.n_frames = len(pages) - self._first
        shape = (int(page.imagelength), int(page.imagewidth))
        self._detector = shape
        self.image_shape = (shape[0] * self.upsampling, shape[1] * self.upsampling)
        _check_pages(self.path, self.n_frames, self.image_shape)
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)
        self.pixel_size_angstrom: float | None = None
        skip = int(page.tags.valueof(65007, _EER[page.compression]))
        across, up = (int(page.tags.valueof(code, 2)) for code in (65008, 65009))
        self._bits = (skip, across, up) if page.compression == 65002 else (_EER[page.compression], 2, 2)
        self.total_dose_px = _eer_dose(self._file)

    def read(self, index: int) -> np.ndarray:
        """Events of one frame, rows bottom-first."""
        try:
            page = self._file.pages[index + int(self._first or 0)]
            segments = zip(page.dataoffsets, page.databytecounts, strict=True)
            data = b"".join(self._segment(offset, size) for offset, size in segments)
            image = self._decode(
                data, self.image_shape, *self._bits, superres=int(math.log2(self.upsampling))
            )
        except DataError:
            raise
        except Exception as error:
            raise tiff_error(self.path, error, f"frame {index}") from None
        return np.asarray(image)[::-1].view(np.uint8)

    def _segment(self, offset: int, size: int) -> bytes:
        handle = self._file.filehandle
        if offset < 0 or size < 0 or offset + size > handle.size:
            raise DataError("is truncated", path=self.path, field="events", remedy="Copy the file again")
        handle.seek(offset)
        return bytes(handle.read(size))


def _eer_decoder(path: Path) -> Any:
    try:
        from imagecodecs import eer_decode
    except ImportError:
        raise DataError("needs a decoder of electron events", path=path, remedy=_INSTALL) from None
    return eer_decode


def _open_tiff(path: Path, owner: object) -> Any:
    """Open; the file is closed when ``owner`` is forgotten."""
    import tifffile

    try:
        file = tifffile.TiffFile(path)
        weakref.finalize(owner, file.close)
        return file
    except Exception as error:
        raise tiff_error(path, error, "header") from None


def _check_pages(path: Path, count: int, shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or not 0 < count <= MAX_SECTIONS:
        problem = f"holds {count} pages of shape {tuple(shape)}; images and frames are grey, (y, x)"
        raise DataError(problem, path=path, field="pages", remedy="Save it in grey")
    check_memory(shape, 3 * np.dtype(REAL).itemsize, path, "frames")


def tiff_error(path: Path, error: Exception, where: str) -> DataError:
    """One line for whatever tifffile or a codec raised."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "imagecodecs" in reason or isinstance(error, ImportError):
        return DataError("needs a decoder for its compression", path=path, field=where,
                         remedy=_INSTALL)  # fmt: skip
    return DataError(f"cannot be read ({reason})", path=path, field=where, remedy="Copy the file again")


def _eer_dose(file: Any) -> float | None:
    """``totalDose`` of the acquisition metadata (XML in tags 65001 and up): electrons per pixel."""
    for page in (file.pages[0], file.pages[min(1, len(file.pages) - 1)]):
        for code in range(65001, 65007):
            text = page.tags.valueof(code)
            text = text.encode("latin-1", "ignore") if isinstance(text, str) else text
            if not isinstance(text, bytes) or b"<metadata" not in text or len(text) > _MAX_XML:
                continue
            if b"<!DOCTYPE" in text or b"<!ENTITY" in text:  # no entity bombs
                continue
            try:
                root = ElementTree.fromstring(text.strip(b"\0 \n"))
            except ElementTree.ParseError:
                continue
            for item in root.iter("item"):
                if item.attrib.get("name", "").lower() == "totaldose":
                    return _positive(item.text)
    return None


def _positive(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < 1e6 else None
