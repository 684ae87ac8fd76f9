"""From images to the line projections that linear methods reconstruct."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.contrast import combine, contrast_transfer, unshifted
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.reconstruct.problem import Problem

_DARKEST = 1e-3


def projections(problem: Problem, config: ReconstructionConfig) -> np.ndarray:
    """`(n_tilt, nx, ny)` projections: the foci of each tilt combined, shifts undone.

    Parameters
    ----------
    problem : Problem
        A tilt that is held out as a whole gets the projection of its held-out images.
    config : ReconstructionConfig
        ``projection`` (``1 - I`` or ``-ln I``), ``ctf_correction``, ``wiener_snr`` and
        ``amplitude_contrast`` are used.
    """
    found = np.empty((len(problem.images), *problem.grid.shape), REAL)
    for tilt, images in enumerate(problem.images):
        weight = problem.weight[tilt]
        if not weight.any():
            held = problem.held_out[tilt]
            weight = held / max(1, held.sum())
        if config.projection == "log":
            values = -np.log(np.maximum(images, REAL(_DARKEST)))
        else:
            values = 1 - images
        found[tilt] = _one_tilt(problem, config, tilt, values, weight)
    return found


def _one_tilt(
    problem: Problem, config: ReconstructionConfig, tilt: int, values: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    chosen = np.flatnonzero(weight)
    if config.ctf_correction == "none" and not problem.shifts_px[tilt, chosen].any():
        return np.asarray(np.einsum("f,fxy->xy", np.asarray(weight, REAL), values))
    spectra = [unshifted(problem.grid, values[f], problem.shifts_px[tilt, f]) for f in chosen]
    transfers = []
    if config.ctf_correction != "none":
        assert problem.microscope is not None and problem.defocus_angstrom is not None
        transfers = [
            contrast_transfer(
                problem.grid,
                problem.microscope,
                float(problem.defocus_angstrom[tilt, f]),
                config.amplitude_contrast,
            )
            for f in chosen
        ]
    weights = [float(weight[f]) for f in chosen]
    if not weights:
        return np.zeros(problem.grid.shape, REAL)
    return combine(spectra, weights, transfers, config.ctf_correction, config.wiener_snr)
