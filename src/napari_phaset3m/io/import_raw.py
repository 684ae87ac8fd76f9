"""What an import plan states, as what a reader found: with images of its size, binned, cropped and turned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_phaset3m.io.import_config import ImportConfig, shift_added_px
from napari_phaset3m.io.import_movies import movie_metadata
from napari_phaset3m.io.import_plan import ImportPlan
from napari_phaset3m.io.import_shrink import shrunk_fields
from napari_phaset3m.io.orient import turn_aberrations, turn_shifts
from napari_phaset3m.io.raw import RawSeries


def planned_raw(
    plan: ImportPlan, images: np.ndarray, config: ImportConfig, angle: float, given: Mapping[str, Any]
) -> tuple[RawSeries, dict[str, Any]]:
    """What assembles to the series of a plan, and what of ``given`` is left to win over it.

    Parameters
    ----------
    plan : ImportPlan
    images : ndarray
        `(n_tilt, n_focus, ny, nx)`, binned and cropped.
    config : ImportConfig
    angle : float
        By which images are turned, degrees.
    given : mapping
        Fields and options of ``load_series``; those of the files' images follow bin, crop and turn.
    """
    raw = RawSeries(plan.source, images, dict(plan.fields), list(plan.notes), is_private=True)
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
    raw.defocus_reference, raw.rotated_deg = plan.defocus_reference, plan.rotated_deg + angle
    raw.dark_field, raw.counts, raw.normalisation = plan.dark_field, plan.counts, plan.normalisation
    raw.averaged_px, raw.fillers = config.bin**2, fillers(plan)
    raw.metadata = {"format": "import", **exposure_metadata(plan), **movie_metadata(plan)}
    if angle:
        raw.notes.append(f"images turned by {angle:g} degrees to bring the tilt axis along y")
    added = shift_added_px(plan.image_shape, config)
    stated = {**raw.fields, **{key: value for key, value in given.items() if value is not None}}
    shrunk = shrunk_fields(stated, (plan.n_tilt, plan.n_focus), added, config.bin)
    changed = _turned_fields(shrunk, stated, angle)
    raw.fields |= changed
    rest = {key: value for key, value in given.items() if key not in {"pixel_size_angstrom", *changed}}
    return raw, {**rest, "tilt_axis_angle_deg": 0.0}


def fillers(plan: ImportPlan) -> np.ndarray:
    """`(n_tilt, n_focus)` bool: images that only repeat another."""
    return np.array([entry.is_filler for entry in plan.images]).reshape(plan.n_tilt, plan.n_focus)


def _turned_fields(shrunk: dict[str, Any], stated: Mapping[str, Any], angle: float) -> dict[str, Any]:
    """Shifts and aberrations as those of images that were turned."""
    found = dict(shrunk)
    if "shifts_px" in found:
        found["shifts_px"] = turn_shifts(found["shifts_px"], angle)
    if angle and isinstance(stated.get("aberrations"), Mapping):
        found["aberrations"] = turn_aberrations(stated["aberrations"], angle)
    return found


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
