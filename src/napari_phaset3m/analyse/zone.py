"""Looking along a lattice direction of a crystal that lies as it likes."""

from __future__ import annotations

import numpy as np

#: Range of spatial frequencies in which lattice reflections are looked for, 1/Å.
K_RANGE = (0.15, 0.9)
_MAX_PEAKS = 60


def reflections(volume: np.ndarray, voxel_angstrom: float) -> tuple[np.ndarray, np.ndarray]:
    """Strongest local maxima of the power spectrum, one of each Friedel pair.

    Returns
    -------
    k : ndarray
        `(n, 3)` (kz, ky, kx), 1/angstrom.
    power : ndarray
        `(n,)` falling.
    """
    from scipy.ndimage import maximum_filter

    from napari_phaset3m.analyse.fourier import log_power

    power = log_power(volume, window=True)
    grids = [np.fft.fftshift(np.fft.fftfreq(n, voxel_angstrom)) for n in power.shape]
    kz, ky, kx = np.meshgrid(*grids, indexing="ij", sparse=True)
    k = np.sqrt(kz**2 + ky**2 + kx**2)
    half = (kz > 0) | ((kz == 0) & ((ky > 0) | ((ky == 0) & (kx > 0))))
    peak = (maximum_filter(power, 5, mode="wrap") == power) & half & (k > K_RANGE[0]) & (k < K_RANGE[1])
    index = np.argwhere(peak)
    order = np.argsort(power[peak])[::-1][:_MAX_PEAKS]
    found = np.stack([grid[i] for grid, i in zip(grids, index[order].T, strict=True)], axis=1)
    return found, power[peak][order]


def zone_axis(volume: np.ndarray, voxel_angstrom: float) -> np.ndarray | None:
    """Axes of a view along the direction whose zone holds most of the reflections.

    Returns
    -------
    ndarray or None
        `(3, 3)`: rows are the view's depth, down and right in (z, y, x); None when
        there are no two reflections.
    """
    k, power = reflections(volume, voxel_angstrom)
    weight = np.sqrt(10.0**power)
    width = 1.0 / (min(volume.shape) * voxel_angstrom)
    best, best_score = np.zeros(len(k), bool), 0.0
    for i in range(len(k)):
        for j in range(i + 1, len(k)):
            normal = np.cross(k[i], k[j])
            length = float(np.linalg.norm(normal))
            if length < 0.5 * np.linalg.norm(k[i]) * np.linalg.norm(k[j]):
                continue  # nearly along one line: a poorly known direction
            inside = np.abs(k @ normal) < width * length
            score = float(weight[inside].sum())
            if score > best_score:
                best, best_score = inside, score
    return _axes(k[best], weight[best]) if best_score else None


def _axes(k: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The plane that fits the reflections best; its strongest one points right."""
    spread = (k * weight[:, None]).T @ k
    normal = np.linalg.eigh(spread)[1][:, 0]
    right = k[0] - (k[0] @ normal) * normal
    right /= np.linalg.norm(right)
    return np.stack([normal, np.cross(normal, right), right])


def view_along(volume: np.ndarray, axes: np.ndarray, depth_voxels: int) -> np.ndarray:
    """Mean over ``depth_voxels`` around the centre of the volume, seen along ``axes[0]``.

    Returns
    -------
    ndarray
        `(ny, nx)` float32, on the volume's grid.
    """
    from scipy.ndimage import affine_transform

    shape = (max(1, depth_voxels), *volume.shape[1:])
    centre_out = (np.array(shape) - 1) / 2
    centre_in = (np.array(volume.shape) - 1) / 2
    # scipy maps an output index to an input index: in = axes^T (out - centre) + centre.
    turned = affine_transform(
        volume, axes.T, offset=centre_in - axes.T @ centre_out, output_shape=shape, order=1
    )
    return np.asarray(turned.mean(axis=0), np.float32)
