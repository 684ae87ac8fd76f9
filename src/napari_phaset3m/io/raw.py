"""What a reader found in a file, before it is checked and becomes a series."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.core.sections import Sections
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.limits import MAX_AXIS_DEG

#: Field of the series: (name in files, flag on the command line, what to give).
FIELDS: Mapping[str, tuple[str, str, str]] = {
    "tilt_deg": ("tilt_angles", "--tilt-angles", "degrees: -60:60:2, one for each tilt, or a .tlt file"),
    "pixel_size_angstrom": ("pixel_size", "--pixel-size", "angstrom"),
    "energy_ev": ("energy", "--energy", "accelerating voltage in volts, e.g. 300e3"),
    "defocus_angstrom": ("defocus_values", "--defocus", "angstrom, underfocus positive"),
    "spherical_aberration_angstrom": ("spherical_aberration", "--cs", "angstrom, e.g. 2.7e7 for 2.7 mm"),
    "chromatic_aberration_angstrom": ("chromatic_aberration", "--cc", "angstrom"),
    "energy_spread_ev": ("energy_spread", "--energy-spread", "standard deviation, eV"),
    "focal_spread_angstrom": ("focal_spread", "--focal-spread", "standard deviation, angstrom"),
    "convergence_semiangle_mrad": (
        "convergence_semiangle",
        "--convergence-semiangle",
        "illumination half-angle (standard deviation), mrad",
    ),
    "phase_shift_deg": (
        "phase_shift",
        "--phase-plate",
        "phase shift of a phase plate, degrees (CTFFIND's: what was scattered goes ahead of the direct beam)",
    ),
    "mtf": (
        "mtf",
        "--mtf",
        "detector MTF: text file (or array) of two columns, fraction of Nyquist and value",
    ),
    "aberrations": ("aberrations", "--aberration", "Krivanek names and values"),
    "dose_per_image": ("dose_per_image", "--dose", "electrons per square angstrom"),
    "shifts_px": ("shifts", "--shifts", "pixels (y, x)"),
    "used": ("mask", "--used", "true for images to use"),
}
#: How a file is to be read, rather than what it holds: keyword -> flag.
OPTIONS: Mapping[str, str] = {
    "n_focus": "--n-focus",
    "focus_order": "--focus-order",
    "tilt_axis_angle_deg": "--tilt-axis-angle",
    "defocus_reference": "--defocus-reference",
    "counts": "--counts",
    "normalise": "--normalise",
    "vacuum_intensity": "--vacuum-intensity",
    "intensity_offset": "--intensity-offset",
    "dark_field": "--dark-field",
    "unused": "--unused",
}


@dataclass
class RawSeries:
    """Images and metadata as found; nothing was normalised, rotated or invented.

    Attributes
    ----------
    path : Path
    images : ndarray
        `(n_tilt, n_focus, ny, nx)`, or `(n_section, ny, nx)` when the file does not say how
        sections divide into tilts and foci. Any real dtype; may be a memory map.
    fields : dict
        Values by their names in :data:`FIELDS`.
    notes : list of str
        What the user should know, e.g. which default was used.
    counts : bool
        The values are electron counts.
    dark_field : bool
        The values are of STEM and not inverted yet.
    normalisation : str or None
        As a series file states it; None when nobody scaled the images yet.
    tilt_axis_angle_deg : float or None
        Where the header puts the tilt axis (SerialEM and IMOD: from +y towards −x); None: unknown.
    rotated_deg : float
        By how much the images were turned already.
    defocus_reference : {"center", "exit"}
    metadata : dict
    sections : Sections or None
        Where the images come from, when the reader knows.
    stacks : tuple of Path
        Else the files whose sections they are, in order: one, or one for each focus. Empty: none.
    averaged_px : int
        How many pixels of the files one is the mean of: counts add up.
    is_private : bool
        The images are a float32 array of nobody else: they may be scaled in place.
    refused : tuple of DataError
        What lies beside the images and does not fit them: raised where no angles are given.
    unusable : dict
        Field to why its value in the file cannot be: raised where none is given.
    fillers : ndarray or None
        `(n_tilt, n_focus)` bool: images that only repeat another, where the file says so.
    stored : callable or None
        Reads an image, by its number, in the type of its file; None: ``images`` are that.
    tilt_axis_from : Path or None
        The file that states the axis.
    """

    path: Path
    images: Any
    fields: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    counts: bool = False
    dark_field: bool = False
    normalisation: str | None = None
    tilt_axis_angle_deg: float | None = None
    rotated_deg: float = 0.0
    defocus_reference: str = "center"
    metadata: dict[str, Any] = field(default_factory=dict)
    sections: Sections | None = None
    stacks: tuple[Path, ...] = ()
    averaged_px: int = 1
    is_private: bool = False
    refused: tuple[DataError, ...] = ()
    unusable: dict[str, DataError] = field(default_factory=dict)
    fillers: np.ndarray | None = None
    stored: Callable[[int], np.ndarray] | None = None
    tilt_axis_from: Path | None = None

    def set_axis(self, angle: float | None, file: Path | None, refused: DataError | None) -> None:
        """Set the axis that ``file`` states, and refuse one that is not read; where one is, it is told."""
        self.tilt_axis_angle_deg, self.tilt_axis_from = angle, file
        if refused is not None and angle is None:
            self.unusable["tilt_axis_angle_deg"] = refused
        elif refused is not None and angle is not None:
            self.notes.append(axis_not_used(refused, angle, file or self.path))


def axis_not_used(error: DataError, angle: float, source: Path) -> str:
    """A note in place of the refusal of an axis, where ``source`` states one (degrees)."""
    return f"{Path(error.path or '').name}: {error.problem}; the {angle:g} degrees of {source.name} are taken"


def kept_notes(stated: Any, found: Sequence[str] = ()) -> list[str]:
    """Notes that a file holds, and those that were made on reading it; each once."""
    stored = [note for note in stated if isinstance(note, str)] if isinstance(stated, list | tuple) else []
    return list(dict.fromkeys((*stored, *found)))


def check_names(overrides: Mapping[str, Any]) -> None:
    """Raise :class:`ConfigError` for a keyword that no field or option has."""
    unknown = sorted(set(overrides) - set(FIELDS) - set(OPTIONS))
    if unknown:
        raise ConfigError(f"{', '.join(unknown)}: unknown. Known are {', '.join([*FIELDS, *OPTIONS])}")


@contextmanager
def blaming(given: Collection[str], path: Path | str) -> Iterator[None]:
    """Within it, an error about a field of a file is one about the keyword that gave the value.

    Parameters
    ----------
    given : collection of str
        Names of :data:`FIELDS` and :data:`OPTIONS` whose values stand in place of the file's.
    path : path-like
        The file.
    """
    try:
        yield
    except DataError as error:
        key = (error.field or "").split("/")[0].removeprefix("--")
        name = next((name for name in given if key in (name, name.removesuffix("_deg"), _key(name))), None)
        if name is None or str(error.path) != str(path):
            raise
        raise DataError(f"{error.problem} (for {Path(path).name})", field=name, remedy=error.remedy) from None


def _key(name: str) -> str:
    """What files call a field."""
    return FIELDS[name][0] if name in FIELDS else name


def missing(name: str, path: Path | str) -> DataError:
    """The error that asks for a field by name and says how to give it."""
    key, flag, what = FIELDS[name]
    return DataError(
        "is not in the file", path=path, field=key, remedy=f"Give {name}=... in Python or {flag} ({what})"
    )


def giveable(name: str, error: DataError) -> DataError:
    """An error about a field's value in a file, with how to give another."""
    _, flag, what = FIELDS[name]
    on_line = "" if name in ("shifts_px", "used") else f" or {flag}"
    remedy = f"Give {name}=... in Python{on_line} ({what})"
    return DataError(error.problem, path=error.path, field=error.field, remedy=remedy)


def as_axis(value: Any, path: Path | str, key: str) -> float:
    """The angle of a tilt axis, degrees: a finite number within ±360."""
    angle = as_number(value, path, key)
    if abs(angle) > MAX_AXIS_DEG:
        raise DataError(f"is {angle:g}, but lies within ±{MAX_AXIS_DEG:g} degrees", path=path, field=key)
    return angle


def as_number(value: Any, path: Path | str, key: str) -> float:
    """A finite float from a scalar or a one-element array."""
    try:
        array = np.asarray(value, dtype=np.float64)
        number = float(array.reshape(()) if array.ndim == 0 else array.reshape(-1)[0])
        if array.size != 1 or not np.isfinite(number):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise DataError("must be one finite number", path=path, field=key) from None
    return number
