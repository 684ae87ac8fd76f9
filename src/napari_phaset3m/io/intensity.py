"""Bring images to vacuum (or mean) = 1, and say how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.leave_out import fill_unused
from napari_phaset3m.io.limits import as_real, check_finite, check_memory
from napari_phaset3m.io.raw import RawSeries, missing

#: Counts per electron of the stated dose, mean of the images: beyond these one of them is wrong.
_COUNTS_LEAST, _COUNTS_MOST = 0.05, 3.0
_NORMALISE = ("auto", "given", "counts", "mean", "vacuum")


def scale_intensity(
    raw: RawSeries, images: Any, fields: dict[str, Any], given: Mapping[str, Any], notes: list[str]
) -> tuple[np.ndarray, str, dict[str, Any]]:
    """Scale a float32 copy of the images `(n_tilt, n_focus, ny, nx)`.

    ``fields`` gets ``dose_per_image`` when counts tell it, ``notes`` a line for each default used. Returns
    the images, the normalisation's name, and metadata with ``scale``: by what each image was divided.
    Raises DataError or ConfigError.
    """
    used = fields.get("used")
    values, metadata = _copy(raw, images, given, used)
    pixel = fields["pixel_size_angstrom"]
    counts = bool(given.get("counts", raw.counts))
    if counts:
        values *= REAL(raw.averaged_px)
        _check_counts(raw, values if used is None else values[used])
    level = values.mean(axis=(-2, -1), dtype=np.float64)
    if fields.get("dose_per_image") is not None:
        dose = _broadcast(fields["dose_per_image"], values.shape[:2], raw, "dose_per_image")
        fields["dose_per_image"] = dose
    if given.get("dark_field", raw.dark_field):
        scale, method = _dark_field(raw, values), "dark_field"
        notes.append("dark-field images inverted: intensity = 1 - (signal - background) / brightest")
    else:
        method = _method(raw, values, counts, fields, given, notes)
        scale = _scale(raw, values, method, fields, given)
        if method != "given":
            _divide(raw, values, scale, method)
    if method == "given" and given.get("intensity_offset") and values.mean(dtype=np.float64) <= 0:
        raise DataError(
            f"leaves a mean of {values.mean(dtype=np.float64):.3g}", path=raw.path, field="intensity_offset",
            remedy="The images are scaled already: give an offset in their units, or leave it out",
        )  # fmt: skip
    if counts:
        metadata["counts"] = True
        if fields.get("dose_per_image") is None:
            known = "vacuum level" if method == "vacuum" else "mean counts"
            fields["dose_per_image"] = (scale if method == "vacuum" else level) / pixel**2
            notes.append(f"dose_per_image is not stated: taken from the {known} of each image")
    if method != "given":
        metadata["scale"] = scale if np.ptp(scale) else float(scale.flat[0])
    if method == "given" and raw.normalisation is not None:
        method = raw.normalisation
    return values, method, metadata


def _divide(raw: RawSeries, values: np.ndarray, scale: np.ndarray, method: str) -> None:
    """Divide images in place by their levels `(n_tilt, n_focus)`.

    Raises
    ------
    DataError
        Float32 does not hold a level, or what comes of it.
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        level = scale.astype(REAL)
        values /= level[..., None, None]
        sound = np.isfinite(values.sum(axis=(-2, -1), dtype=np.float64)) & np.isfinite(level) & (level > 0)
    if not sound.all():
        index = int(np.argmin(sound))
        field = {"vacuum": "vacuum_intensity", "counts": "dose_per_image"}.get(method, "tilt_series")
        raise DataError(
            f"image {index} cannot be divided by its {method} level, {scale.flat[index]:.4g}: "
            "float32 does not hold the result",
            path=raw.path,
            field=field,
            remedy="Give the level in the units of the images",
        )


def _copy(
    raw: RawSeries, images: Any, given: Mapping[str, Any], used: np.ndarray | None
) -> tuple[np.ndarray, dict[str, Any]]:
    if raw.is_private:
        values = as_real(images)
    else:
        check_memory(images.shape, 4, raw.path, "tilt_series")
        with np.errstate(over="ignore"):  # told below, of the values as they are in the file
            values = np.array(images, dtype=REAL)
    fill_unused(values, used)

    def stored(number: int) -> np.ndarray:
        return np.asarray(images[np.unravel_index(number, values.shape[:2])])

    check_finite(values, raw.path, "tilt_series", raw.stored or stored)
    metadata = dict(raw.metadata)
    offset = float(given.get("intensity_offset", 0.0))
    if offset:
        values -= REAL(offset)
        metadata["intensity_offset"] = offset
    return values, metadata


def _check_counts(raw: RawSeries, values: np.ndarray) -> None:
    if values.min() < 0:
        index = int(np.argmin(values.reshape(-1, values.shape[-2] * values.shape[-1]).min(axis=1)))
        raise DataError(
            f"image {index} has negative counts",
            path=raw.path,
            field="tilt_series",
            remedy="Set counts = false, or subtract the offset (intensity_offset)",
        )


def _method(
    raw: RawSeries,
    values: np.ndarray,
    counts: bool,
    fields: Mapping[str, Any],
    given: Mapping[str, Any],
    notes: list[str],
) -> str:
    """How to bring the images to vacuum (or mean) = 1."""
    wanted = str(given.get("normalise", "auto"))
    if wanted not in _NORMALISE:
        raise ConfigError(f"normalise: is {wanted!r}. Use one of {', '.join(_NORMALISE)}")
    if "vacuum_intensity" in given:
        if wanted not in ("auto", "vacuum"):
            raise ConfigError(f"vacuum_intensity: normalise = {wanted!r} takes none. Leave one of them out")
        return "vacuum"
    if wanted != "auto":
        return wanted
    if counts:
        return "counts" if fields.get("dose_per_image") is not None else "mean"
    if raw.normalisation is not None:
        return "given"
    mean = float(values.mean(dtype=np.float64))
    if raw.metadata.get("format") == "h5" and 0.5 <= mean <= 1.5:
        return "given"
    notes.append("intensity scaled to a mean of 1 in each image (no vacuum level or dose is stated)")
    return "mean"


def _scale(
    raw: RawSeries, values: np.ndarray, method: str, fields: Mapping[str, Any], given: Mapping[str, Any]
) -> np.ndarray:
    """`(n_tilt, n_focus)`: by what to divide each image."""
    shape = values.shape[:2]
    if method == "given":
        return np.ones(shape)
    if method == "counts":
        if fields.get("dose_per_image") is None:
            raise missing("dose_per_image", raw.path)
        scale = fields["dose_per_image"] * fields["pixel_size_angstrom"] ** 2
        _check_dose(raw, values, scale)
    elif method == "vacuum":
        if "vacuum_intensity" not in given:
            raise ConfigError(
                "vacuum_intensity: is needed for normalise = 'vacuum'. Give the level of the vacuum"
            )
        scale = _broadcast(given["vacuum_intensity"], shape, raw, "vacuum_intensity")
        if not (np.isfinite(scale) & (scale > 0)).any():
            problem, remedy = "is {:g}, but must be positive", "Give the value of images without a specimen"
            raise DataError(
                problem.format(scale.flat[0]), path=raw.path, field="vacuum_intensity", remedy=remedy
            )
    else:
        scale = values.mean(axis=(-2, -1), dtype=np.float64)
    if fields.get("used") is not None:  # what is left out need not make sense
        scale = np.where(~fields["used"] & ~(scale > 0), 1.0, scale)
    if not np.isfinite(scale).all() or scale.min() <= 0:
        index = int(np.argmin(scale))
        raise DataError(
            f"image {index} cannot be scaled to 1: its {method} level is {scale.flat[index]:.4g}",
            path=raw.path,
            field="tilt_series",
            remedy="Give vacuum_intensity, intensity_offset, or dark_field for STEM images, "
            f"or leave it out with --unused {index}",
        )
    return np.asarray(scale)


def _check_dose(raw: RawSeries, values: np.ndarray, scale: np.ndarray) -> None:
    """Counts and dose must speak of the same beam."""
    level = values.mean(axis=(-2, -1), dtype=np.float64)
    ratio = float(np.median(level / np.where(scale > 0, scale, np.nan)))
    if ratio < _COUNTS_LEAST or ratio > _COUNTS_MOST:
        raise DataError(
            f"is {scale.mean():.3g} electrons per pixel, but images hold {level.mean():.3g} on average",
            path=raw.path,
            field="dose_per_image",
            remedy="Correct the dose or the pixel size, or leave out counts if the images are scaled already",
        )


def _broadcast(value: Any, shape: tuple[int, ...], raw: RawSeries, key: str) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=np.float64)
        if array.shape == shape[:1] and shape[0] != shape[1]:
            array = array[:, None]
        return np.array(np.broadcast_to(array, shape))
    except (TypeError, ValueError):
        raise DataError(
            f"does not fit {shape[0]} tilts x {shape[1]} foci", path=raw.path, field=key
        ) from None


def _dark_field(raw: RawSeries, values: np.ndarray) -> np.ndarray:
    """Invert in place: SIRT's projection ``1 - I`` is then the dark-field signal, background at 0."""
    sample = values.reshape(-1)[:: max(values.size // 1_000_000, 1)]
    low, high = np.percentile(sample, (1.0, 99.9)).astype(np.float64)
    if high <= low:
        raise DataError("all pixels are alike", path=raw.path, field="tilt_series")
    values -= REAL(low)
    values /= REAL(low - high)
    values += REAL(1)
    return np.full(values.shape[:2], high - low)
