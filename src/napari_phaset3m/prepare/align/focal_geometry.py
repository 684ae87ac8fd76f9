"""Rotation and magnification of the foci of a tilt against each other.

A change of the objective lens turns and magnifies the image a little, alike at every tilt. Each focus
is compared with what a phase object made of the others predicts for it (:mod:`.foci`), so that contrast
reversal is no obstacle (linear transfer functions take the second order of a strong object for a
magnification). The residual is explained by the derivatives of the prediction (:mod:`.geometry`): by the
shifts of each image and the defocus of each tilt, whose fringes would pass for a magnification, and by
rotation and magnification of each focus, all tilts together. Only differences between the foci can be
told: their means stay.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_phaset3m.prepare.align.foci import Foci, reconstructed
from napari_phaset3m.prepare.align.geometry import image_derivatives
from napari_phaset3m.prepare.align.likelihood import Rings, measure_rings
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.signal import taper
from napari_phaset3m.prepare.align.work import Share, Work, detail
from napari_phaset3m.prepare.events import Progress, drain
from napari_phaset3m.prepare.geometry import BinConfig, run_bin

#: Shorter side of the images that are compared, at most twice this, pixels.
WORK_PX = 192
TEXT = "Rotation and magnification between foci"
#: Rounds, and sweeps of each phase object: with 8 sweeps a magnification is found short by 0.25 %, with
#: 30 by 0.1 % (abTEM, Co3O4 of 24 angstrom, defoci 900 to 2700 angstrom).
ROUNDS, SWEEPS = 4, 30
#: Tilts at most that are looked at, the lowest: there the specimen is thinnest.
TILTS = 15
#: Fewer tilts do not tell how sure the geometry is: it is told, and nothing is resampled.
LEAST_TILTS = 3
#: A round that changes less ends the search (radians, ratio).
SETTLED = 5e-5
#: Faded out at the border, part of the radius: derivatives of what the frame cuts are wrong there.
FADED = 0.2
#: What is less than this many standard deviations (the scatter of the tilts does not tell what a wrong Cs
#: does at all of them), or moves a corner by less than so many pixels, is left: not worth a resampling.
LEAST_SIGMAS, LEAST_PX = 5.0, 0.1
#: Change of defocus for its derivative, and standard deviation of the stated ones' errors, angstrom.
RAISE, DEFOCUS_SIGMA = 10.0, 80.0
#: Farthest step of a shift in a round, pixels.
LARGEST_PX = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class FocalGeometry:
    """Differences between the foci, their mean over the foci 0.

    Attributes
    ----------
    turn_rad, scale : ndarray
        `(n_focus,)` rotation from +x towards +y and logarithm of the magnification, of the given image
        over the aligned one.
    turn_error_rad, scale_error : ndarray
        `(n_focus,)` one standard deviation, from the scatter of the tilts.
    """

    turn_rad: np.ndarray
    scale: np.ndarray
    turn_error_rad: np.ndarray
    scale_error: np.ndarray

    def told(self) -> dict[str, Any]:
        """Plain numbers for a record."""
        return {
            "rotation_deg": np.degrees(self.turn_rad).tolist(),
            "rotation_error_deg": _known(np.degrees(self.turn_error_rad)),
            "magnification": np.exp(self.scale).tolist(),
            "magnification_error": _known(self.scale_error),
        }

    def believed(self, image_shape: tuple[int, int]) -> FocalGeometry:
        """With 0 for all foci where none is surely turned (magnified), or none moves by a pixel's tenth."""
        corner = float(np.hypot(*image_shape)) / 2
        turned, scaled = (
            bool(((np.abs(value) > LEAST_SIGMAS * error) & (corner * np.abs(value) > LEAST_PX)).any())
            for value, error in ((self.turn_rad, self.turn_error_rad), (self.scale, self.scale_error))
        )
        return replace(self, turn_rad=turned * self.turn_rad, scale=scaled * self.scale)


def between_foci(work: Work, share: Share) -> Generator[Progress, None, Work]:
    """Turn and magnify the foci so that they agree; what they tell is in ``Work.told``.

    Nothing changes where the differences are no more than chance, or too small to be worth a resampling.
    """
    factor = max(1, work.short_side // WORK_PX)
    small, begun = _binned(work, factor), work.alignment
    found, change = None, None
    for number in range(ROUNDS):
        place = share.part(number, ROUNDS)
        foci = yield from _looked(small, 0.0, place.part(0, 2))
        if change is None:
            raised = yield from _looked(small, RAISE, place.part(1, 2))
            change = (raised.predicted - foci.predicted) / RAISE
        step = _Equations(foci, change).solve(_away(small, begun))
        found = step.geometry if found is None else _sum(found, step.geometry)
        small = replace(small, alignment=_taken(small, step))
        largest = max(np.abs(step.geometry.turn_rad).max(), np.abs(step.geometry.scale).max())
        if work.finishing or largest < SETTLED:
            break
    assert found is not None
    applied = found.believed(work.original.image_shape)
    turned, scaled = bool(applied.turn_rad.any()), bool(applied.scale.any())
    work = replace(work, told={**work.told, **found.told(), "turned": turned, "magnified": scaled})
    if not (turned or scaled):
        return work
    moved = (small.alignment.shifts_px - begun.shifts_px / factor) * factor
    alignment = begun.replace(
        shifts_px=begun.shifts_px + moved,
        rotation_deg=begun.rotation_deg + np.degrees(applied.turn_rad),
        magnification=begun.magnification * np.exp(applied.scale),
    )
    work = work.at(alignment)
    yield Progress("Foci turned and magnified", share.at(1.0), detail(work))
    return work


def _known(values: np.ndarray) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]


def _lowest(work: Work) -> np.ndarray:
    """The tilts that are reconstructed."""
    tilts = np.flatnonzero(work.alignment.used.sum(1) > 1)
    return np.sort(tilts[np.argsort(np.abs(work.alignment.tilt_deg[tilts]), kind="stable")[:TILTS]])


def _binned(work: Work, factor: int) -> Work:
    series = work.original
    if factor > 1:
        series = drain(run_bin(series, BinConfig(factor=factor))).series
    return replace(
        work, original=series, alignment=work.alignment.replace(shifts_px=work.alignment.shifts_px / factor)
    )


def _sum(old: FocalGeometry, step: FocalGeometry) -> FocalGeometry:
    return replace(step, turn_rad=old.turn_rad + step.turn_rad, scale=old.scale + step.scale)


def _looked(work: Work, raised_angstrom: float, share: Share) -> Generator[Progress, None, Foci]:
    """The foci and their predictions, with all defoci raised."""
    series = work.series
    assert series.defocus_angstrom is not None
    series = series.replace(defocus_angstrom=series.defocus_angstrom + raised_angstrom)
    found = yield from reconstructed(series, work.config, _lowest(work), (SWEEPS, TEXT), share)
    return found


def _away(work: Work, start: Alignment) -> np.ndarray:
    assert work.alignment.defocus_angstrom is not None and start.defocus_angstrom is not None
    return np.asarray((work.alignment.defocus_angstrom - start.defocus_angstrom).mean(1))


def _taken(work: Work, step: _Step) -> Alignment:
    """The alignment after a step; the mean shift of a tilt's images stays."""
    old = work.alignment
    assert old.defocus_angstrom is not None
    aligned = work.aligned_shifts_px + step.shifts_px
    turned = old.replace(
        rotation_deg=old.rotation_deg + np.degrees(step.geometry.turn_rad),
        magnification=old.magnification * np.exp(step.geometry.scale),
        defocus_angstrom=old.defocus_angstrom + step.defocus[:, None],
    )
    given = np.einsum("tfij,tfj->tfi", turned.matrices(), aligned[..., ::-1])[..., ::-1]
    return turned.replace(shifts_px=given)


class _Equations:
    """Normal equations of each tilt: shifts of its images and their common defocus; rotations and scales.

    Parameters
    ----------
    foci : Foci
    by_defocus : ndarray
        `(n_tilt, n_focus, nx, ny)` change of the predictions with the defoci of a tilt, 1/angstrom.
    """

    def __init__(self, foci: Foci, by_defocus: np.ndarray) -> None:
        self._foci, self._by_defocus = foci, by_defocus
        self._used = foci.used
        n_tilt, self._n = foci.used.shape
        self._window = taper((foci.grid.nx, foci.grid.ny), FADED)
        self._free = 2 * self._n + 1
        size = self._free + 2 * self._n
        self._matrix, self._right = np.zeros((n_tilt, size, size)), np.zeros((n_tilt, size))
        for focus in range(self._n):
            tilts = np.flatnonzero(foci.used[:, focus])
            if tilts.size:
                rings = measure_rings(foci.grid, foci.measured[tilts, focus], foci.predicted[tilts, focus])
                for tilt in map(int, tilts):
                    self._add(tilt, focus, rings)

    def _add(self, tilt: int, focus: int, rings: Rings) -> None:
        foci, gain, noise = self._foci, rings.gain[rings.index], rings.noise[rings.index]
        explained = gain * foci.predicted[tilt, focus]
        rest = np.fft.ifft2(foci.measured[tilt, focus] - explained).real
        own = image_derivatives(foci.grid, np.fft.ifft2(explained).real, foci.shifts_px[tilt, focus])
        by_defocus = np.fft.ifft2(gain * self._by_defocus[tilt, focus]).real
        images = np.stack([own[0], own[1], by_defocus, own[2], own[3]]) * self._window
        columns = np.fft.fft2(images).reshape(5, -1)
        weighted = columns.conj() / noise.ravel()
        geometry = self._free + 2 * focus
        where = np.array([2 * focus, 2 * focus + 1, self._free - 1, geometry, geometry + 1])
        self._matrix[tilt][np.ix_(where, where)] += (weighted @ columns.T).real
        self._right[tilt, where] += (weighted @ np.fft.fft2(rest * self._window).ravel()).real

    def solve(self, away_angstrom: np.ndarray) -> _Step:
        """The step; ``away_angstrom`` is how far the defocus of each tilt is from the stated one."""
        free, tilts = self._free, np.flatnonzero(self._used.any(1))
        matrix, right = self._matrix.copy(), self._right.copy()
        matrix[:, free - 1, free - 1] += 1 / DEFOCUS_SIGMA**2
        right[:, free - 1] -= away_angstrom / DEFOCUS_SIGMA**2
        # Images that are not used have empty rows.
        index = np.arange(matrix.shape[1])
        matrix[:, index, index] += np.where(matrix[:, index, index] > 0, 0.0, 1.0)
        inverse = np.linalg.inv(matrix[:, :free, :free])
        coupling = matrix[:, free:, :free] @ inverse
        reduced = matrix[:, free:, free:] - coupling @ matrix[:, :free, free:]
        scores = right[:, free:] - np.einsum("nij,nj->ni", coupling, right[:, :free])
        known = np.repeat(self._used.any(0), 2)
        total = np.linalg.inv(reduced[tilts].sum(0) + np.diag(np.where(known, 0.0, 1.0)))
        values = total @ scores[tilts].sum(0)
        # From the scatter of the tilts: what the model lacks counts along with the noise.
        left = scores[tilts] - reduced[tilts] @ values
        spread = total @ (left.T @ left) @ total * tilts.size / max(tilts.size - 1, 1)
        errors = np.sqrt(np.diag(spread)) if tilts.size >= LEAST_TILTS else np.full(len(values), np.inf)
        rest = right[:, :free] - np.einsum("nij,j->ni", matrix[:, :free, free:], values)
        others = np.einsum("nij,nj->ni", inverse, rest)
        # All foci move at once: each by its part, or two of them would change places. A phase object
        # takes a turn over from the images that it is made of, but hardly a magnification.
        part = 1 - 1 / max(int(self._used.any(0).sum()), 1)
        parts = np.tile((part, 1.5 * part), self._n)
        return _Step.of(parts * values, parts * np.where(known, errors, np.inf), part * others, self._used)


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """Change of the geometry, of the shifts `(n_tilt, n_focus, 2)`, and of each tilt's defocus (angstrom)."""

    geometry: FocalGeometry
    shifts_px: np.ndarray
    defocus: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, errors: np.ndarray, others: np.ndarray, used: np.ndarray) -> _Step:
        """Means over the foci taken off: of the geometry, and of the shifts of a tilt."""
        pairs, deviations = values.reshape(-1, 2).copy(), errors.reshape(-1, 2)
        known = used.any(0)
        pairs[known] -= pairs[known].mean(0)
        shifts = others[:, :-1].reshape(*used.shape, 2) * used[..., None]
        count = np.maximum(used.sum(1), 1)[:, None, None]
        shifts = shifts - used[..., None] * shifts.sum(1, keepdims=True) / count
        found = FocalGeometry(pairs[:, 0], pairs[:, 1], deviations[:, 0], deviations[:, 1])
        return cls(found, np.clip(shifts, -LARGEST_PX, LARGEST_PX), others[:, -1] * used.any(1))
