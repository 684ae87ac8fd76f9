"""Refinement of a CTF against whole spectra, with uncertainties.

At each trial the smooth background and the (never negative) smooth envelope of the rings are solved for:
``y = b(k) + e(k) (-cos 2 gamma)``, since ``sin^2 = (1 - cos 2 gamma) / 2``. What is maximised is the part of
chi-squared that the rings explain (variable projection: Golub and Pereyra, Inverse Problems 19 (2003) R1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, nnls

from napari_phaset3m.prepare.ctf.model import CtfValues
from napari_phaset3m.prepare.ctf.observe import BACKGROUND_TERMS, ENVELOPE_TERMS, Observation, splines

#: A Hann taper joins neighbouring samples: so many of them are worth one (1.5 squared).
JOINED = 2.25


class Explained:
    """The gain of rings at given values, for one spectrum."""

    def __init__(self, item: Observation) -> None:
        self.item = item
        self._smooth = splines(item.k, BACKGROUND_TERMS)
        self._shape = splines(item.k, ENVELOPE_TERMS)
        weight = item.weight.sum(0)
        normal = self._smooth.T @ (weight[:, None] * self._smooth)
        normal += 1e-9 * np.trace(normal) * np.eye(len(normal))
        self._inverse = np.linalg.inv(normal)
        self._wy = item.weight * item.y
        self._right = self._smooth.T @ self._wy.sum(0)

    def solve(self, values: CtfValues) -> tuple[float, np.ndarray, np.ndarray]:
        """Gain (in units of the noise), `(n_k,)` background left, `(n_k,)` envelope of the rings."""
        item = self.item
        rings = -np.cos(2 * item.model.gamma(values, item.step(values)))
        wc = (item.weight * rings).sum(0)
        wcc = (item.weight * rings**2).sum(0)
        wyc = (self._wy * rings).sum(0)
        mixed = self._smooth.T @ (wc[:, None] * self._shape)
        matrix = self._shape.T @ (wcc[:, None] * self._shape) - mixed.T @ self._inverse @ mixed
        right = self._shape.T @ wyc - mixed.T @ (self._inverse @ self._right)
        matrix += 1e-6 * np.trace(matrix) / len(matrix) * np.eye(len(matrix))
        root = np.linalg.cholesky(matrix)
        shape, _ = nnls(root.T, np.linalg.solve(root, right))
        gain = float(2 * right @ shape - shape @ matrix @ shape)
        smooth = self._inverse @ (self._right - mixed @ shape)
        return gain / item.noise, self._smooth @ smooth, self._shape @ shape

    def unexplained(self, values: CtfValues) -> float:
        """Mean square of what is left, in units of the noise: about 1 for a random specimen."""
        item = self.item
        _, smooth, envelope = self.solve(values)
        rest = item.y - smooth + envelope * np.cos(2 * item.model.gamma(values, item.step(values)))
        return float(np.sum(item.weight * rest**2) / np.count_nonzero(item.weight) / item.noise)


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A refined CTF of a group of spectra.

    Attributes
    ----------
    values : CtfValues
    gain : float
        Chi-squared explained by the rings.
    errors : dict
        One standard deviation of each fitted number of ``values``, by name (angstrom, rad).
    covariance : ndarray
        Of the fitted numbers, in the order of ``names``.
    names : tuple of str
    """

    values: CtfValues
    gain: float
    errors: dict[str, float]
    covariance: np.ndarray
    names: tuple[str, ...]


def _scales(found: Sequence[Observation], names: Sequence[str]) -> np.ndarray:
    """A change of each number that turns the rings by a radian where they are still seen."""
    item = found[0]
    k = item.k[int(0.6 * item.k.size)]
    slope = float(np.interp(k, item.k, item.model.slope[0]))
    steps = [abs(other.focus_step_angstrom) for other in found]
    each = {"phase_shift_rad": 0.3, "step_scale": 0.3 / (slope * max(max(steps), 1.0))}
    return np.array([each.get(name, 0.3 / slope) for name in names])


def refine(
    found: Sequence[Observation],
    start: CtfValues,
    names: Sequence[str],
    *,
    evaluations: int = 400,
    bounds: tuple[float, float] | None = None,
) -> Fit:
    """Maximise the explained part of a group's spectra.

    Parameters
    ----------
    found : sequence of Observation
    start : CtfValues
    names : sequence of str
        Fields of :class:`CtfValues` that are free.
    evaluations : int
    bounds : (float, float), optional
        Of defocus, angstrom.

    Returns
    -------
    Fit
        Errors come from the curvature of chi-squared at the end (noise from neighbouring sectors).
    """
    parts = [Explained(item) for item in found]
    scale = _scales(found, names)
    origin = np.array([getattr(start, name) for name in names])

    def values(x: np.ndarray) -> CtfValues:
        numbers = origin + scale * x
        return start.with_(**{name: float(v) for name, v in zip(names, numbers, strict=True)})

    def loss(x: np.ndarray) -> float:
        trial = values(x)
        if bounds is not None and not bounds[0] <= trial.defocus_angstrom <= bounds[1]:
            return 0.0
        return -sum(part.solve(trial)[0] for part in parts)

    simplex = np.vstack([np.zeros(len(names)), np.eye(len(names))])
    end = minimize(
        loss,
        np.zeros(len(names)),
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "maxfev": evaluations, "xatol": 2e-3, "fatol": 1e-3},
    )
    covariance = _covariance(loss, end.x) * scale[:, None] * scale[None, :]
    error = np.sqrt(np.diag(covariance))
    return Fit(
        values(end.x),
        -float(end.fun),
        dict(zip(names, error.tolist(), strict=True)),
        covariance,
        tuple(names),
    )


def _covariance(loss: object, x: np.ndarray) -> np.ndarray:
    """Inverse of half the curvature of chi-squared; NaN where it does not curve downwards."""
    assert callable(loss)
    n, h = x.size, 0.15
    steps = h * np.eye(n)
    curvature = np.empty((n, n))
    for i in range(n):
        for j in range(i + 1):
            pairs = ((1, 1), (1, -1), (-1, 1), (-1, -1))
            total = sum(a * b * loss(x + a * steps[i] + b * steps[j]) for a, b in pairs)
            curvature[i, j] = curvature[j, i] = total / (4 * h * h)
    try:
        covariance = JOINED * 2 * np.linalg.inv(curvature)
    except np.linalg.LinAlgError:
        return np.full((n, n), np.nan)
    bad = np.diag(covariance) <= 0
    covariance[bad], covariance[:, bad] = np.nan, np.nan
    return np.asarray(covariance)
