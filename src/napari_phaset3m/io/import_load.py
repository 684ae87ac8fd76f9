"""Load what an import plan says, image by image: the full-size stack is never held."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.sections import Sections, shrink_matrix, turn_matrix
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.assemble import assemble
from napari_phaset3m.io.import_check import check_plan, used_of
from napari_phaset3m.io.import_config import ImportConfig, binned_shape, shift_added_px, shrink
from napari_phaset3m.io.import_entry import ImageEntry
from napari_phaset3m.io.import_plan import ImportPlan
from napari_phaset3m.io.import_raw import planned_raw
from napari_phaset3m.io.import_sections import entry_sections, planned_sections
from napari_phaset3m.io.import_sources import Reader
from napari_phaset3m.io.leave_out import fill_unused
from napari_phaset3m.io.limits import check_memory, is_finite, what_is_wrong
from napari_phaset3m.io.orient import turn
from napari_phaset3m.io.provenance import history_entry
from napari_phaset3m.io.raw import blaming


class ImageReader(Protocol):
    """Where the image of an entry comes from."""

    def read(self, entry: ImageEntry) -> np.ndarray:
        """`(ny, nx)`, of the plan's size."""
        ...


#: Mends the assembled, unturned images in place (they are those of the series), telling text and fraction;
#: returns what the history keeps of it: ``parameters`` and ``told``.
Mend = Callable[[TiltFocalSeries, np.ndarray], Generator[Any, None, dict[str, Any]]]
#: Float and complex copies of one full-size image while it is binned.
_WORK_BYTES = {"fourier": 24, "mean": 8}


@dataclass(frozen=True)
class LoadProgress:
    """How far loading is: for a person, and 0..1."""

    text: str
    fraction: float


@dataclass(frozen=True, eq=False)
class Loaded:
    """The end of loading."""

    series: TiltFocalSeries


def forecast_bytes(plan: ImportPlan, config: ImportConfig | None = None) -> int:
    """Peak memory of :func:`iterate_load`: the series, and the work on one full-size image."""
    settings = config or plan.config
    small = binned_shape(plan.image_shape, settings)
    work = _WORK_BYTES[settings.bin_method if settings.bin > 1 else "mean"] * int(np.prod(plan.image_shape))
    return len(plan.images) * small[0] * small[1] * 4 + work


def iterate_load(
    plan: ImportPlan,
    config: ImportConfig | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    reader: ImageReader | None = None,
    mend: Mend | None = None,
) -> Iterator[LoadProgress | Loaded]:
    """Read, crop, bin and turn image after image; the last event is :class:`Loaded`.

    Parameters
    ----------
    plan : ImportPlan
    config : ImportConfig, optional
        By default the plan's own.
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
    settings, given = config or plan.config, dict(overrides or {})
    known = {name: value for name, value in given.items() if value is not None}
    plan = check_plan(plan, settings, known)
    used = used_of(plan, known)
    asked = given.pop("tilt_axis_angle_deg", None)  # 0: not turned, whatever the plan says
    angle = float((plan.tilt_axis_angle_deg if asked is None else asked) or 0.0)
    small = binned_shape(plan.image_shape, settings)
    quarter = round(angle / 90)
    shape = small[::-1] if quarter % 2 else small
    whole = (plan.n_tilt, plan.n_focus, *shape)
    path = plan.source
    check_memory((forecast_bytes(plan, settings),), 1, path, "images")
    images = np.empty(whole, REAL)
    source = reader or Reader(plan)
    for number, entry in enumerate(plan.images):
        yield LoadProgress(f"Reading {entry.file.name}", number / len(plan.images))
        image = shrink(_finite(source, entry, used[number], number), settings)
        images[entry.tilt_index, entry.focus_index] = np.rot90(image, quarter)
    yield LoadProgress("Normalising", 1.0)
    with blaming(known, path):
        series = _assembled(plan, images, settings, angle, (given, source))
    if isinstance(source, Reader):  # of images from elsewhere no file is known
        series = series.replace(sections=_sections(plan, source, settings, angle))
    if mend is not None:
        series = yield from _mended(series, images, mend)
    elif angle != 90 * quarter and not _are_mended(plan):
        series = _told_spread(series, angle)
    if angle != 90 * quarter:
        yield from _turned(images.reshape(-1, *shape), angle, quarter)
    yield Loaded(series)


def _turned(images: np.ndarray, angle: float, quarter: int) -> Iterator[LoadProgress]:
    """Turn images in place by what quarter turns leave, because nobody else has them yet."""
    for number, image in enumerate(images):
        yield LoadProgress(f"Turning image {number + 1} by {angle:g} degrees", 1.0)
        image[:] = turn(image, angle - 90 * quarter)[0]


def _stored(plan: ImportPlan, reader: Reader) -> Callable[[int], np.ndarray]:
    """Reads an image of the series, by its number, as it is in its file."""
    entries = {(e.tilt_index, e.focus_index): e for e in plan.images}
    return lambda number: reader.stored(entries[divmod(number, plan.n_focus)])


def _finite(source: Any, entry: ImageEntry, used: bool, number: int) -> np.ndarray:
    """The image of an entry; where it holds no numbers it is refused, or filled where it is not used.

    Before it is binned, which would spread them.
    """
    image = source.read(entry)
    if is_finite(image):
        return np.asarray(image)
    if used:
        stored = source.stored(entry) if isinstance(source, Reader) else image
        raise DataError(
            f"holds {what_is_wrong(stored)}", path=entry.file, field=f"section {entry.section}",
            remedy=f"Repair the image, or leave it out with --unused {number} (unused=[{number}] in Python)",
        )  # fmt: skip
    filled = np.array(image)
    fill_unused(filled[None, None], np.zeros((1, 1), bool))
    return filled


def _are_mended(plan: ImportPlan) -> bool:
    """Whether hot pixels of the files' images were replaced before."""
    before = plan.history
    at_import = any("outliers" in (step.get("parameters") or ()) for step in before)
    return at_import or any(step.get("step") == "outliers" for step in before)


def _told_spread(series: TiltFocalSeries, angle: float) -> TiltFocalSeries:
    note = f"hot pixels are spread by the turn of {angle:g} degrees: an import can mend first (--outliers)"
    return series.replace(metadata={**series.metadata, "notes": (*series.metadata["notes"], note)})


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
    *before, last = series.metadata["history"]
    done = dict(last)
    done["parameters"] = {**done["parameters"], "outliers": found["parameters"]}
    done["told"] = {**done["told"], **found["told"]}
    return series.replace(metadata={**series.metadata, "history": (*before, done)})


def _assembled(
    plan: ImportPlan,
    images: np.ndarray,
    config: ImportConfig,
    angle: float,
    how: tuple[Mapping[str, Any], ImageReader],
) -> TiltFocalSeries:
    raw, given = planned_raw(plan, images, config, angle, how[0])
    if isinstance(how[1], Reader):
        raw.stored = _stored(plan, how[1])
    series = assemble(raw, given)
    added = shift_added_px(plan.image_shape, config)
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
    history = (*plan.history, history_entry("import", parameters, told))
    return series.replace(metadata={**series.metadata, "history": history})


def _sections(plan: ImportPlan, reader: Reader, config: ImportConfig, angle: float) -> Sections | None:
    added, rows = shift_added_px(plan.image_shape, config), list(plan.rows())
    found = planned_sections(plan, rows)
    if found is None:
        found = entry_sections(rows, plan.image_shape, reader.count)
    return found and found.moved(shrink_matrix(added, config.bin), config.bin).moved(turn_matrix(angle))
