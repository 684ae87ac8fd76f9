"""Tilt angle, in-plane rotation and magnification of each tilt by Gauss-Newton steps.

The residual of the amplitudes of images that the reference has not seen is explained by their
derivatives. With x, y in the image from the image's own centre (its shift), a turn r (from +x
towards +y) and a magnification m act on the image alone::

    dA/dr = y dA/dx - x dA/dy,    dA/dm = -(x dA/dx + y dA/dy),    dA/ds = -dA/d(x, y)

The derivative by the tilt angle goes through the multislice model. Shifts are free at the same time,
so that a turn about another point than the centre is no obstacle. Gaussian priors keep what the
images do not tell where it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from napari_phaset3m.core.grid import Grid
from napari_phaset3m.prepare.align.likelihood import Rings, measure_rings
from napari_phaset3m.prepare.align.reference import Reference
from napari_phaset3m.reconstruct.methods.multislice import MultisliceMethod

#: Standard deviations of tilt angle and rotation (radians) and magnification, about where they began.
SIGMAS = np.array([np.radians(0.5), np.radians(1.0), 0.01])
#: Finest frequency that is looked at, part of the volume's Nyquist: beyond, linear interpolation of the
#: rotated volume leaves errors that pass for a tilt (0.23 degrees without the limit, 0.18 with it, in
#: simulated noiseless images of Co3O4 at their true tilts).
BAND = 0.5
#: Step of the finite difference by the tilt angle, radians.
TILT_STEP = 1e-3


@dataclass(slots=True)
class GeometryStep:
    """Changes of each tilt's geometry; what is not refined stays 0.

    Attributes
    ----------
    tilt_deg, rotation_deg, magnification : ndarray
        `(n_tilt,)`; the magnification is to be multiplied with ``1 + change``.
    shifts_px : ndarray
        `(n_tilt, n_focus, 2)` (y, x) pixels of the series.
    shift_error_px : ndarray
        `(n_tilt, n_focus, 2)` one standard deviation, NaN where not looked at.
    """

    tilt_deg: np.ndarray
    rotation_deg: np.ndarray
    magnification: np.ndarray
    shifts_px: np.ndarray
    shift_error_px: np.ndarray

    @classmethod
    def none(cls, n_tilt: int, n_focus: int) -> GeometryStep:
        """No change."""
        shifts = np.zeros((n_tilt, n_focus, 2))
        return cls(np.zeros(n_tilt), np.zeros(n_tilt), np.zeros(n_tilt), shifts, np.full_like(shifts, np.nan))


def image_derivatives(grid: Grid, image: np.ndarray, centre_px: np.ndarray) -> np.ndarray:
    """Derivatives of an image by its shift (y, x; pixels), rotation (radians) and magnification.

    Parameters
    ----------
    image : ndarray
        `(nx, ny)`, taken as periodic.
    centre_px : ndarray
        `(2,)` (y, x) from the image centre: about what it is turned and magnified.

    Returns
    -------
    ndarray
        `(4, nx, ny)`.
    """
    spectrum = np.fft.fft2(image)
    step = 2j * np.pi * grid.pixel_size_angstrom
    along_x = np.fft.ifft2(step * grid.kx[:, None] * spectrum).real
    along_y = np.fft.ifft2(step * grid.ky[None, :] * spectrum).real
    x = (np.arange(grid.nx) - (grid.nx - 1) / 2 - centre_px[1])[:, None]
    y = (np.arange(grid.ny) - (grid.ny - 1) / 2 - centre_px[0])[None, :]
    return np.stack([-along_y, -along_x, y * along_x - x * along_y, -(x * along_x + y * along_y)])


def amplitude_rings(reference: Reference, held: np.ndarray) -> Rings:
    """How far a reference predicts the amplitudes of the images that it has not seen."""
    pairs = [[a[held[tilt]] for a in reference.amplitudes(int(tilt))] for tilt in np.flatnonzero(held.any(1))]
    measured, predicted = (np.fft.fft2(np.concatenate(part)) for part in zip(*pairs, strict=True))
    rings = measure_rings(reference.grid, measured, predicted)
    outside = np.arange(rings.noise.size) > BAND * max(reference.grid.shape) / 2
    return replace(rings, noise=np.where(outside, np.inf, rings.noise))


class GeometryEquations:
    """Gathers normal equations of each tilt: shifts of its images, tilt, rotation and magnification.

    Parameters
    ----------
    shape : tuple of int
        (n_tilt, n_focus).
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        size = 2 * shape[1] + 3
        self.matrix = np.zeros((shape[0], size, size))
        self.right = np.zeros((shape[0], size))

    def add(self, reference: Reference, tilt: int, foci: np.ndarray, rings: Rings) -> None:
        """Take in images that the reference has not seen; shifts in pixels of the series."""
        gain, noise = rings.gain[rings.index], rings.noise[rings.index]
        measured, predicted = reference.amplitudes(tilt)
        rest = np.fft.fft2(measured[foci]) - gain * np.fft.fft2(predicted[foci])
        columns = np.fft.fft2(_columns(reference, tilt, foci, predicted)) * gain
        n = 2 * len(foci)
        columns[:n] /= reference.scale
        flat = columns.reshape(len(columns), -1)
        weighted = (columns / noise).reshape(flat.shape)
        shifts = [2 * f + axis for f in foci for axis in range(2)]
        where = np.array([*shifts, *range(2 * self.shape[1], self.right.shape[1])])
        self.matrix[tilt][np.ix_(where, where)] += (weighted.conj() @ flat.T).real
        self.right[tilt, where] += (weighted.conj() @ rest.ravel()).real

    def solve(self, asked: np.ndarray, away: np.ndarray) -> GeometryStep:
        """The damped step.

        Parameters
        ----------
        asked : ndarray
            `(3,)` bool: tilt, rotation and magnification are refined.
        away : ndarray
            `(n_tilt, 3)` how far they already are from where the priors have them (radians,
            radians, ratio).
        """
        step, n = GeometryStep.none(*self.shape), 2 * self.shape[1]
        trust = 1 / self.dispersion(asked)
        for tilt, (matrix, right) in enumerate(zip(trust * self.matrix, trust * self.right, strict=True)):
            kept = np.concatenate([np.diag(matrix)[:n] > 0, asked & bool(matrix.any())])
            if not kept.any():
                continue
            inverse = np.concatenate([np.zeros(n), 1 / SIGMAS**2])
            pull = inverse * np.concatenate([np.zeros(n), away[tilt]])
            part = matrix[np.ix_(kept, kept)] + np.diag(inverse[kept])
            part += 1e-9 * np.diag(np.diag(part))
            found, error = np.zeros(kept.size), np.full(kept.size, np.nan)
            found[kept] = np.linalg.solve(part, (right - pull)[kept])
            error[kept] = np.sqrt(np.diag(np.linalg.inv(part)))
            step.shifts_px[tilt] = found[:n].reshape(-1, 2)
            step.shift_error_px[tilt] = error[:n].reshape(-1, 2)
            step.tilt_deg[tilt], step.rotation_deg[tilt] = np.degrees(found[n : n + 2])
            step.magnification[tilt] = found[n + 2]
        return step

    def dispersion(self, asked: np.ndarray) -> float:
        """Scatter of the scores over what the noise of the images explains, at least 1.

        Noise and errors of the reference are not white: without this they would pass for turns.
        """
        total, count = 0.0, 0
        for matrix, right in zip(self.matrix, self.right, strict=True):
            kept = (np.diag(matrix) > 0) & np.concatenate([np.ones(2 * self.shape[1], bool), asked])
            if kept.any():
                part = matrix[np.ix_(kept, kept)]
                total += float(right[kept] @ np.linalg.lstsq(part, right[kept], rcond=1e-12)[0])
                count += int(kept.sum())
        return max(1.0, total / max(count, 1))


def _columns(reference: Reference, tilt: int, foci: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """`(2 n + 3, n, nx, ny)`: shifts of each of n images, then tilt, rotation, magnification."""
    problem, n = reference.stage.problem, len(foci)
    columns = np.zeros((2 * n + 3, n, *reference.grid.shape))
    for i, focus in enumerate(foci):
        own = image_derivatives(reference.grid, predicted[focus], problem.shifts_px[tilt, focus])
        columns[2 * i, i], columns[2 * i + 1, i] = own[0], own[1]
        columns[2 * n + 1, i], columns[2 * n + 2, i] = own[2], own[3]
    method = cast(MultisliceMethod, reference.stage.method)
    pair = [
        np.sqrt(np.maximum(method.predict_tilted(reference.volume, tilt, s), 0))
        for s in (TILT_STEP, -TILT_STEP)
    ]
    columns[2 * n] = (pair[0] - pair[1])[foci] / (2 * TILT_STEP)
    return np.asarray(columns * problem.pixel_weight)
