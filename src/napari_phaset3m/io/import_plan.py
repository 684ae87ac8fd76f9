"""What an import found: a table with one row per image, and what holds for all of them. Nothing is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.core.sections import Sections
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.import_cells import checked_cells, checked_value
from napari_phaset3m.io.import_config import ImportConfig
from napari_phaset3m.io.import_entry import ImageEntry, Question
from napari_phaset3m.io.movies import MovieConfig
from napari_phaset3m.io.raw import FIELDS, missing

#: Values of a plan that hold for all images, and further fields of the series that do.
WHOLE = ("pixel_size_angstrom", "energy_ev", "tilt_axis_angle_deg", "gain",
          "defocus_reference", "dark_field")  # fmt: skip
FIELDS_OF_PLAN = tuple(
    name
    for name in FIELDS
    if name not in ("tilt_deg", "defocus_angstrom", "dose_per_image", "used", "shifts_px")
)


@dataclass(frozen=True, eq=False)
class ImportPlan:
    """A series as it would be imported.

    Attributes
    ----------
    images : tuple of ImageEntry
        Tilt by tilt, and the foci of a tilt together.
    pixel_size_angstrom, energy_ev : float or None
        None: must be given before loading.
    tilt_axis_angle_deg : float or None
        From +y towards −x in the files' images; they are turned by it. None: not stated, not turned.
    image_shape : (int, int)
        (ny, nx) of the files' images.
    dtype : dtype
    fields : mapping
        Further fields of the series, e.g. ``spherical_aberration_angstrom``.
    gain : Path or None
        Gain reference of the movies.
    movies : MovieConfig
        How movies and their gain reference are read; with EER, ``image_shape`` and pixel are upsampled ones.
    dark_field : bool
        The images are of STEM, in which the specimen is bright: loading inverts them.
    defocus_reference : {"center", "exit"}
    config : ImportConfig
        Bin and crop that the description of the files asks for.
    counts : bool
        The files hold electron counts.
    normalisation : str or None
        How a description says that the files' values were scaled already; None: not yet.
    rotated_deg : float
        By how much the files' images were turned already.
    history : tuple of mapping
        What was done to the files' images before.
    sections : Sections or None
        Where the files' images come from, when they were made from others.
    described : Path or None
        The series.toml that it was read from.
    notes : tuple of str
        Where values come from.
    questions : tuple of Question
        What must be confirmed.
    """

    images: tuple[ImageEntry, ...]
    pixel_size_angstrom: float | None
    energy_ev: float | None
    tilt_axis_angle_deg: float | None
    image_shape: tuple[int, int]
    dtype: np.dtype[Any]
    fields: Mapping[str, Any] = field(default_factory=dict)
    gain: Path | None = None
    movies: MovieConfig = field(default_factory=MovieConfig)
    dark_field: bool = False
    defocus_reference: str = "center"
    config: ImportConfig = field(default_factory=ImportConfig)
    counts: bool = False
    normalisation: str | None = None
    rotated_deg: float = 0.0
    history: tuple[Mapping[str, Any], ...] = ()
    sections: Sections | None = None
    described: Path | None = None
    notes: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()

    @property
    def source(self) -> Path:
        """The file that what holds for all images is from: its description, else the first of its images."""
        return self.described or self.images[0].file

    @property
    def n_tilt(self) -> int:
        """Number of tilts."""
        return 1 + max(entry.tilt_index for entry in self.images)

    @property
    def n_focus(self) -> int:
        """Number of foci per tilt."""
        return 1 + max(entry.focus_index for entry in self.images)

    def edited(
        self,
        images: Mapping[int, Mapping[str, Any]] | None = None,
        confirm: Collection[str] = (),
        **values: Any,
    ) -> ImportPlan:
        """The plan with some cells mended; questions about what was mended or confirmed are answered.

        Parameters
        ----------
        images : mapping
            Row number (from 0) to new values by cell: :data:`CELLS`.
        confirm : collection of str
            Fields whose questions are answered with yes.
        **values
            ``pixel_size_angstrom``, ``energy_ev``, ``tilt_axis_angle_deg``, ``gain``,
            ``defocus_reference``, ``dark_field``, or a field of a series such as
            ``spherical_aberration_angstrom``.

        Raises
        ------
        ConfigError
            There is no such row or cell, or the value cannot be.
        """
        rows = list(self.images)
        answered = set(confirm) | set(values)
        for number, cells in (images or {}).items():
            if not 0 <= number < len(rows):
                raise ConfigError(f"images: there is no row {number}; they count from 0 to {len(rows) - 1}")
            rows[number] = replace(rows[number], **checked_cells(cells, number))
            answered |= set(cells)
        whole = {name: checked_value(name, value) for name, value in values.items() if name in WHOLE}
        other = {name: value for name, value in values.items() if name not in WHOLE}
        unknown = sorted(set(other) - set(FIELDS_OF_PLAN))
        if unknown:
            raise ConfigError(
                f"{', '.join(unknown)}: unknown. Known are {', '.join((*WHOLE, *FIELDS_OF_PLAN))}"
            )
        kept = tuple(q for q in self.questions if q.field not in answered)
        rows.sort(key=lambda entry: (entry.tilt_index, entry.focus_index))
        return replace(self, images=tuple(rows), fields={**self.fields, **other}, questions=kept, **whole)

    def answered(self, given: Collection[str]) -> ImportPlan:
        """The plan without the questions that fields given to :func:`importing.load` answer."""
        same = {"dose_per_image": "dose", "unused": "used"}
        cells = {same.get(name, name) for name in given}
        return replace(self, questions=tuple(q for q in self.questions if q.field not in cells))

    def divided(self, n_focus: int, order: str = "tilt-major") -> ImportPlan:
        """The plan with sections divided as told, in the order of files and sections; fillers are dropped.

        Parameters
        ----------
        n_focus : int
        order : {"tilt-major", "focus-major"}
            All foci of a tilt follow each other, or all tilts of a focus.

        Raises
        ------
        ConfigError
            The images do not divide so.
        """
        rows = self.in_file_order()
        if n_focus < 1 or len(rows) % n_focus:
            raise ConfigError(f"n_focus: {len(rows)} images do not divide by {n_focus}")
        if order not in ("tilt-major", "focus-major"):
            raise ConfigError(f"focus_order: is {order!r}. Use 'tilt-major' or 'focus-major'")
        n_tilt = len(rows) // n_focus
        placed = []
        for number, entry in enumerate(rows):
            tilt, focus = divmod(number, n_focus) if order == "tilt-major" else divmod(number, n_tilt)[::-1]
            placed.append(replace(entry, tilt_index=tilt, focus_index=focus))
        placed.sort(key=lambda entry: (entry.tilt_index, entry.focus_index))
        kept = tuple(q for q in self.questions if q.field != "focus_index")
        return replace(self, images=tuple(placed), questions=kept)

    def ungrouped(self) -> ImportPlan:
        """The plan with each image as a tilt of its own, by rising angle; fillers are dropped.

        Images without an angle keep their order behind the others.
        """
        rows = sorted(
            self.in_file_order(),
            key=lambda entry: (entry.tilt_deg is None, entry.tilt_deg or 0.0, entry.exposure_order or 0),
        )
        placed = (replace(row, tilt_index=k, focus_index=0) for k, row in enumerate(rows))
        kept = tuple(q for q in self.questions if q.field != "focus_index")
        return replace(self, images=tuple(placed), questions=kept)

    def in_file_order(self) -> list[ImageEntry]:
        """The images that were taken, by file and section."""
        rows = [entry for entry in self.images if not entry.is_filler]
        return sorted(rows, key=lambda entry: (entry.file, entry.section))

    @property
    def of_movies(self) -> bool:
        """Whether images are sums of movies."""
        return any(entry.frames == entry.file for entry in self.images)

    @property
    def has_movies(self) -> bool:
        """Whether images have a movie: are its sum, or can be made from it anew."""
        return any(entry.frames is not None for entry in self.images)

    def check(self, is_complete: bool = True) -> None:
        """Raise :class:`DataError` unless every tilt and focus has its image, and (if so) its angle."""
        self._check_places()
        for entry in self.images:
            if is_complete and entry.tilt_deg is None:
                raise missing("tilt_deg", entry.file)
        for row in self.rows():
            angles = [float(entry.tilt_deg or 0.0) for entry in row]
            if max(angles) - min(angles) > 1.0:
                raise DataError(f"foci of one tilt have {min(angles):g} and {max(angles):g} degrees",
                                path=row[0].file, field="tilt_deg")  # fmt: skip

    def _check_places(self) -> None:
        places = Counter((entry.tilt_index, entry.focus_index) for entry in self.images)
        n_tilt, n_focus = self.n_tilt, self.n_focus
        twice = next((place for place, count in places.items() if count > 1), None)
        wanted = ((tilt, focus) for tilt in range(n_tilt) for focus in range(n_focus))
        empty = next((place for place in wanted if place not in places), None)
        if twice is None and empty is None:
            return
        tilt, focus = (n + 1 for n in twice or empty or (0, 0))
        raise DataError(
            f"{len(self.images)} images for {n_tilt} tilts x {n_focus} foci: "
            f"{'several are' if twice is not None else 'none is'} focus {focus} of tilt no. {tilt}, from 1",
            path=self.images[0].file,
            field="tilt_index, focus_index",
            remedy="Give each image a place of its own",
        )

    def rows(self) -> Iterator[tuple[ImageEntry, ...]]:
        """The images of each tilt."""
        for tilt in range(self.n_tilt):
            row = [entry for entry in self.images if entry.tilt_index == tilt]
            if row:
                yield tuple(row)

    def column(self, name: str) -> np.ndarray | None:
        """`(n_tilt, n_focus)` values of a cell; None when some used image has none."""
        values = [getattr(entry, name) for entry in self.images]
        if any(v is None and not e.is_filler for v, e in zip(values, self.images, strict=True)):
            return None
        known = [0.0 if value is None else value for value in values]
        return np.array(known).reshape(self.n_tilt, self.n_focus)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "n_tilt": self.n_tilt,
            "n_focus": self.n_focus,
            "image_shape_yx": list(self.image_shape),
            "dtype": str(self.dtype),
            "pixel_size_angstrom": self.pixel_size_angstrom,
            "energy_ev": self.energy_ev,
            "tilt_axis_angle_deg": self.tilt_axis_angle_deg,
            "gain": None if self.gain is None else str(self.gain),
            "movies": self.movies.model_dump(mode="json") if self.has_movies else None,
            **self.config.model_dump(mode="json"),
            "fields": dict(self.fields),
            "notes": list(self.notes),
            "questions": [str(question) for question in self.questions],
            "images": [_plain(entry) for entry in self.images],
        }


def _plain(entry: ImageEntry) -> dict[str, Any]:
    values = {item.name: getattr(entry, item.name) for item in fields(entry)}
    return {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}
