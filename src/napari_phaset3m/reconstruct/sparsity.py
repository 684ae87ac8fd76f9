"""How strong the L1 penalty on the potential is: as strong as the noise in its gradient.

Minimised is the misfit plus ``mu * sum |u|`` over the voxels' phases u, by a proximal
gradient step (Daubechies, Defrise & De Mol, Commun. Pure Appl. Math. 57 (2004) 1413). As
in wavelet shrinkage (Donoho, IEEE Trans. Inf. Theory 41 (1995) 613) the unit of mu is
the standard deviation that noise alone gives the gradient: a voxel must be wanted by the
images more than noise would want it. Sweeps then converge instead of fitting noise.
"""

from __future__ import annotations

from math import erf, pi, sqrt

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.reconstruct.problem import Problem, sparsity

#: Misfit of amplitudes that no dose explains (optics, sampling, wrap-around): the floor.
MODEL_ERROR = 0.005
#: Standard deviation of one tilt's gradient for amplitude noise of 1: the root mean square
#: of a CTF, sin(chi).
_RESPONSE = 0.5**0.5


def amplitude_noise(problem: Problem) -> float:
    """Standard deviation of a pixel's amplitude (vacuum = 1): counting, and what no dose explains."""
    counting = 0.0
    if problem.electrons_per_pixel is not None:
        counting = 1 / (4 * problem.electrons_per_pixel)
    return sqrt(counting + MODEL_ERROR**2)


def noise_passed(sigma_voxels: float) -> float:
    """Share of the gradient's noise that passes the atomic basis's Gaussian filter.

    The noise is white along the tilt axis; across it projections overlap and leave
    1/k. For both the mean of ``exp(-4 pi^2 sigma^2 k^2)`` up to Nyquist is
    ``erf(pi sigma) / (2 sqrt(pi) sigma)``.
    """
    if sigma_voxels <= 0:
        return 1.0
    return erf(pi * sigma_voxels) / (2 * sqrt(pi) * sigma_voxels)


def penalty(config: ReconstructionConfig, problem: Problem) -> float:
    """Weight mu of the L1 norm for each tilt, in the unit of the gradient by phase.

    0 for linear methods, whose published forms have no such term, and where
    :func:`.problem.sparsity` is.
    """
    voxel = problem.geometry.voxel_size_angstrom
    factor = sparsity(config, voxel)
    if not factor:
        return 0.0
    sigma = problem.basis_sigma_angstrom
    passed = noise_passed(sigma / voxel) if sigma else 1.0
    n_image = (problem.weight > 0).sum()
    return factor * _RESPONSE * amplitude_noise(problem) * passed / sqrt(max(1, int(n_image)))
