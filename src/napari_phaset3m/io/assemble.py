"""From what a reader found to a checked series: ask, order, normalise, turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io import sidecar
from napari_phaset3m.io.limits import check_finite, check_memory, check_real
from napari_phaset3m.io.orient import turn
from napari_phaset3m.io.raw import FIELDS, RawSeries, as_number, check_names, missing

_NORMALISE = ("auto", "given", "counts", "mean", "vacuum")
_SCALAR_NAMES = tuple(
    name for name in FIELDS if name.endswith(("_angstrom", "_ev")) and name != "defocus_angstrom"
)


def assemble(raw: RawSeries, overrides: Mapping[str, Any] | None = None) -> TiltFocalSeries:
    """Check what was read, let ``overrides`` replace it, and build the series.

    Parameters
    ----------
    raw : RawSeries
    overrides : mapping
        Fields (:data:`raw.FIELDS`) and reading options (:data:`raw.OPTIONS`).

    Raises
    ------
    DataError
        Something is missing (named, with how to give it), disagrees, or cannot be used.
    ConfigError
        A keyword is unknown.
    """
    given = {key: value for key, value in dict(overrides or {}).items() if value is not None}
    check_names(given)
    notes = list(raw.notes)
    fields = {**raw.fields, **{key: value for key, value in given.items() if key in FIELDS}}
    if isinstance(fields.get("tilt_deg"), str) or hasattr(fields.get("tilt_deg"), "__fspath__"):
        fields["tilt_deg"] = sidecar.read_angles(fields["tilt_deg"])
    images = divide(raw, given.get("n_focus"), given.get("focus_order", "tilt-major"))
    fields["tilt_deg"] = _angles(raw, fields.get("tilt_deg"), images.shape)
    for name in ("pixel_size_angstrom", "energy_ev"):
        if fields.get(name) is None:
            raise missing(name, raw.path)
    for name in _SCALAR_NAMES:
        if fields.get(name) is not None:
            fields[name] = as_number(fields[name], raw.path, FIELDS[name][0])
    pixel = fields["pixel_size_angstrom"]
    if pixel <= 0:
        raise DataError(
            f"is {pixel:g}, but must be positive",
            path=raw.path,
            field="pixel_size",
            remedy="Give pixel_size_angstrom=... in Python or --pixel-size (angstrom)",
        )
    _refer_defocus(raw, fields, given, images.shape[-1])
    intensity, normalisation, metadata = _intensity(raw, images, fields, given, notes)
    rotated = raw.rotated_deg
    angle = given.get("tilt_axis_angle_deg", raw.tilt_axis_angle_deg)
    if angle:
        intensity, fields["shifts_px"] = turn(intensity, float(angle), fields.get("shifts_px"))
        rotated += float(angle)
        notes.append(f"images turned by {angle:g} degrees to bring the tilt axis along y")
    metadata |= {"source": str(raw.path), "notes": tuple(notes)}
    return _build(
        raw, intensity, fields, tilt_axis_angle_deg=rotated, normalisation=normalisation, metadata=metadata
    )


def _build(raw: RawSeries, images: np.ndarray, fields: dict[str, Any], **more: Any) -> TiltFocalSeries:
    try:
        return TiltFocalSeries(images=images, **{k: v for k, v in fields.items() if v is not None}, **more)
    except DataError as error:
        if error.path is not None:
            raise
        raise DataError(error.problem, path=raw.path, field=error.field, remedy=error.remedy) from None
    except (TypeError, ValueError) as error:
        raise DataError(str(error).splitlines()[0], path=raw.path) from None


def divide(raw: RawSeries, n_focus: int | None, order: str = "tilt-major") -> Any:
    """Images as `(n_tilt, n_focus, ny, nx)`; sections interleaved when ``n_focus`` is given.

    ``order`` says what follows what in the file: ``"tilt-major"`` all foci of a tilt, then the next
    tilt; ``"focus-major"`` all tilts of a focus, then the next focus.
    """
    images = raw.images
    check_real(images, raw.path, "tilt_series")
    if images.ndim == 2:
        images = images[None]
    if images.ndim == 3:
        n = int(n_focus or 1)
        if n < 1 or images.shape[0] % n:
            raise DataError(
                f"{images.shape[0]} sections do not divide by {n} foci",
                path=raw.path,
                field="n_focus",
                remedy="Give n_focus=... in Python or --n-focus",
            )
        if order not in ("tilt-major", "focus-major"):
            raise ConfigError(f"focus_order: is {order!r}. Use 'tilt-major' or 'focus-major'")
        count = images.shape[0] // n
        if order == "tilt-major":
            images = images.reshape(count, n, *images.shape[1:])
        else:
            images = images.reshape(n, count, *images.shape[1:]).swapaxes(0, 1)
    if images.ndim != 4 or 0 in images.shape:
        raise DataError(
            f"has shape {raw.images.shape}, but (n_tilt, n_focus, ny, nx) is needed",
            path=raw.path,
            field="tilt_series",
        )
    return images


def _angles(raw: RawSeries, angles: Any, shape: tuple[int, ...]) -> np.ndarray:
    if angles is None:
        if shape[0] == 1:
            return np.zeros(1)
        raise missing("tilt_deg", raw.path)
    try:
        values = np.atleast_1d(np.asarray(angles, dtype=np.float64))
    except (TypeError, ValueError):
        raise DataError("must be numbers, in degrees", path=raw.path, field="tilt_angles") from None
    values = values.reshape(-1)
    if values.size == shape[0] * shape[1] != shape[0]:
        # One angle per section: all foci of a tilt share it.
        values = values.reshape(shape[:2]).mean(axis=1)
    if values.size != shape[0]:
        raise DataError(
            f"{values.size} angles for {shape[0]} images per focus",
            path=raw.path,
            field="tilt_angles",
            remedy="Give one angle for each tilt",
        )
    if not np.isfinite(values).all() or np.abs(values).max() > 360:
        raise DataError("must be finite degrees within ±360", path=raw.path, field="tilt_angles")
    return values


def _refer_defocus(raw: RawSeries, fields: dict[str, Any], given: Mapping[str, Any], nx: int) -> None:
    """Refer defocus to the rotation centre. Given by keyword it is so already, unless stated."""
    defocus = fields.get("defocus_angstrom")
    if defocus is None:
        return
    default = "center" if "defocus_angstrom" in given else raw.defocus_reference
    reference = given.get("defocus_reference", default)
    if reference not in ("center", "exit"):
        raise ConfigError(f"defocus_reference: is {reference!r}. Use 'center' or 'exit'")
    try:
        values = np.asarray(defocus, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError("must be numbers, in angstrom", path=raw.path, field="defocus_values") from None
    if reference == "exit":
        values = values - nx * fields["pixel_size_angstrom"] / 2
    fields["defocus_angstrom"] = values


def _intensity(
    raw: RawSeries, images: Any, fields: dict[str, Any], given: Mapping[str, Any], notes: list[str]
) -> tuple[np.ndarray, str, dict[str, Any]]:
    check_memory(images.shape, 4, raw.path, "tilt_series")
    values = np.array(images, dtype=REAL)
    check_finite(values, raw.path, "tilt_series")
    metadata = dict(raw.metadata)
    offset = float(given.get("intensity_offset", 0.0))
    if offset:
        values -= REAL(offset)
        metadata["intensity_offset"] = offset
    counts = bool(given.get("counts", raw.counts))
    if counts and values.min() < 0:
        index = int(np.argmin(values.reshape(-1, values.shape[-2] * values.shape[-1]).min(axis=1)))
        raise DataError(f"image {index} has negative counts", path=raw.path, field="tilt_series",
                        remedy="Set counts = false, or subtract the offset (intensity_offset)")  # fmt: skip
    if given.get("dark_field"):
        scale, method = _dark_field(raw, values), "dark_field"
        notes.append("dark-field images inverted: intensity = 1 - (signal - background) / brightest")
    else:
        method = _method(raw, values, counts, fields, given, notes)
        scale = _scale(raw, values, method, fields, given)
        if method != "given":
            values /= scale.astype(REAL)[..., None, None]
    if counts:
        metadata["counts"] = True
        if fields.get("dose_per_image") is None:
            fields["dose_per_image"] = scale / fields["pixel_size_angstrom"] ** 2
            notes.append("dose_per_image is not stated: taken from the mean counts of each image")
    if method != "given":
        metadata["scale"] = scale if np.ptp(scale) else float(scale.flat[0])
    if method == "given" and raw.normalisation is not None:
        method = raw.normalisation
    return values, method, metadata


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
        dose = _broadcast(fields["dose_per_image"], shape, raw, "dose_per_image")
        scale = dose * fields["pixel_size_angstrom"] ** 2
    elif method == "vacuum":
        if "vacuum_intensity" not in given:
            raise ConfigError(
                "vacuum_intensity: is needed for normalise = 'vacuum'. Give the level of the vacuum"
            )
        scale = _broadcast(given["vacuum_intensity"], shape, raw, "vacuum_intensity")
    else:
        scale = values.mean(axis=(-2, -1), dtype=np.float64)
    if not np.isfinite(scale).all() or scale.min() <= 0:
        index = int(np.argmin(scale))
        raise DataError(
            f"image {index} cannot be scaled to 1: its {method} level is {scale.flat[index]:.4g}",
            path=raw.path,
            field="tilt_series",
            remedy="Give vacuum_intensity, intensity_offset, or dark_field for STEM images",
        )
    return scale


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
