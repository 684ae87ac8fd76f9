"""How well the data determine the shared optics: curvature of the misfit at the end.

The inverse of the Gauss-Newton matrix, image shifts eliminated, times the variance of
what the model leaves unexplained, is the covariance of a fit with independent noise
(Seber & Wild, Nonlinear Regression (1989), 5.1) and a volume that is known. It tells what is
not determined, rather than how right the result is: see :mod:`.jackknife` for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_phaset3m.core.aberrations import KRIVANEK
from napari_phaset3m.core.precision import Array
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.reconstruct.problem import Problem
from napari_phaset3m.reconstruct.shared_optics import all_factors, count

#: Beyond this correlation two parameters are told to be exchangeable.
EXCHANGEABLE = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Determined:
    """Standard deviations and correlations.

    Attributes
    ----------
    names : tuple of str
        ``defocus`` (a common change of all), then the shared unknowns; those with an azimuth twice,
        with ``cos`` and ``sin``.
    sigma_angstrom : ndarray
        `(n,)` standard deviation of each.
    correlation : ndarray
        `(n, n)` in -1..1.
    shift_sigma_px : ndarray
        `(n_tilt, n_focus, 2)` (y, x) standard deviation of each shift, pixels of the run's grid;
        NaN for unused images.
    """

    names: tuple[str, ...]
    sigma_angstrom: np.ndarray
    correlation: np.ndarray
    shift_sigma_px: np.ndarray

    def exchangeable(self) -> list[tuple[str, str, float]]:
        """Pairs that the data can hardly tell apart, with their correlation."""
        found = []
        for i, one in enumerate(self.names):
            for j, other in enumerate(self.names[:i]):
                if abs(self.correlation[i, j]) > EXCHANGEABLE:
                    found.append((other, one, float(self.correlation[i, j])))
        return found


def values_of(series: TiltFocalSeries, names: Sequence[str]) -> np.ndarray:
    """`(n,)` angstrom: what a series states of the unknowns of a :class:`Determined`."""
    return np.array([_value(series, name) for name in names])


def _value(series: TiltFocalSeries, name: str) -> float:
    if name == "defocus":
        assert series.defocus_angstrom is not None
        return float(series.defocus_angstrom[series.used].mean())
    if name == "C30":
        return float(series.spherical_aberration_angstrom or 0.0)
    if name == "focal_spread":
        return series.resolved_focal_spread_angstrom
    head, _, part = name.partition(" ")
    phase = KRIVANEK[head][1] * series.aberrations.get("phi" + head[1:], 0.0)
    turned = {"": 1.0, "cos": np.cos(phase), "sin": np.sin(phase)}[part]
    return float(series.aberrations.get(head, 0.0) * turned)


class Curvature:
    """A :class:`..reconstruct.refine.Hook` that changes nothing and measures the curvature.

    Parameters
    ----------
    optics : tuple of str
        Shared unknowns to judge, as ``refine_optics`` of a reconstruction.
    at : int
        Sweep (of the last sampling, from 0) after which it measures.
    """

    def __init__(self, optics: tuple[str, ...], at: int) -> None:
        self.optics, self.at = optics, at
        self.found: Determined | None = None

    def active(self, sweep: int) -> bool:
        """From the asked sweep on."""
        return sweep >= self.at

    def refine(self, method: Any, problem: Problem, volume: Array) -> None:
        """See :class:`..reconstruct.refine.Hook`."""
        assert problem.microscope is not None
        n_shared = 1 + sum(map(count, self.optics))
        factors = all_factors(problem.grid, problem.microscope, self.optics)
        matrix, loss = np.zeros((n_shared, n_shared)), 0.0
        shift_sigma = np.full((*problem.weight.shape, 2), np.nan)
        tilts = problem.tilts.tolist()
        for tilt, part, _, normal in method.equations(volume, tilts, problem.weight, factors):
            loss += part
            for focus in np.flatnonzero(problem.weight[tilt] > 0):
                local, coupling = normal[focus, :2, :2], normal[focus, :2, 2:]
                matrix += normal[focus, 2:, 2:] - coupling.T @ np.linalg.pinv(local) @ coupling
                shift_sigma[tilt, focus] = np.sqrt(np.diag(np.linalg.pinv(local)))
        variance = 2 * loss / (problem.pixel_weight.sum() * problem.weight.sum())
        covariance = variance * np.linalg.pinv(matrix, hermitian=True)
        sigma = np.sqrt(np.maximum(np.diag(covariance), 0))
        scale = np.where(sigma > 0, sigma, 1)
        self.found = Determined(
            _names(self.optics),
            sigma,
            covariance / np.outer(scale, scale),
            shift_sigma * np.sqrt(variance),
        )


def _names(optics: tuple[str, ...]) -> tuple[str, ...]:
    names = ["defocus"]
    for name in optics:
        names += [name] if count(name) == 1 else [f"{name} cos", f"{name} sin"]
    return tuple(names)
