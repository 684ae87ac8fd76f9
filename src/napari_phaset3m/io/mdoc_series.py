"""What an mdoc says about a series as a whole: angles, order of exposure, doses, defoci, pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from napari_phaset3m.io.mdoc import Mdoc, MdocImage
from napari_phaset3m.io.mdoc_commas import title_axis_unread, unread

#: Ends what is told of an axis that only follows from a RotationAngle.
NO_TITLE = "no title states it"


@dataclass(frozen=True, eq=False)
class MdocSeries:
    """Values of all images of an mdoc, in the order of the stack; None where some image has none.

    Attributes
    ----------
    images : tuple of MdocImage
    tilt_deg, defocus_angstrom, dose, prior_dose : ndarray or None
        `(n,)`: degrees; angstrom, underfocus positive; e/Å² of each image, and before it.
    exposure_order : ndarray
        `(n,)`: 0 for the image that was taken first.
    pixel_size_angstrom, energy_ev, tilt_axis_angle_deg : float or None
    is_axis_stated : bool
        The axis stands in a title; else it follows from ``RotationAngle``.
    axis_unread : str
        Why the axis that a title states is not read.
    is_dose_stated : bool
        It is the dose on the specimen; else what reached the camera.
    is_order_stated : bool
        By times or doses; else the order of sections is assumed.
    notes : list of str
        Where values come from.
    questions : list of str
        What a person should confirm.
    """

    images: tuple[MdocImage, ...]
    tilt_deg: np.ndarray | None
    defocus_angstrom: np.ndarray | None
    dose: np.ndarray | None
    prior_dose: np.ndarray | None
    exposure_order: np.ndarray
    pixel_size_angstrom: float | None
    energy_ev: float | None
    tilt_axis_angle_deg: float | None
    is_axis_stated: bool = False
    axis_unread: str = ""
    is_dose_stated: bool = False
    is_order_stated: bool = False
    notes: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)


def mdoc_series(mdoc: Mdoc) -> MdocSeries:
    """Collect what an mdoc says about its series.

    The order of exposure is that of ``DateTime``, else of ``PriorRecordDose``; the numbers of sections only
    count when neither is there, because sorted stacks are numbered by tilt. Doses are ``ExposureDose``, else
    ``FrameDosesAndNumber``, else ``DoseRate`` times ``ExposureTime``, which is a question.
    """
    notes: list[str] = []
    questions = unread(mdoc)
    images = in_stack_order(mdoc.images)
    order = _exposure_order(images, notes, questions)
    dose = _dose(mdoc, images, notes, questions)
    prior = _all(image.prior_dose for image in images)
    if dose is not None and (prior is None or (len(images) > 1 and not prior.any())):
        # Dose of Trial and Focus shots is not in it, so a stated one is better.
        prior = np.empty(len(images))
        ranked = np.argsort(order)
        prior[ranked] = np.concatenate(([0.0], np.cumsum(dose[ranked])[:-1]))
    return MdocSeries(
        images=images,
        tilt_deg=_all(image.tilt_deg for image in images),
        defocus_angstrom=_defocus(images, notes, questions),
        dose=dose,
        prior_dose=prior,
        exposure_order=order,
        pixel_size_angstrom=mdoc.pixel_size_angstrom,
        energy_ev=mdoc.energy_ev,
        tilt_axis_angle_deg=_axis(mdoc, notes, questions),
        is_dose_stated=bool(images) and all(image.stated_dose is not None for image in images),
        is_order_stated=len(images) == 1 or any("order of exposure" in note for note in notes),
        is_axis_stated=mdoc.title_axis_deg is not None,
        axis_unread=title_axis_unread(mdoc),
        notes=notes,
        questions=questions,
    )


def in_stack_order(images: Sequence[MdocImage]) -> tuple[MdocImage, ...]:
    """Sections by their Z when all have one, and each once; else in the file's order."""
    numbers = [image.z for image in images]
    if any(number is None for number in numbers) or len(set(numbers)) != len(numbers):
        return tuple(images)
    return tuple(sorted(images, key=lambda image: image.z or 0))


def _all(values: object) -> np.ndarray | None:
    known = list(values)  # type: ignore[call-overload]
    if not known or any(value is None for value in known):
        return None
    return np.array(known, dtype=np.float64)


def _lacking(values: Sequence[float | None]) -> tuple[str, str]:
    """Which sections lack what others state, and "state" as it follows; empty where all or none do."""
    without = [number for number, value in enumerate(values) if value is None]
    if not 0 < len(without) < len(values):
        return "", ""
    more = f" and {len(without) - 1} more" if len(without) > 1 else ""
    return f"section {without[0]}{more} of {len(values)} (from 0)", "state" if more else "states"


def _ask_of_some(field: str, stated: Sequence[tuple[str, Sequence[float | None]]]) -> list[str]:
    """The question of the first quantity that some images state and others do not; none is then taken."""
    for what, values in stated:
        where, verb = _lacking(values)
        if where:
            return [f"{field}: {where} {verb} no {what}, so no section's {what} is taken"]
    return []


def _exposure_order(images: Sequence[MdocImage], notes: list[str], questions: list[str]) -> np.ndarray:
    """Rank of each image in time, from 0."""
    n = len(images)
    times = [image.time for image in images]
    prior = _all(image.prior_dose for image in images)
    rises = prior is not None and len(np.unique(prior)) == n
    if n and all(time is not None for time in times) and len(set(times)) > n // 2:
        # Within one second, the dose before decides, then the order in the file.
        keys = [(time, prior[k] if prior is not None else 0.0, k) for k, time in enumerate(times)]
        ranked = sorted(range(n), key=lambda k: keys[k])
        notes.append("order of exposure from DateTime")
    elif rises and prior is not None:
        ranked = [int(k) for k in np.argsort(prior, kind="stable")]
        notes.append("order of exposure from PriorRecordDose")
    else:
        ranked = list(range(n))
        if n > 1:
            questions.append(
                "order of exposure: neither DateTime nor PriorRecordDose, taken as that of sections"
            )
    order = np.empty(n, dtype=int)
    order[ranked] = np.arange(n)
    return order


def _dose(
    mdoc: Mdoc, images: Sequence[MdocImage], notes: list[str], questions: list[str]
) -> np.ndarray | None:
    each = [image.stated_dose for image in images]
    stated = _all(each)
    if stated is not None:
        notes.append("dose from ExposureDose (e/Å² on the specimen)")
        return stated
    pixel, binning = mdoc.pixel_size_angstrom, mdoc.binning
    unbinned = pixel / binning if pixel and binning else None
    camera = [image.camera_dose(unbinned) for image in images]
    at_camera = _all(camera)
    if at_camera is None:
        questions += _ask_of_some("dose", [("dose", each), ("DoseRate and ExposureTime", camera)])
        return None
    where, _ = _lacking(each)
    questions.append(
        f"dose: estimated as DoseRate x ExposureTime, {at_camera.min():.3g} to {at_camera.max():.3g} "
        "e/Å² at the camera, behind the specimen; ExposureDose is "
        + (f"missing in {where}" if where else "not calibrated")
    )
    return at_camera


def _defocus(images: Sequence[MdocImage], notes: list[str], questions: list[str]) -> np.ndarray | None:
    targets = [image.target_defocus_angstrom for image in images]
    fits = [image.measured_defocus_angstrom for image in images]
    target, fitted = _all(targets), _all(fits)
    if fitted is not None and fitted.all():
        notes.append("defocus from CtfFind in the mdoc (SerialEM: µm, underfocus negative)")
        return fitted
    if target is not None and target.any():
        where, _ = _lacking(fits)
        lacking = f"; CtfFind is missing in {where}" if where else ""
        notes.append(f"defocus is nominal, from TargetDefocus (SerialEM: µm, underfocus negative){lacking}")
        return target
    questions += _ask_of_some("defocus", [("CtfFind", fits), ("TargetDefocus", targets)])
    lens = _all(image.lens_defocus_angstrom for image in images)
    if lens is not None and lens.any():
        questions.append(
            "defocus: only the lens reading is there, whose zero is arbitrary; it orders foci of one tilt "
            "and is not taken as their defocus"
        )
    return None


def _axis(mdoc: Mdoc, notes: list[str], questions: list[str]) -> float | None:
    title, rotation = mdoc.title_axis_deg, mdoc.rotation_axis_deg
    if title is None:
        if rotation is not None:
            questions.append(f"tilt axis: {rotation:g} degrees, from RotationAngle - 90; {NO_TITLE}")
        return rotation
    if rotation is not None:
        apart = abs((title - rotation + 180) % 360 - 180)
        if apart > 2:
            questions.append(
                f"tilt axis: {title:g} degrees in the title (used), {rotation:g} from RotationAngle"
            )
    notes.append(f"tilt axis at {title:g} degrees from the title")
    return title
