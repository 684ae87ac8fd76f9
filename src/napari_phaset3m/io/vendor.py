"""Gatan DM3/DM4, Velox and NCEM EMD, TIA SER, through RosettaSciIO (extra ``em-io``), lazily."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.axes import apply_axes, is_spectra
from napari_phaset3m.io.h5safe import check_tree
from napari_phaset3m.io.limits import MAX_SECTIONS, check_exists, check_memory
from napari_phaset3m.io.raw import RawSeries
from napari_phaset3m.io.tiff import angles_from_names

VENDOR_SUFFIXES = (".dm3", ".dm4", ".emd", ".ser")
_KEEP = 4_000_000
#: A title with its number at the end, of whatever sign: ``tilt_-10``, ``tilt_m10``, ``image 3``, ``t10deg``.
_NUMBERED = re.compile(r"(.*?)[-+mpMP]?(\d+(?:\.\d+)?)(?: ?deg)?", re.DOTALL)


def read_vendor(path: str | Path) -> RawSeries:
    """Read a vendor's file: `(ny, nx)` or `(n, ny, nx)`, rows bottom-first.

    Taken from the metadata where it is there: pixel size, voltage, Cs (DM), stage tilt or the angles of a
    tilt axis, exposure (s), time, and the lens's defocus (EMD; its zero is arbitrary, so it is metadata).

    Raises
    ------
    DataError
        RosettaSciIO is not installed, or the file is damaged or holds no real images.
    """
    found = check_exists(path)
    signals = _open(found)
    images = [signal for signal in signals if _is_image(signal)]
    if not images:
        shapes = ", ".join(str(tuple(s["data"].shape)) for s in signals[:4]) or "nothing"
        what = ", spectra" if any(is_spectra(s["axes"]) for s in signals) else ""
        raise DataError(f"holds no real images (found {shapes}{what})", path=path)
    chosen = _same_kind(images, found)
    data = _pixels(chosen, found)
    raw = RawSeries(found, data, metadata={"format": found.suffix.lower().lstrip(".")})
    others = len(images) - len(chosen)
    if others:
        names = dict.fromkeys(map(_title, images))
        raw.notes.append(f"{others} other images in the file are left out ({', '.join(names)} are there)")
    _calibrations(raw, chosen[0])
    _instrument(raw, [Tags(signal) for signal in chosen])
    angles = angles_from_names(list(map(_title, chosen))) if len(chosen) > 1 else None
    if angles is not None and "tilt_deg" not in raw.fields:
        raw.fields["tilt_deg"] = angles
        raw.notes.append("tilt angles from the names of the images in the file")
    return raw


def _open(path: Path) -> list[dict[str, Any]]:
    suffix = path.suffix.lower()
    try:
        from rsciio import digitalmicrograph, emd, tia
    except ImportError:
        raise DataError("needs RosettaSciIO", path=path,
                        remedy='Install it: pip install "napari-phaset3m[em-io]"') from None  # fmt: skip
    if suffix == ".emd":
        check_tree(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if suffix in (".dm3", ".dm4"):
                return list(digitalmicrograph.file_reader(str(path), lazy=True))
            if suffix == ".emd":
                # Else it would put tilt_1 and tilt_10 into one stack, as one name is in the other.
                return list(emd.file_reader(str(path), lazy=True, select_type="images", stack_group=False))
            return list(tia.file_reader(str(path), lazy=True))
    except Exception as error:  # readers of damaged files raise nearly anything
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    lines = str(error).strip().splitlines()
    reason = lines[0][:120] if lines else type(error).__name__
    return DataError(f"cannot be read as {path.suffix.lower()} ({reason})", path=path,
                     remedy="Copy the file again")  # fmt: skip


def _is_image(signal: Mapping[str, Any]) -> bool:
    data = signal["data"]
    if is_spectra(signal["axes"]):
        return False
    return data.ndim in (2, 3) and np.dtype(data.dtype).kind in "fiub" and 0 not in data.shape


def _same_kind(images: Sequence[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """The largest image, and all others of its shape that belong to it when they are single images.

    Titles of Velox are detectors and elements of one scan, which are no tilts. Elsewhere (groups of an NCEM
    file, images of a DM file) those of a series are all alike, or differ in their number alone.

    Raises
    ------
    DataError
        Titles do not tell whether they are a series.
    """
    largest = max(images, key=lambda signal: int(np.prod(signal["data"].shape, dtype=float)))
    if largest["data"].ndim == 3:
        return [largest]
    alike = [signal for signal in images if signal["data"].shape == largest["data"].shape]
    titles = [_title(signal) for signal in alike]
    if len(set(titles)) == 1:
        return alike
    if any(Tags(signal).find("Core", "MetadataDefinitionVersion") for signal in alike):
        return [s for s, title in zip(alike, titles, strict=True) if title == _title(largest)]
    numbers = [_NUMBERED.fullmatch(title) for title in titles]
    if len({match[1] if match else title for match, title in zip(numbers, titles, strict=True)}) > 1:
        raise DataError(f"holds {len(alike)} images of other names ({', '.join(dict.fromkeys(titles))}), "
                        "and nothing tells whether they are one series", path=path,
                        remedy="Save those of the series as a file of their own, or number them")  # fmt: skip
    angles = angles_from_names(titles)
    order = [float(match[2]) for match in numbers if match] if angles is None else angles
    return [alike[k] for k in np.argsort(order, kind="stable")]


def _title(signal: Mapping[str, Any]) -> str:
    return Tags(signal).text("General", "title")


def _pixels(signals: Sequence[Mapping[str, Any]], path: Path) -> Any:
    """The images, mapped when they are many.

    RosettaSciIO gives the top row first: as DM and EMD store it, and SER (bottom first) turned over.
    """
    shape = signals[0]["data"].shape if len(signals) == 1 else (len(signals), *signals[0]["data"].shape)
    if len(shape) == 3 and shape[0] > MAX_SECTIONS:
        raise DataError(f"states {shape[0]} images", path=path)
    data = [signal["data"][..., ::-1, :] for signal in signals]
    small = int(np.prod(shape, dtype=float)) <= _KEEP
    if len(data) == 1 and not small:
        return LazyImages(data[0], path)
    check_memory(shape, np.dtype(data[0].dtype).itemsize, path, "images")
    arrays = [LazyImages(item, path)[...] for item in data]
    return arrays[0] if len(arrays) == 1 else np.stack(arrays)


@dataclass(eq=False)
class LazyImages:
    """A dask array that reads as a NumPy array when it is sliced, with one-line errors."""

    lazy: Any
    path: Path

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return tuple(int(n) for n in self.lazy.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """As of an array."""
        kind: np.dtype[Any] = np.dtype(self.lazy.dtype)
        return kind

    @property
    def ndim(self) -> int:
        """As of an array."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        try:
            return np.ascontiguousarray(self.lazy[key].compute(scheduler="synchronous"))
        except (OSError, ValueError, RuntimeError) as error:
            raise _damaged(self.path, error) from None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[...], dtype)

    def reshape(self, *shape: Any) -> LazyImages:
        """As of an array."""
        return LazyImages(self.lazy.reshape(*shape), self.path)

    def swapaxes(self, one: int, other: int) -> LazyImages:
        """As of an array."""
        return LazyImages(self.lazy.swapaxes(one, other), self.path)


def _calibrations(raw: RawSeries, signal: Mapping[str, Any]) -> None:
    """Pixel size, and angles of a tilt axis."""
    axes = sorted(signal["axes"], key=lambda axis: axis.get("index_in_array", 0))
    apply_axes(raw, axes)


class Tags:
    """Tolerant look-up in the metadata of one signal."""

    def __init__(self, signal: Mapping[str, Any]) -> None:
        self._trees = (signal.get("metadata") or {}, signal.get("original_metadata") or {})

    def find(self, *names: str) -> Any:
        """The first value whose last keys are ``names``, in any tree; None without."""
        for tree in self._trees:
            for keys, value in _walk(tree):
                if keys[-len(names) :] == names:
                    return value
        return None

    def number(self, *names: str) -> float | None:
        """A finite number, or None."""
        try:
            value = float(np.asarray(self.find(*names), dtype=np.float64).reshape(-1)[0])
        except (TypeError, ValueError, IndexError):
            return None
        return value if np.isfinite(value) else None

    def stage_tilt_deg(self) -> float | None:
        """Alpha tilt of the stage; Velox writes radians."""
        radians = self.number("Stage", "AlphaTilt")
        found = self.number("Stage", "tilt_alpha")
        return found if found is not None or radians is None else float(np.rad2deg(radians))

    def text(self, *names: str) -> str:
        """Text, also where DM stored it letter by letter."""
        value = self.find(*names)
        if isinstance(value, list):
            letters = (item.decode("latin-1") if isinstance(item, bytes) else str(item) for item in value)
            return "".join(letters)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")

    def time(self) -> datetime | None:
        """When it was taken."""
        date, clock = self.text("General", "date"), self.text("General", "time")
        stamps = [f"{date}T{clock}", f"{self.text('Acquisition Date')} {self.text('Acquisition Time')}"]
        for stamp in stamps:
            for form in (
                "%Y-%m-%dT%H:%M:%S",
                "%d/%m/%y %H:%M:%S",
                "%m/%d/%Y %I:%M:%S %p",
                "%d/%m/%Y %H:%M:%S",
            ):
                try:
                    return datetime.strptime(stamp.split(".")[0], form)
                except ValueError:
                    continue
        seconds = self.number("AcquisitionStartDatetime", "DateTime")
        return datetime.fromtimestamp(seconds) if seconds and 0 < seconds < 1e11 else None


def _walk(tree: Any, keys: tuple[str, ...] = (), depth: int = 0) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(tree, Mapping) and depth < 12:
        for key, value in tree.items():
            yield from _walk(value, (*keys, str(key)), depth + 1)
    else:
        yield keys, tree


def _instrument(raw: RawSeries, tags: Sequence[Tags]) -> None:
    first = tags[0]
    kilovolt = first.number("TEM", "beam_energy")
    own = (("Microscope Info", "Voltage"), ("Optics", "AccelerationVoltage"))
    volts = kilovolt * 1e3 if kilovolt else next((v for names in own if (v := first.number(*names))), None)
    if volts and 1e3 < volts < 1e7:
        raw.fields["energy_ev"] = float(f"{volts:.9g}")
    cs = first.number("Microscope Info", "Cs(mm)")
    if cs and 0 < cs < 20:
        raw.fields["spherical_aberration_angstrom"] = float(f"{cs * 1e7:.6g}")
        raw.notes.append(f"Cs {cs:.3g} mm as the file has it, a setting of the microscope's type")
    tilts = [tag.stage_tilt_deg() for tag in tags]
    if "tilt_deg" not in raw.fields and all(t is not None and abs(t) <= 180 for t in tilts):
        count = raw.images.shape[0] if raw.images.ndim == 3 else 1
        if len(tilts) == count:
            raw.fields["tilt_deg"] = np.array([float(t or 0.0) for t in tilts])
            raw.notes.append("tilt angle from the stage")
    exposure = first.number("Camera", "exposure") or first.number("MSC", "Exposure")
    times = [time for tag in tags if (time := tag.time()) is not None]
    defocus = [tag.number("Optics", "Defocus") for tag in tags]
    raw.metadata |= {
        "exposure_s": exposure,
        "times": [time.isoformat() for time in times] if len(times) == len(tags) else None,
        # Velox: metres, underfocus negative.
        "lens_defocus_angstrom": [-d * 1e10 for d in defocus if d is not None] or None,
    }
