"""A smooth background: a polynomial of low order that specimen and outliers do not bend."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.core.precision import REAL

_BLOCKS = 24
_ROUNDS = 12


def terms(y: np.ndarray, x: np.ndarray, order: int) -> np.ndarray:
    """`(..., n)` Legendre products P_i(y) P_j(x) with i + j <= order; y, x from −1 to 1."""
    py, px = (np.polynomial.legendre.legvander(v, order) for v in (y, x))
    return np.stack([py[..., i] * px[..., j] for i in range(order + 1) for j in range(order + 1 - i)], -1)


def fit_background(image: np.ndarray, order: int, mask: np.ndarray | None = None) -> np.ndarray:
    """Robust polynomial surface of an image.

    Fitted to the medians of blocks by reweighted least squares with Tukey's biweight, so that a
    specimen covering less than about half of the image does not enter.

    Parameters
    ----------
    image : ndarray
        `(ny, nx)`.
    order : int
        0: a constant; 1: a plane ...
    mask : ndarray, optional
        `(ny, nx)` bool: only there (a constant or plane is told apart from specimen by the user).

    Returns
    -------
    ndarray
        `(ny, nx)` float32.
    """
    values, y, x = _block_medians(image, mask)
    design = terms(y, x, order)
    weights = np.ones_like(values)
    coefficients = np.zeros(design.shape[1])
    for _ in range(_ROUNDS):
        coefficients = np.linalg.lstsq(design * weights[:, None], values * weights, rcond=None)[0]
        residual = values - design @ coefficients
        scale = 1.4826 * float(np.median(np.abs(residual - np.median(residual))))
        if scale <= 1e-12 * max(float(np.abs(values).max()), 1e-30):
            break
        weights = np.sqrt(np.clip(1 - (residual / (4.685 * scale)) ** 2, 0, None) ** 2)
    return _surface(coefficients, order, image.shape)


def _surface(coefficients: np.ndarray, order: int, shape: tuple[int, ...]) -> np.ndarray:
    # Separable, so that a large image costs one product of small matrices.
    table, pair = np.zeros((order + 1, order + 1)), 0
    for i in range(order + 1):
        for j in range(order + 1 - i):
            table[i, j] = coefficients[pair]
            pair += 1
    py, px = (np.polynomial.legendre.legvander(_axis(n), order) for n in shape)
    return np.asarray(py @ table @ px.T, REAL)


def _axis(n: int) -> np.ndarray:
    return (2 * np.arange(n) - (n - 1)) / max(n - 1, 1)


def _block_medians(image: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ny, nx = image.shape
    step_y, step_x = max(ny // _BLOCKS, 1), max(nx // _BLOCKS, 1)
    values, ys, xs = [], [], []
    for top in range(0, ny - step_y + 1, step_y):
        for left in range(0, nx - step_x + 1, step_x):
            part = (slice(top, top + step_y), slice(left, left + step_x))
            block = image[part] if mask is None else image[part][mask[part]]
            if block.size < max(step_y * step_x // 4, 1):
                continue
            values.append(float(np.median(block)))
            ys.append(_axis(ny)[part[0]].mean())
            xs.append(_axis(nx)[part[1]].mean())
    return np.array(values), np.array(ys), np.array(xs)
