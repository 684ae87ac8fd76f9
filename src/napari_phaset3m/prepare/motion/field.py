"""How the drift varies over the image: a polynomial in x, y and time.

As Zheng et al. (Nature Methods 14 (2017) 331): quadratic in x and y, cubic in time, 18 numbers for each
direction, here in orthogonal polynomials of time without their mean, so that the corrected image
lies where the frames lie on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SPACE, _TIME = 6, 3
_ROUNDS = 8
#: Distance, in standard deviations, beyond which a patch's shift loses weight (Huber).
_HUBER = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """Local drift on top of the whole frames'.

    Attributes
    ----------
    coefficients : ndarray
        `(n, 2, 6)`: of 1, x, y, x², xy, y² for each frame and direction (y, x), pixels; x and y go from
        −1 to 1 over the image.
    rms : float
        Of the field over image and frames, pixels.
    residual : float
        Weighted root mean square of what the patches showed beyond it, pixels.
    significant : bool
        Whether it explains the patches better than chance; else it is zero.
    """

    coefficients: np.ndarray
    rms: float
    residual: float
    significant: bool

    def at(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """`(n, places, 2)` drift at places in −1..1."""
        return np.asarray(np.einsum("ndk,pk->npd", self.coefficients, _space(y, x)))


def no_field(n: int) -> Field:
    """The drift of whole frames only."""
    return Field(np.zeros((n, 2, _SPACE)), 0.0, 0.0, False)


def _space(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.stack((np.ones_like(x), x, y, x * x, x * y, y * y), axis=-1)


def _time(n: int) -> np.ndarray:
    """`(n, terms)`, each without its mean."""
    terms = min(_TIME, n - 1)
    t = np.linspace(-1, 1, n)
    basis = np.polynomial.legendre.legvander(t, terms)[:, 1:]
    return np.asarray(basis - basis.mean(axis=0))


def fit_field(places: np.ndarray, shifts: np.ndarray, error: np.ndarray, enough: float = 1.3) -> Field:
    """Fit the polynomial to the shifts of patches.

    Parameters
    ----------
    places : ndarray
        `(patches, 2)` centres (y, x), −1 to 1.
    shifts : ndarray
        `(patches, n, 2)` pixels, without the whole frames' drift.
    error : ndarray
        `(patches, n, 2)` standard deviations; infinite: not measured.
    enough : float
        By which factor the misfit per degree of freedom must fall for the field to be believed.
    """
    patches, n = shifts.shape[:2]
    time, space = _time(n), _space(places[:, 0], places[:, 1])
    design = np.einsum("pk,nq->pnkq", space, time).reshape(patches * n, -1)
    coefficients = np.zeros((n, 2, _SPACE))
    before = after = squares = weight_sum = 0.0
    freedom = 0
    for axis in (0, 1):
        values, sigma = shifts[..., axis].reshape(-1), error[..., axis].reshape(-1)
        good = np.isfinite(sigma)
        if good.sum() < 2 * design.shape[1]:
            return no_field(n)
        sigma = np.maximum(sigma[good], 1e-3)
        solution, robust = _robust(design[good], values[good], sigma)
        left = values[good] - design[good] @ solution
        before += float((robust * (values[good] / sigma) ** 2).sum())
        after += float((robust * (left / sigma) ** 2).sum())
        freedom += int(good.sum())
        squares += float((robust * (left / sigma) ** 2).sum())
        weight_sum += float((robust / sigma**2).sum())
        coefficients[:, axis] = time @ solution.reshape(_SPACE, -1).T
    left_over = freedom - 2 * design.shape[1]
    ratio = (before / freedom) / max(after / left_over, 1e-12)
    residual = float(np.sqrt(squares / max(weight_sum, 1e-30)))
    if ratio < enough:
        return Field(np.zeros_like(coefficients), 0.0, residual, False)
    grid = np.linspace(-1, 1, 9)
    y, x = (v.ravel() for v in np.meshgrid(grid, grid, indexing="ij"))
    found = Field(coefficients, 0.0, residual, True)
    rms = float(np.sqrt((found.at(y, x) ** 2).sum(axis=-1).mean()))
    return Field(coefficients, rms, residual, True)


def _robust(design: np.ndarray, values: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    robust = np.ones_like(values)
    solution = np.zeros(design.shape[1])
    # A faint pull to zero: a patch of vacuum must not leave the polynomial loose at its corner.
    ridge = 1e-3 * np.eye(design.shape[1])
    for _ in range(_ROUNDS):
        weight = robust / sigma**2
        normal = design.T @ (weight[:, None] * design)
        normal += ridge * np.trace(normal) / len(normal)
        solution = np.linalg.solve(normal, design.T @ (weight * values))
        left = np.abs(values - design @ solution) / sigma
        scale = max(1.4826 * float(np.median(left)), 1.0)
        robust = np.minimum(1, _HUBER * scale / np.maximum(left, 1e-12))
    return solution, robust
