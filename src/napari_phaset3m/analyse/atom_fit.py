"""All atoms fitted at once: Gauss-Newton on small boxes around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: The fit sees this far on each side of a maximum (two voxels at least), with these weights.
_REACH_ANGSTROM = 1.0
_WEIGHT_SIGMA_ANGSTROM = 0.55
#: Farther from the top of the parabola, the fit has gone after something else.
_MAX_MOVE_ANGSTROM = 0.25
_STEPS = 30
#: Atoms fitted in one go, which bounds the memory.
_BATCH = 4000
_MAX_SIGMA_ANGSTROM = 1.2


@dataclass(frozen=True, slots=True, eq=False)
class GaussianFits:
    """Fitted Gaussians.

    Parameters
    ----------
    centre : ndarray
        `(n, 3)` z, y, x in voxels.
    height, sigma_angstrom, background : ndarray
        `(n,)`.
    settled : ndarray
        `(n,)` bool: the centre stayed within 0.25 Å of the top of the parabola, with a positive
        height and a width below 1.2 Å. Otherwise the parabola through the neighbours gives the centre.
    """

    centre: np.ndarray
    height: np.ndarray
    sigma_angstrom: np.ndarray
    background: np.ndarray
    settled: np.ndarray


def fit_gaussians(volume: np.ndarray, index: np.ndarray, voxel_size_angstrom: float) -> GaussianFits:
    """Fit ``background + height exp(-r^2 / 2 sigma^2)`` around each maximum.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`.
    index : ndarray
        `(n, 3)` int z, y, x of the maxima.
    voxel_size_angstrom : float

    Notes
    -----
    Damped Gauss-Newton (Marquardt, J. SIAM 11 (1963) 431) within 1 Å (two voxels at
    least) along each axis, each voxel weighted by a Gaussian of 0.55 Å, so that neighbours at
    bonding distance hardly pull.
    """
    parts = [
        _fit_batch(volume, index[i : i + _BATCH], voxel_size_angstrom)
        for i in range(0, max(len(index), 1), _BATCH)
    ]
    names = ("centre", "height", "sigma_angstrom", "background", "settled")
    return GaussianFits(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def _fit_batch(volume: np.ndarray, index: np.ndarray, voxel: float) -> GaussianFits:
    reach = max(2, round(_REACH_ANGSTROM / voxel))
    axis = np.arange(-reach, reach + 1)
    offset = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3).astype(float)
    places = index[:, None] + offset.astype(int)
    inside = ((places >= 0) & (places < np.array(volume.shape))).all(axis=2)
    places = np.clip(places, 0, np.array(volume.shape) - 1)
    value = volume[places[..., 0], places[..., 1], places[..., 2]].astype(float)
    width = max(1.0, _WEIGHT_SIGMA_ANGSTROM / voxel)
    weight = np.exp(-(offset**2).sum(axis=1) / (2 * width**2)) * inside
    parabola = parabola_tops(volume, index)[0]
    start = _start(value, parabola)
    found = _gauss_newton(value, weight, offset, start, _MAX_SIGMA_ANGSTROM / voxel)
    sigma = np.exp(found[:, 4])
    settled = (
        (np.linalg.norm(found[:, :3] - parabola, axis=1) * voxel <= _MAX_MOVE_ANGSTROM)
        & (found[:, 3] > 0)
        & (sigma * voxel < _MAX_SIGMA_ANGSTROM)
    )
    centre = np.where(settled[:, None], found[:, :3], parabola)
    chosen = np.where(settled[:, None], found[:, 3:], start[:, 3:])
    return GaussianFits(index + centre, chosen[:, 0], np.exp(chosen[:, 1]) * voxel, chosen[:, 2], settled)


def parabola_tops(volume: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tops of parabolas through each maximum and its two neighbours along each axis.

    Returns
    -------
    offset : ndarray
        `(n, 3)` z, y, x in voxels, at most half a voxel.
    value : ndarray
        `(n,)` at the top.
    """
    data = np.asarray(volume)
    middle = data[tuple(index.T)].astype(float)
    offset, value = np.zeros((len(index), 3)), middle.copy()
    for a in range(3):
        step = np.eye(3, dtype=int)[a]
        last = np.array(data.shape) - 1
        up = data[tuple(np.minimum(index + step, last).T)].astype(float)
        down = data[tuple(np.maximum(index - step, 0).T)].astype(float)
        bend, slope = up + down - 2 * middle, 0.5 * (up - down)
        top = np.divide(-slope, bend, out=np.zeros(len(index)), where=bend < 0)
        offset[:, a] = np.clip(top, -0.5, 0.5)
        value += slope * offset[:, a] + 0.5 * bend * offset[:, a] ** 2
    return offset, value


def _start(value: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """First guess: centre, height, log sigma, background."""
    low, middle = value.min(axis=1), value[:, value.shape[1] // 2]
    height = np.maximum(middle - low, 1e-12)
    return np.concatenate([centre, np.stack([height, np.zeros(len(value)), low], axis=1)], axis=1)


def _model(p: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(n, m)` values and `(n, m, 6)` derivatives."""
    sigma2 = np.exp(2 * p[:, 4])[:, None]
    from_centre = offset[None] - p[:, None, :3]
    r2 = (from_centre**2).sum(axis=2)
    bell = np.exp(-r2 / (2 * sigma2))
    peak = p[:, 3, None] * bell
    jacobian = np.concatenate(
        [
            peak[..., None] * from_centre / sigma2[..., None],
            np.stack([bell, peak * r2 / sigma2, np.ones_like(bell)], axis=2),
        ],
        axis=2,
    )
    return peak + p[:, 5, None], jacobian


def _gauss_newton(
    value: np.ndarray, weight: np.ndarray, offset: np.ndarray, start: np.ndarray, widest: float
) -> np.ndarray:
    p = start.copy()
    damping = np.full(len(p), 1e-2)
    model, jacobian = _model(p, offset)
    cost = (weight * (value - model) ** 2).sum(axis=1)
    for _ in range(_STEPS):
        weighted = jacobian * weight[..., None]
        normal = np.einsum("nmi,nmj->nij", weighted, jacobian)
        diagonal = np.einsum("nii->ni", normal)
        scale = np.maximum(diagonal, 1e-12 * np.maximum(diagonal.max(axis=1, keepdims=True), 1e-30))
        normal = normal + np.einsum("ni,ij->nij", scale * damping[:, None], np.eye(6))
        step = np.linalg.solve(normal, np.einsum("nmi,nm->ni", weighted, value - model)[..., None])[..., 0]
        limit = np.array([0.5, 0.5, 0.5, np.inf, 0.3, np.inf])
        trial = p + np.clip(step, -limit, limit)
        trial[:, 4] = np.clip(trial[:, 4], np.log(0.2), np.log(widest))
        new_model, new_jacobian = _model(trial, offset)
        new_cost = (weight * (value - new_model) ** 2).sum(axis=1)
        better = new_cost <= cost
        p[better], cost[better] = trial[better], new_cost[better]
        model[better], jacobian[better] = new_model[better], new_jacobian[better]
        damping = np.clip(np.where(better, damping / 5, damping * 5), 1e-9, 1e6)
        if np.abs(step[:, :3]).max(initial=0) < 1e-4:
            break
    return p
