"""Defocus of a tilt from the likelihoods of its images at a row of trial defoci."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_phaset3m.core.constants import wavelength_angstrom
from napari_phaset3m.prepare.align.reference_settings import forward_model

if TYPE_CHECKING:
    from napari_phaset3m.prepare.align.work import Work

#: Standard deviation of the defoci's errors when nothing is asked for, angstrom.
DEFOCUS_SIGMA = 80.0
#: Phase (rad at the grid's Nyquist frequency) by which neighbouring trial defoci differ; trial
#: defoci reach this many standard deviations.
DEFOCUS_PHASE, DEFOCUS_REACH = 0.4, 2.5
#: Places between two trials at which the likelihood is read off its spline.
_FINER = 16


def trial_defoci(work: Work, nyquist: float) -> np.ndarray:
    """Changes of a tilt's stated defoci to try, angstrom; just 0 where none are looked for."""
    sigma = defocus_sigma(work)
    if sigma == 0:
        return np.zeros(1)
    wavelength = wavelength_angstrom(work.original.energy_ev)
    step = min(DEFOCUS_PHASE / (np.pi * wavelength * nyquist**2), sigma / 2)
    count = int(np.ceil(DEFOCUS_REACH * sigma / step))
    return np.asarray(np.arange(-count, count + 1) * step)


def defocus_sigma(work: Work) -> float:
    """Standard deviation of the stated defoci's errors, angstrom; 0: not refined."""
    if forward_model(work.original, work.config) != "multislice":
        return 0.0
    asked = work.config.match.match_defocus_angstrom
    return DEFOCUS_SIGMA if asked == "auto" else float(asked)


def evidence(log_density: np.ndarray) -> np.ndarray:
    """`(n_trial,)` log-likelihood of trial defoci: the shifts of all images summed out.

    Parameters
    ----------
    log_density : ndarray
        `(n_trial, n_image, y, x)` of the tilt's images over shifts.
    """
    top = log_density.max((-2, -1))
    each = np.log(np.exp(log_density - top[..., None, None]).sum((-2, -1))) + top
    return np.asarray(each.sum(1))


def posterior(trials: np.ndarray, log_likelihood: np.ndarray, sigma: float) -> tuple[float, np.ndarray]:
    """Mean change of defocus, and how much each trial counts.

    With many electrons the likelihood is narrower than the step between trials; it is read off a spline
    through their logarithms, so that the mean does not fall on a trial.

    Parameters
    ----------
    trials : ndarray
        `(n,)` changes of the stated defocus, angstrom, evenly spaced.
    log_likelihood : ndarray
        `(n,)`.
    sigma : float
        Of the Gaussian prior about 0.

    Returns
    -------
    mean : float
        Angstrom.
    weight : ndarray
        `(n,)`, of sum 1: the posterior dealt out to the two trials on either side of each place.
    """
    from scipy.interpolate import CubicSpline

    place = np.arange((len(trials) - 1) * _FINER + 1) / _FINER
    fine = trials[0] + place * (trials[1] - trials[0])
    log_density = CubicSpline(trials, log_likelihood)(fine) - 0.5 * (fine / sigma) ** 2
    density = np.exp(log_density - log_density.max())
    density /= density.sum()
    low = np.minimum(place.astype(int), len(trials) - 2)
    weight = np.bincount(low, density * (low + 1 - place), len(trials))
    weight += np.bincount(low + 1, density * (place - low), len(trials))
    return float(density @ fine), weight
