"""Gold beads: found in every image, and followed from tilt to tilt.

Beads are found as extrema of the Laplacian of a Gaussian, whose scale is that of the beads where the
response is strongest (Lindeberg, Int. J. Comput. Vis. 30 (1998) 79: sigma = d / sqrt(8) for a disc).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SCALES = 14
_STRONGEST = 12


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """Beads over all tilts.

    Attributes
    ----------
    places_px : ndarray
        `(n_bead, n_tilt, 2)` (y, x) from the image centre; NaN where a bead was not found.
    diameter_px : float
    """

    places_px: np.ndarray
    diameter_px: float

    @property
    def seen(self) -> np.ndarray:
        """`(n_bead, n_tilt)` bool."""
        return np.asarray(np.isfinite(self.places_px[..., 0]))


def bead_diameter(image: np.ndarray, smallest_px: float, largest_px: float) -> float:
    """Diameter of the beads, pixels: where the normalised Laplacian of the strongest blobs peaks.

    Parameters
    ----------
    image : ndarray
        `(ny, nx)`, beads dark.
    smallest_px, largest_px : float
    """
    diameters = np.geomspace(smallest_px, largest_px, _SCALES)
    strength = [np.sort(_peaks(image, d)[1])[-_STRONGEST:].mean() for d in diameters]
    best = int(np.argmax(strength))
    if not 0 < best < _SCALES - 1:
        return float(diameters[best])
    low, mid, high = strength[best - 1 : best + 2]
    shift = 0.5 * (low - high) / (low - 2 * mid + high)
    return float(diameters[best] * (diameters[1] / diameters[0]) ** shift)


def _peaks(image: np.ndarray, diameter_px: float) -> tuple[np.ndarray, np.ndarray]:
    from scipy.ndimage import gaussian_laplace, maximum_filter

    sigma = diameter_px / np.sqrt(8)
    response = sigma**2 * gaussian_laplace(np.asarray(image, np.float64), sigma, mode="nearest")
    size = 2 * max(1, round(0.6 * diameter_px)) + 1
    top = (response == maximum_filter(response, size)) & (response > 0)
    edge = max(1, round(0.6 * diameter_px))
    top[:edge] = top[-edge:] = False
    top[:, :edge] = top[:, -edge:] = False
    places = np.argwhere(top)
    if not len(places):
        return np.empty((0, 2)), np.zeros(1)
    fine = np.array([[_vertex(response, tuple(p), axis) for axis in (0, 1)] for p in places])
    return places + fine, response[top]


def _vertex(surface: np.ndarray, place: tuple[int, ...], axis: int) -> float:
    before, after = list(place), list(place)
    before[axis], after[axis] = before[axis] - 1, after[axis] + 1
    low, mid, high = (float(surface[tuple(p)]) for p in (before, place, after))
    bend = low - 2 * mid + high
    return float(np.clip(0.5 * (low - high) / bend, -1, 1)) if bend < 0 else 0.0


def find_beads(image: np.ndarray, diameter_px: float, threshold: float = 6.0) -> np.ndarray:
    """Places of dark beads.

    Parameters
    ----------
    image : ndarray
        `(ny, nx)`.
    diameter_px : float
    threshold : float
        Least response, in robust standard deviations of all its maxima about their median.

    Returns
    -------
    ndarray
        `(n, 2)` (y, x) from the image centre, strongest first.
    """
    places, strength = _peaks(image, diameter_px)
    if not len(places):
        return places
    middle = np.median(strength)
    spread = 1.4826 * np.median(np.abs(strength - middle)) + 1e-12
    kept = (strength - middle) / spread > threshold
    order = np.argsort(-strength[kept])
    centre = (np.array(image.shape) - 1) / 2
    return np.asarray(places[kept][order] - centre)


def track(found: list[np.ndarray], tilt_deg: np.ndarray, diameter_px: float, max_shift_px: float) -> Tracks:
    """Follow beads from the lowest tilt outwards.

    In each new image the common shift is voted for by all pairs, and beads are then assigned within
    two diameters of where their path so far (x cos - z sin) leads.

    Parameters
    ----------
    found : list of ndarray
        For each tilt `(n, 2)` (y, x) as :func:`find_beads` gives them; axis near y.
    tilt_deg : ndarray
    diameter_px : float
    max_shift_px : float
        Largest common shift between neighbours.
    """
    order = np.argsort(tilt_deg, kind="stable")
    start = int(np.argmin(np.abs(tilt_deg[order])))
    beads = found[order[start]]
    places = np.full((len(beads), len(found), 2), np.nan)
    places[:, order[start]] = beads
    origin = np.zeros((len(found), 2))
    for direction in (range(start + 1, len(order)), range(start - 1, -1, -1)):
        last = int(order[start])
        for position in direction:
            tilt = int(order[position])
            expected = _expected(places, origin, tilt_deg, tilt, last)
            shift = _voted(expected, found[tilt], max_shift_px, diameter_px)
            origin[tilt] = origin[last] + shift
            _assign(places, expected + shift, found[tilt], tilt, 2 * diameter_px)
            last = tilt
    kept = np.isfinite(places[..., 0]).sum(1) >= max(3, len(found) // 3)
    return Tracks(places[kept], diameter_px)


def _expected(
    places: np.ndarray, origin: np.ndarray, tilt_deg: np.ndarray, tilt: int, last: int
) -> np.ndarray:
    """Where each bead should be in ``tilt`` if that image sat where ``last`` does."""
    angle = np.radians(tilt_deg)
    result = np.full((len(places), 2), np.nan)
    for bead, path in enumerate(places):
        seen = np.flatnonzero(np.isfinite(path[:, 0]))
        near = seen[np.argsort(np.abs(tilt_deg[seen] - tilt_deg[last]))][:8]
        free = path[near] - origin[near]
        design = np.stack((np.cos(angle[near]), -np.sin(angle[near])), -1)
        # A weak wish for z = 0 keeps the first few tilts, which tell little of it, from running off.
        x, z = np.linalg.solve(design.T @ design + np.diag((1e-9, 1e-3)), design.T @ free[:, 1])
        across = x * np.cos(angle[tilt]) - z * np.sin(angle[tilt])
        result[bead] = np.array([np.median(free[:3, 0]), across]) + origin[last]
    return result


def _voted(expected: np.ndarray, found: np.ndarray, reach: float, diameter: float) -> np.ndarray:
    if not len(found) or not len(expected):
        return np.zeros(2)
    steps = (found[None] - expected[:, None]).reshape(-1, 2)
    steps = steps[np.abs(steps).max(1) <= reach]
    if not len(steps):
        return np.zeros(2)
    near = np.linalg.norm(steps[:, None] - steps[None], axis=-1) < diameter
    winner = near.sum(1).argmax()
    return np.asarray(np.median(steps[near[winner]], axis=0))


def _assign(places: np.ndarray, expected: np.ndarray, found: np.ndarray, tilt: int, reach: float) -> None:
    from scipy.optimize import linear_sum_assignment

    if not len(found):
        return
    distance = np.linalg.norm(found[None] - expected[:, None], axis=-1)
    cost = np.where(distance < reach, distance, 1e6)
    for bead, which in zip(*linear_sum_assignment(cost), strict=True):
        if cost[bead, which] < reach:
            places[bead, tilt] = found[which]
