"""From the fit of a group to the table: numbers, errors and whether to believe them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.phase_plate import plate_deg
from napari_phaset3m.prepare.ctf.config import CtfConfig
from napari_phaset3m.prepare.ctf.curves import RingCurve, fitted_range, ring_curve
from napari_phaset3m.prepare.ctf.group import GroupFit
from napari_phaset3m.prepare.ctf.model import CtfValues
from napari_phaset3m.prepare.ctf.observe import ENVELOPE_TERMS, Observation
from napari_phaset3m.prepare.ctf.refine import JOINED, Explained, Fit
from napari_phaset3m.prepare.ctf.result import ImageCtf

#: What rings must show to be believed: standard deviations of the matched filter (noise alone reaches 5 in a
#: search over some ten thousand candidates), rings, and correlation with the fit.
LEAST_SIGNIFICANCE, LEAST_RINGS, LEAST_SCORE = 6.0, 1.5, 0.25
#: Foci fitted together must explain this part of what each explains by itself.
LEAST_AGREEMENT = 0.5
#: Fourier pixels between two rings where they are still fitted: of fewer, a ring holds too few samples to
#: tell it from the specimen's own spectrum.
LEAST_APART = 1.0
#: Where rings explain the spectrum, what is left is not much more than noise; a single crystalline particle's
#: own spectrum leaves ten times that.
MOST_UNEXPLAINED = 6.0
_TOGETHER = "rings run together in so small a field"


def image_results(found: GroupFit, tilt: int, config: CtfConfig, microscope: Microscope) -> list[ImageCtf]:
    """One row of the table for each image of a group."""
    fit, values = found.fit, found.fit.values
    # Each further spectrum brings an envelope of its own, which fits some noise.
    free = 1.5 * ENVELOPE_TERMS * (sum(map(len, found.found.values())) - 1)
    significance = float(np.sqrt(max(fit.gain / JOINED - free, 0.0)))
    c12_error, phi12_error = astigmatism_errors(fit)
    rows = []
    group_note = _group_doubt(found, significance)
    for focus, items in found.found.items():
        curve = ring_curve(items, values, microscope, config.amplitude_contrast)
        last, rings, score = fitted_range(curve)
        apart = _apart(curve, last, items[0], values, microscope)
        note = group_note or _doubt(rings, score, apart)
        rows.append(
            ImageCtf(
                tilt,
                focus,
                method="thon",
                defocus_angstrom=values.defocus_angstrom + items[0].focus_step_angstrom * values.step_scale,
                defocus_error_angstrom=fit.errors["defocus_angstrom"],
                c12_angstrom=values.c12_angstrom,
                phi12_rad=values.phi12_rad,
                c12_error_angstrom=c12_error,
                phi12_error_rad=phi12_error,
                phase_shift_deg=plate_deg(values.phase_shift_rad),
                phase_shift_error_deg=float(np.degrees(fit.errors.get("phase_shift_rad", np.nan))),
                confidence=0.0 if note else float(np.clip(score, 0, 1)),
                score=score,
                significance=significance,
                resolution_angstrom=float(1 / curve.frequency_per_angstrom[last])
                if last >= 0
                else float("nan"),
                rings=rings,
                note=note,
                curve=curve,
            )
        )
    return _lifted(rows)


def _apart(
    curve: RingCurve, last: int, item: Observation, values: CtfValues, microscope: Microscope
) -> float:
    """Fourier pixels between rings at the last frequency fitted."""
    if last < 1:
        return 0.0
    k = float(curve.frequency_per_angstrom[last])
    wavelength = microscope.wavelength_angstrom
    defocus = values.defocus_angstrom + item.focus_step_angstrom * values.step_scale
    # d gamma / d k; rings of sin^2 are pi of gamma apart.
    turn = (
        2
        * np.pi
        * wavelength
        * k
        * (defocus - microscope.spherical_aberration_angstrom * (wavelength * k) ** 2)
    )
    grid = item.spectrum.grid
    return float(np.pi / max(abs(turn), 1e-12) * grid.tile * grid.pixel_angstrom)


def _lifted(rows: list[ImageCtf]) -> list[ImageCtf]:
    """A group is believed as one (its foci share what was fitted), unless rings run together in one."""
    if any(row.note.startswith(_TOGETHER) for row in rows):
        return [replace(row, confidence=0.0, note=row.note or _TOGETHER) for row in rows]
    if sum(row.confidence > 0 for row in rows) < 0.5 * len(rows):
        return [
            replace(row, confidence=0.0, note=row.note or "the other foci cannot be trusted") for row in rows
        ]
    return [row if row.confidence > 0 else replace(row, confidence=max(row.score, 0.01)) for row in rows]


def _group_doubt(found: GroupFit, significance: float) -> str:
    values = found.fit.values
    left = float(
        np.median([Explained(i).unexplained(values) for items in found.found.values() for i in items])
    )
    if left > MOST_UNEXPLAINED:
        return f"the spectrum has other structure than rings ({left:.0f} times the noise is left)"
    # Structure that is left makes false rings as noise does.
    if significance / np.sqrt(max(left, 1.0)) < LEAST_SIGNIFICANCE:
        return f"rings are not above the noise ({significance:.1f} standard deviations)"
    if found.separate_gain is not None and found.fit.gain < LEAST_AGREEMENT * found.separate_gain:
        return "the foci do not agree with their stated steps"
    return ""


def _doubt(rings: float, score: float, apart: float) -> str:
    if rings < LEAST_RINGS:
        return f"only {rings:.1f} rings are fitted"
    if apart < LEAST_APART:
        return f"{_TOGETHER}: {apart:.1f} Fourier pixels apart where the fit ends"
    if score < LEAST_SCORE:
        return f"the fitted curve correlates by {score:.2f} only"
    return ""


def astigmatism_errors(fit: Fit) -> tuple[float, float]:
    """One standard deviation of C12 (angstrom) and phi12 (rad), from those of its components."""
    if "c12_cos" not in fit.names:
        return float("nan"), float("nan")
    first = fit.names.index("c12_cos")
    covariance = fit.covariance[first : first + 2, first : first + 2]
    size = fit.values.c12_angstrom
    if size <= 0 or not np.isfinite(covariance).all():
        return float("nan"), float("nan")
    along = np.array([fit.values.c12_cos, fit.values.c12_sin]) / size
    across = np.array([-along[1], along[0]])
    c12 = float(np.sqrt(max(along @ covariance @ along, 0)))
    angle = float(np.sqrt(max(across @ covariance @ across, 0))) / (2 * size)
    return c12, min(angle, float(np.pi / np.sqrt(12)))
