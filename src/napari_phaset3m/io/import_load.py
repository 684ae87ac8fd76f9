"""Load what an import plan says, image by image: the full-size stack is never held."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from pydantic import Field, field_validator

from napari_phaset3m.config import Model
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.resample import fourier_resample
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.assemble import assemble
from napari_phaset3m.io.import_movies import movie_metadata, with_movies
from napari_phaset3m.io.import_plan import ImageEntry, ImportPlan
from napari_phaset3m.io.import_shrink import shrunk_fields
from napari_phaset3m.io.import_sources import Reader
from napari_phaset3m.io.limits import check_memory
from napari_phaset3m.io.movies import MovieConfig
from napari_phaset3m.io.orient import turn, turn_shifts
from napari_phaset3m.io.provenance import history_entry
from napari_phaset3m.io.raw import RawSeries, missing

Crop = tuple[int, int, int, int]


class ImageReader(Protocol):
    """Where the image of an entry comes from."""

    def read(self, entry: ImageEntry) -> np.ndarray:
        """`(ny, nx)`, of the plan's size."""
        ...


#: Mends the assembled, unturned images in place (they are those of the series), telling text and fraction;
#: returns what the history keeps of it: ``parameters`` and ``told``.
Mend = Callable[[TiltFocalSeries, np.ndarray], Generator[Any, None, dict[str, Any]]]
_SMALLEST = 8
#: Float and complex copies of one full-size image while it is binned.
_WORK_BYTES = {"fourier": 24, "mean": 8}


class ImportConfig(Model):
    """How images are made smaller while they are read."""

    bin: int = Field(1, ge=1, le=64, description="Bin images by this whole number (pixels)")
    bin_method: Literal["fourier", "mean"] = Field(
        "fourier", description="fourier: cut the spectrum (no aliasing); mean: average blocks of pixels"
    )
    crop: Crop | None = Field(
        None, description="Rectangle of the files' images to keep, before binning: y0, y1, x0, x1 (pixels)"
    )

    @field_validator("crop")
    @classmethod
    def _in_order(cls, value: Crop | None) -> Crop | None:
        if value is not None and not (0 <= value[0] < value[1] and 0 <= value[2] < value[3]):
            raise ValueError("needs 0 <= y0 < y1 and 0 <= x0 < x1")
        return value


@dataclass(frozen=True)
class LoadProgress:
    """How far loading is: for a person, and 0..1."""

    text: str
    fraction: float


@dataclass(frozen=True, eq=False)
class Loaded:
    """The end of loading."""

    series: TiltFocalSeries


def binned_shape(shape: tuple[int, int], config: ImportConfig) -> tuple[int, int]:
    """(ny, nx) after crop and binning; a remainder is cut off alike on both sides.

    Raises
    ------
    ConfigError
        The rectangle reaches out of the image, or too few pixels are left.
    """
    ny, nx = shape
    if config.crop is not None:
        y0, y1, x0, x1 = config.crop
        if y1 > ny or x1 > nx:
            raise ConfigError(f"crop: {y0}:{y1},{x0}:{x1} reaches out of images of {ny} x {nx} pixels (y, x)")
        ny, nx = y1 - y0, x1 - x0
    small = ny // config.bin, nx // config.bin
    if min(small) < min(_SMALLEST, ny, nx):
        raise ConfigError(f"bin: {config.bin} leaves {small[0]} x {small[1]} pixels of {ny} x {nx}")
    return small


def shift_added_px(shape: tuple[int, int], config: ImportConfig) -> np.ndarray:
    """`(2,)` (y, x), pixels of the files: what the crop adds to the shifts of images ``(ny, nx)``.

    As in prepare/geometry.py: the rotation centre stays where it was in the specimen.

    Raises
    ------
    ConfigError
        Bin or crop do not fit the images.
    """
    y0, y1, x0, x1 = config.crop or (0, shape[0], 0, shape[1])
    kept = np.array(binned_shape(shape, config)) * config.bin
    first = np.array((y0, x0)) + (np.array((y1 - y0, x1 - x0)) - kept) // 2  # a remainder is cut off
    return np.asarray((np.array(shape) - 1) / 2 - first - (kept - 1) / 2)


def shrink(image: np.ndarray, config: ImportConfig) -> np.ndarray:
    """Crop and bin one image `(ny, nx)`; its mean is kept. Float32."""
    small = binned_shape((image.shape[0], image.shape[1]), config)
    if config.crop is not None:
        y0, y1, x0, x1 = config.crop
        image = image[y0:y1, x0:x1]
    top, left = ((n - m * config.bin) // 2 for n, m in zip(image.shape, small, strict=True))
    image = image[top : top + small[0] * config.bin, left : left + small[1] * config.bin]
    if config.bin == 1:
        return np.asarray(image, REAL)
    if config.bin_method == "fourier":
        return fourier_resample(image, small)
    blocks = image.reshape(small[0], config.bin, small[1], config.bin)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float64), REAL)


def forecast_bytes(plan: ImportPlan, config: ImportConfig | None = None) -> int:
    """Peak memory of :func:`iterate_load`: the series, and the work on one full-size image."""
    settings = config or ImportConfig()
    small = binned_shape(plan.image_shape, settings)
    work = _WORK_BYTES[settings.bin_method if settings.bin > 1 else "mean"] * int(np.prod(plan.image_shape))
    return len(plan.images) * small[0] * small[1] * 4 + work


def iterate_load(
    plan: ImportPlan,
    config: ImportConfig | None = None,
    *,
    movies: MovieConfig | None = None,
    overrides: Mapping[str, Any] | None = None,
    reader: ImageReader | None = None,
    mend: Mend | None = None,
) -> Iterator[LoadProgress | Loaded]:
    """Read, crop, bin and turn image after image; the last event is :class:`Loaded`.

    Parameters
    ----------
    plan : ImportPlan
    config : ImportConfig, optional
    movies : MovieConfig, optional
        How movies are read, in place of the plan's way; their frames are summed.
    overrides : mapping, optional
        What ``load_series`` takes: fields that win over the plan's, and ``counts``, ``normalise``,
        ``vacuum_intensity``, ``intensity_offset``, ``dark_field``, ``unused``. Pixel size, shifts and MTF are
        those of the files' images: they follow the bin, the crop and the turn.
    reader : ImageReader, optional
        Where images come from in place of their files.
    mend : callable, optional
        Replaces bad pixels before images are turned, which spreads them (``prepare.outliers.mend``).

    Raises
    ------
    DataError, ConfigError
        Something needed is missing, an image is damaged, or the series would not fit in the memory.
    """
    settings, given = config or ImportConfig(), dict(overrides or {})
    plan = plan if movies is None else with_movies(plan, movies)
    plan.check()
    for name in ("pixel_size_angstrom", "energy_ev"):
        if getattr(plan, name) is None and given.get(name) is None:
            raise missing(name, plan.images[0].file)
    angle = float(given.pop("tilt_axis_angle_deg", None) or plan.tilt_axis_angle_deg or 0.0)
    small = binned_shape(plan.image_shape, settings)
    quarter = round(angle / 90)
    shape = small[::-1] if quarter % 2 else small
    whole = (plan.n_tilt, plan.n_focus, *shape)
    path = plan.images[0].file
    check_memory((forecast_bytes(plan, settings),), 1, path, "images")
    images = np.empty(whole, REAL)
    reader = reader or Reader(plan)
    factor = REAL(settings.bin**2 if given.get("counts") else 1)  # counts of a binned pixel add up
    for number, entry in enumerate(plan.images):
        yield LoadProgress(f"Reading {entry.file.name}", number / len(plan.images))
        image = shrink(reader.read(entry), settings) * factor
        if entry.used and not np.isfinite(image.sum(dtype=np.float64)):
            raise DataError("holds NaN or infinite values", path=entry.file, field=f"section {entry.section}",
                            remedy="Mark it as not used")  # fmt: skip
        images[entry.tilt_index, entry.focus_index] = np.rot90(image, quarter)
    yield LoadProgress("Normalising", 1.0)
    series = _assembled(plan, images, settings, angle, given)
    if mend is not None:
        series = yield from _mended(series, images, mend)
    elif angle != 90 * quarter:
        note = (
            f"hot pixels are spread by the turn of {angle:g} degrees: an import can mend first (--outliers)"
        )
        series = series.replace(metadata={**series.metadata, "notes": (*series.metadata["notes"], note)})
    if angle != 90 * quarter:  # in place, because nobody else has the images yet
        for number, image in enumerate(images.reshape(-1, *shape)):
            yield LoadProgress(f"Turning image {number + 1} by {angle:g} degrees", 1.0)
            image[:] = turn(image, angle - 90 * quarter)[0]
    yield Loaded(series)


def _mended(
    series: TiltFocalSeries, images: np.ndarray, mend: Mend
) -> Generator[LoadProgress, None, TiltFocalSeries]:
    """The series with its bad pixels replaced, told in the history of the import."""
    parts = mend(series, images)
    while True:
        try:
            event = next(parts)
        except StopIteration as end:
            found: dict[str, Any] = end.value
            break
        yield LoadProgress(event.text, 1.0)
    done = dict(series.metadata["history"][0])
    done["parameters"] = {**done["parameters"], "outliers": found["parameters"]}
    done["told"] = {**done["told"], **found["told"]}
    return series.replace(metadata={**series.metadata, "history": (done,)})


def _assembled(
    plan: ImportPlan, images: np.ndarray, config: ImportConfig, angle: float, given: Mapping[str, Any]
) -> TiltFocalSeries:
    raw = RawSeries(plan.images[0].file, images, dict(plan.fields), list(plan.notes), is_private=True)
    pixel = given.get("pixel_size_angstrom") or plan.pixel_size_angstrom
    raw.fields |= {
        "pixel_size_angstrom": float(pixel or 0.0) * config.bin,
        "energy_ev": plan.energy_ev,
        "tilt_deg": np.array(
            [np.mean([e.tilt_deg for e in row if e.tilt_deg is not None]) for row in plan.rows()]
        ),
        "used": plan.column("used"),
        "defocus_angstrom": plan.column("defocus_angstrom"),
        "dose_per_image": plan.column("dose"),
        "shifts_px": _stated_shifts(plan),
    }
    raw.defocus_reference, raw.rotated_deg = plan.defocus_reference, angle
    raw.dark_field = plan.dark_field
    raw.metadata = {"format": "import", **exposure_metadata(plan), **movie_metadata(plan)}
    if angle:
        raw.notes.append(f"images turned by {angle:g} degrees to bring the tilt axis along y")
    added = shift_added_px(plan.image_shape, config)
    stated = {**raw.fields, **{key: value for key, value in given.items() if value is not None}}
    changed = shrunk_fields(stated, (plan.n_tilt, plan.n_focus), added, config.bin)
    if "shifts_px" in changed:
        changed["shifts_px"] = turn_shifts(changed["shifts_px"], angle)
    raw.fields |= changed
    rest = {key: value for key, value in given.items() if key not in {"pixel_size_angstrom", *changed}}
    series = assemble(raw, {**rest, "tilt_axis_angle_deg": 0.0})
    told: dict[str, Any] = {
        "files": sorted({str(entry.file) for entry in plan.images}),
        "image_shape_yx": plan.image_shape,
        "questions": [str(question) for question in plan.questions],
    }
    parameters = {**config.model_dump(mode="json"), "tilt_axis_angle_deg": angle}
    if plan.has_movies:
        parameters |= {"gain": None if plan.gain is None else str(plan.gain)}
        parameters |= {"movies": plan.movies.model_dump(mode="json")}
    if added.any():
        told["shift_added_px"] = added.tolist()  # pixels of the files
    history = (history_entry("import", parameters, told),)
    return series.replace(metadata={**series.metadata, "history": history})


def _stated_shifts(plan: ImportPlan) -> np.ndarray | None:
    """`(n_tilt, n_focus, 2)`, pixels of the files; None when no image states one."""
    shifts = [entry.shift_px for entry in plan.images]
    if all(shift is None for shift in shifts):
        return None
    return np.array([shift or (0.0, 0.0) for shift in shifts]).reshape(plan.n_tilt, plan.n_focus, 2)


def exposure_metadata(plan: ImportPlan) -> dict[str, Any]:
    """``exposure_order`` and ``prior_dose`` `(n_tilt, n_focus)` as lists, where every image has one."""
    found: dict[str, Any] = {}
    order, prior = plan.column("exposure_order"), plan.column("prior_dose")
    fillers = np.array([entry.is_filler for entry in plan.images]).reshape(plan.n_tilt, plan.n_focus)
    if order is not None:
        # Repeats come after everything that was taken.
        order[fillers] = order.max() + 1 + np.arange(np.count_nonzero(fillers))
        found["exposure_order"] = order.astype(int).tolist()
    if prior is not None:
        found["prior_dose"] = prior.tolist()
    return found
