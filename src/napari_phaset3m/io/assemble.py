"""From what a reader found to a checked series: ask, order, normalise, turn."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from napari_phaset3m.core.aberrations import check_coefficients
from napari_phaset3m.core.plausible import doubtful_geometry, is_doubt
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.sections import Sections, turn_matrix
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.divide import divide, divide_values
from napari_phaset3m.io.idle_options import check_division, check_meaning
from napari_phaset3m.io.imod import read_angles
from napari_phaset3m.io.import_sections import stack_sections
from napari_phaset3m.io.intensity import scale_intensity
from napari_phaset3m.io.leave_out import none_left_out_note, used_images
from napari_phaset3m.io.orient import turn, turn_aberrations
from napari_phaset3m.io.raw import FIELDS, RawSeries, as_axis, as_number, blaming, check_names, missing
from napari_phaset3m.io.sidecar import not_used, read_mtf, without_angles

_SCALAR_NAMES = tuple(
    name
    for name in FIELDS
    if name.endswith(("_angstrom", "_ev", "_mrad", "_deg")) and name not in ("defocus_angstrom", "tilt_deg")
)
#: Images, the normalisation's name and metadata, from what was read, its fields, what is given, and notes.
_Scale = Callable[
    [RawSeries, Any, dict[str, Any], Mapping[str, Any], list[str]], tuple[np.ndarray, str, dict[str, Any]]
]


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
    return _assembled(raw, overrides, scale_intensity)


def check(raw: RawSeries, overrides: Mapping[str, Any] | None = None) -> None:
    """Refuse what :func:`assemble` would refuse, the values of the images apart: these are not looked at.

    Parameters and errors as there.
    """
    _assembled(raw, overrides, _unscaled)


def _unscaled(
    raw: RawSeries, images: Any, fields: dict[str, Any], given: Mapping[str, Any], notes: list[str]
) -> tuple[np.ndarray, str, dict[str, Any]]:
    """In place of scaled images: small ones."""
    return np.ones((*images.shape[:2], 1, 1), REAL), "given", {}


def _assembled(raw: RawSeries, overrides: Mapping[str, Any] | None, scale: _Scale) -> TiltFocalSeries:
    given = {key: value for key, value in dict(overrides or {}).items() if value is not None}
    check_names(given)
    if isinstance(given.get("aberrations"), Mapping):
        check_coefficients(given["aberrations"])
    with blaming(given, raw.path):
        return _checked(raw, given, scale)


def _checked(raw: RawSeries, given: Mapping[str, Any], scale: _Scale) -> TiltFocalSeries:
    notes = _notes(raw, given)
    fields = {**raw.fields, **{key: value for key, value in given.items() if key in FIELDS}}
    for name, read in (("tilt_deg", read_angles), ("mtf", read_mtf)):
        value = fields.get(name)
        if isinstance(value, str | os.PathLike):
            fields[name] = read(value)
    order = given.get("focus_order", "tilt-major")
    check_division(raw, given)
    check_meaning(raw, given, fields.get("defocus_angstrom") is not None)
    images = divide(raw, given.get("n_focus"), order)
    metadata_of_sections = divide_values(raw, fields, images.shape[:2], order)
    fields["tilt_deg"] = _angles(raw, fields.get("tilt_deg"), images.shape, notes)
    _check_numbers(raw, fields, given)
    notes += doubtful_geometry(
        fields["energy_ev"],
        fields.get("spherical_aberration_angstrom"),
        fields["pixel_size_angstrom"],
        fields["tilt_deg"].tolist(),
    )
    stated, unused = fields.get("used"), given.get("unused")
    fields["used"] = used_images(raw, stated, unused, images.shape[:2])
    notes += none_left_out_note(stated, unused, fields["used"])
    angle = as_axis(
        given.get("tilt_axis_angle_deg", raw.tilt_axis_angle_deg) or 0.0, raw.path, "tilt_axis_angle"
    )
    # An odd number of quarter turns makes the height the width.
    width = images.shape[-2] if round(angle / 90) % 2 else images.shape[-1]
    _check_foci(raw, fields.get("defocus_angstrom"), images.shape[1])
    _refer_defocus(raw, fields, given, width)
    intensity, normalisation, metadata = scale(raw, images, fields, given, notes)
    fields["sections"] = _sections(raw, images.shape[:2], order)
    if angle:
        intensity = _turn(intensity, fields, angle, notes)
    metadata |= {**metadata_of_sections, "source": str(raw.path), "notes": tuple(notes)}
    fields |= {"tilt_axis_angle_deg": raw.rotated_deg + angle, "normalisation": normalisation}
    return _build(raw, intensity, fields, metadata, given)


def _notes(raw: RawSeries, given: Mapping[str, Any]) -> list[str]:
    """Notes of the reader. What is given wins over what cannot be; without it that is refused."""
    has_angles = "tilt_deg" in given
    if raw.refused and not has_angles:
        raise raw.refused[0]
    for name, error in raw.unusable.items():
        if name not in given:
            raise error
    kept = [note for note in raw.notes if not is_doubt(note)]  # of before; values may be others now
    kept = without_angles(kept) if has_angles else kept
    return kept + [not_used(error) for error in raw.refused]


def _check_numbers(raw: RawSeries, fields: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Ask for pixel size and energy, and make every single-valued field a number."""
    for name in ("pixel_size_angstrom", "energy_ev"):
        if fields.get(name) is None:
            raise missing(name, raw.path)
    for name in _SCALAR_NAMES:
        if fields.get(name) is not None:
            fields[name] = as_number(fields[name], raw.path, FIELDS[name][0])
    aberrations = fields.get("aberrations")
    if aberrations is not None:
        if not isinstance(aberrations, Mapping):
            raise DataError("must be named numbers", path=raw.path, field="aberrations")
        fields["aberrations"] = {
            str(key): as_number(value, raw.path, f"aberrations/{key}") for key, value in aberrations.items()
        }
        try:
            check_coefficients(fields["aberrations"])
        except ConfigError as error:
            raise DataError(
                str(error).removeprefix("aberrations: "), path=raw.path, field="aberrations"
            ) from None
    pixel = fields["pixel_size_angstrom"]
    if pixel <= 0:
        raise DataError(
            f"is {pixel:g}, but must be positive",
            path=raw.path,
            field="pixel_size",
            remedy=None
            if "pixel_size_angstrom" in given
            else "Give pixel_size_angstrom=... in Python or --pixel-size (angstrom)",
        )


def _turn(images: np.ndarray, fields: dict[str, Any], angle: float, notes: list[str]) -> np.ndarray:
    """Turn images, shifts and azimuths alike: what was true of the file's images stays true."""
    turned, shifts = turn(images, angle, fields.get("shifts_px"))
    if fields["sections"] is not None:
        fields["sections"] = fields["sections"].moved(turn_matrix(angle))
    note = f"images turned by {angle:g} degrees to bring the tilt axis along y"
    if shifts is not None:
        fields["shifts_px"] = shifts
        note += ", shifts with them"
    aberrations = fields.get("aberrations")
    if aberrations:
        fields["aberrations"] = turn_aberrations(aberrations, angle)
        if fields["aberrations"] != aberrations:
            note += ", azimuths of aberrations with them"
    notes.append(note)
    return turned


def _sections(raw: RawSeries, shape: tuple[int, int], order: str) -> Sections | None:
    """Where the images come from: as the reader says, else the sections of whole stacks."""
    if raw.sections is not None or not raw.stacks:
        return raw.sections

    def divided(numbers: np.ndarray) -> np.ndarray:
        return numbers.reshape(shape) if order == "tilt-major" else numbers.reshape(shape[::-1]).T

    return stack_sections(raw.stacks, raw.images.shape, divided)


def _build(
    raw: RawSeries,
    images: np.ndarray,
    fields: dict[str, Any],
    metadata: dict[str, Any],
    given: Mapping[str, Any],
) -> TiltFocalSeries:
    known = {key: value for key, value in fields.items() if value is not None}
    try:
        return TiltFocalSeries(images=images, metadata=metadata, **known)
    except DataError as error:
        if error.path is not None:
            raise
        told = {key: f"Give it with {flag} ({what})" for key, flag, what in FIELDS.values()}
        told |= {FIELDS[name][0]: f"Give {FIELDS[name][2]}" for name in given if name in FIELDS}
        remedy = error.remedy or told.get(error.field or "")
        raise DataError(error.problem, path=raw.path, field=error.field, remedy=remedy) from None
    except (TypeError, ValueError) as error:
        raise DataError(str(error).splitlines()[0], path=raw.path) from None


def _angles(raw: RawSeries, angles: Any, shape: tuple[int, ...], notes: list[str]) -> np.ndarray:
    if angles is None:
        if shape[0] == 1:
            notes.append("tilt angle is not stated: one image, taken as 0 degrees")
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


def _check_foci(raw: RawSeries, defocus: Any, n_focus: int) -> None:
    """Refuse one value for several foci, which would make them all alike."""
    if defocus is not None and np.size(defocus) == 1 and n_focus > 1:
        raise DataError(
            f"1 value for {n_focus} foci", path=raw.path, field="defocus_values",
            remedy="Give one for each focus: --defocus 500,900 or defocus_angstrom=[500, 900]",
        )  # fmt: skip


def _refer_defocus(raw: RawSeries, fields: dict[str, Any], given: Mapping[str, Any], nx: int) -> None:
    """Refer defocus to the rotation centre. Given by keyword it is so already, unless stated."""
    defocus = fields.get("defocus_angstrom")
    if defocus is None:
        return
    default = "center" if "defocus_angstrom" in given else raw.defocus_reference
    reference = given.get("defocus_reference", default)
    try:
        values = np.asarray(defocus, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError("must be numbers, in angstrom", path=raw.path, field="defocus_values") from None
    if reference == "exit":
        values = values - nx * fields["pixel_size_angstrom"] / 2
    fields["defocus_angstrom"] = values
