"""Lattices hidden in a list of reciprocal vectors, some of which are not on any lattice.

Vectors are (x, y, z); reciprocal ones in 1/angstrom, direct ones in angstrom.
"""

from __future__ import annotations

import numpy as np

from napari_phaset3m.analyse.cell import Cell, Centring

_GRID_STEP = 0.35
#: A period explains a peak when their product is this close to a whole number.
_WHOLE = 0.2
#: A period counts when it does at least this well compared with the best one; from strict, for
#: few peaks that wrong periods fit almost as well, to lax, for many with errors.
_AS_GOOD = (0.95, 0.9, 0.8, 0.7)


def primitive_bases(q: np.ndarray, weights: np.ndarray, *, max_length: float) -> list[np.ndarray]:
    """Reduced primitive direct bases that may be that of the lattice most peaks lie on.

    Parameters
    ----------
    q : ndarray
        `(n, 3)` peaks, one of each Friedel pair.
    weights : ndarray
        `(n,)` positive.
    max_length : float
        Longest primitive edge looked for, angstrom.

    Returns
    -------
    list of ndarray
        `(3, 3)` rows each; empty when there are not three periods.

    Notes
    -----
    A vector t is a period of the lattice when all products q.t are whole numbers, so the
    periods are the tops of ``sum w cos(2 pi q.t)`` (the use of such sums for indexing is
    reviewed in Steller, Bolotovsky and Rossmann, J. Appl. Cryst. 30 (1997) 1036). The three
    shortest independent ones are a primitive basis.
    """
    t, score = _periods(q, weights / weights.sum(), max_length)
    bases: list[np.ndarray] = []
    for share in _AS_GOOD if len(t) >= 3 else ():
        basis = _shortest_independent(t[score >= share * score.max()])
        if basis is None:
            continue
        for _ in range(4):
            basis = _fit_basis(q, weights, basis)
        reduced = _shortest_independent(_combinations(basis, 2))
        if reduced is not None:
            bases.append(reduced)
    return bases


def _periods(q: np.ndarray, weights: np.ndarray, max_length: float) -> tuple[np.ndarray, np.ndarray]:
    """Tops of the cosine sum outside the one at the origin: refined vectors and scores."""
    from scipy import ndimage

    n = int(np.ceil(max_length / _GRID_STEP))
    axis = np.arange(-n, n + 1) * _GRID_STEP
    waves = [np.exp(2j * np.pi * np.outer(axis, q[:, i])) for i in range(3)]
    first = waves[0][n:] * weights  # half of the directions: t and -t are one period
    left = (first[:, None] * waves[1][None]).reshape(-1, len(q)).astype(np.complex64)
    total = (left @ waves[2].T.astype(np.complex64)).real.reshape(n + 1, 2 * n + 1, 2 * n + 1)
    top = (total == ndimage.maximum_filter(total, 3, mode="nearest")) & (total > 0.25 * weights.sum())
    i, j, k = np.nonzero(top)
    t = np.stack([axis[i + n], axis[j], axis[k]], axis=1)
    # the width of the top at the origin follows from the mean square of the frequencies
    origin = 0.5 / np.sqrt((weights[:, None] * q**2).sum() / 3 / weights.sum())
    length = np.linalg.norm(t, axis=1)
    t = t[(length > origin) & (length <= max_length)]
    for _ in range(6):
        t = _polish(q, weights, t)
    t = t[np.linalg.norm(t, axis=1) > origin]
    score = np.cos(2 * np.pi * (t @ q.T)) @ weights
    return t, score


def _polish(q: np.ndarray, weights: np.ndarray, t: np.ndarray) -> np.ndarray:
    """One least-squares step of every vector towards whole products with the peaks it explains."""
    product = t @ q.T
    whole = np.rint(product)
    w = weights * (np.abs(product - whole) < _WHOLE)
    normal = np.einsum("tn,ni,nj->tij", w, q, q) + 1e-9 * np.eye(3)
    return np.asarray(np.linalg.solve(normal, np.einsum("tn,tn,ni->ti", w, whole, q)[..., None])[..., 0])


def _fit_basis(q: np.ndarray, weights: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Least-squares direct basis through the peaks that the given one indexes."""
    product = q @ basis.T
    whole = np.rint(product)
    used = (np.abs(product - whole) < _WHOLE).all(axis=1) & (whole != 0).any(axis=1)
    if used.sum() < 4 or np.linalg.matrix_rank(whole[used]) < 3:
        return basis
    w = np.sqrt(weights[used])[:, None]
    reciprocal = np.linalg.lstsq(whole[used] * w, q[used] * w, rcond=None)[0]
    return np.asarray(np.linalg.inv(reciprocal).T)


def _shortest_independent(vectors: np.ndarray) -> np.ndarray | None:
    """Three shortest vectors that span space; in three dimensions they are a basis of the lattice."""
    vectors = vectors[np.argsort(np.linalg.norm(vectors, axis=1), kind="stable")]
    chosen: list[np.ndarray] = []
    for v in vectors:
        unit = [u / np.linalg.norm(u) for u in [*chosen, v]]
        # sine of the angle to, or solid angle with, what is there: parallel vectors are no news
        if np.sqrt(np.linalg.det(np.array(unit) @ np.array(unit).T).clip(0)) > 0.2:
            chosen.append(v)
        if len(chosen) == 3:
            basis = np.array(chosen)
            return basis if np.linalg.det(basis) > 0 else basis * [[1], [1], [-1]]
    return None


def _combinations(basis: np.ndarray, reach: int) -> np.ndarray:
    """Whole-number combinations of the rows, one of each pair +-v, without 0."""
    axis = np.arange(-reach, reach + 1)
    n = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    return np.asarray(n[len(n) // 2 + 1 :] @ basis)


def cubic_axes(
    basis: np.ndarray, *, length_tolerance: float = 0.025, angle_tolerance_deg: float = 2.0
) -> tuple[np.ndarray, Centring] | None:
    """Smallest cubic cell of a lattice, if its metric is cubic.

    Parameters
    ----------
    basis : ndarray
        `(3, 3)` reduced primitive direct basis, rows.
    length_tolerance : float
        Relative difference of the edges that still counts as equal.
    angle_tolerance_deg : float
        Difference from a right angle that still counts as right.

    Returns
    -------
    axes : ndarray
        `(3, 3)` rows: the edges, right-handed.
    centring : str
        P, I or F. None instead of both when the lattice is not cubic.
    """
    v = _combinations(basis, 3)
    length = np.linalg.norm(v, axis=1)
    order = np.argsort(length, kind="stable")
    v, length = v[order], length[order]
    cosine = np.abs(v @ v.T) / np.outer(length, length)
    equal = np.abs(length[:, None] - length[None]) < length_tolerance * length[:, None]
    fits = equal & (cosine < np.sin(np.radians(angle_tolerance_deg)))
    for i in range(len(v)):
        partners = [int(j) for j in np.flatnonzero(fits[i]) if j > i]
        for a, j in enumerate(partners):
            for k in partners[a + 1 :]:
                if fits[j, k]:
                    axes = v[[i, j, k]]
                    axes = axes if np.linalg.det(axes) > 0 else -axes
                    centring = _cubic_centring(basis, axes)
                    return None if centring is None else (axes, centring)
    return None


def _cubic_centring(basis: np.ndarray, axes: np.ndarray) -> Centring | None:
    points = round(float(np.linalg.det(axes) / np.linalg.det(basis)))
    into = np.linalg.inv(basis)

    def held(translations: list[tuple[float, float, float]]) -> bool:
        n = np.array(translations) @ axes @ into
        return bool((np.abs(n - np.rint(n)) < 0.15).all())

    if points == 1:
        return "P"
    if points == 2 and held([(0.5, 0.5, 0.5)]):
        return "I"
    if points == 4 and held([(0, 0.5, 0.5), (0.5, 0, 0.5)]):
        return "F"
    return None


def orientation_search(
    q: np.ndarray, weights: np.ndarray, cell: Cell, *, tolerance: float, scale_tolerance: float = 0.06
) -> np.ndarray | None:
    """Orientation of a given cell that explains the most peaks.

    Parameters
    ----------
    q, weights : ndarray
        `(n, 3)` and `(n,)` peaks.
    cell : Cell
    tolerance : float
        Distance at which a peak counts as explained, 1/angstrom.
    scale_tolerance : float
        Relative error of the cell's edges (or of the voxel size) that is allowed for.

    Returns
    -------
    ndarray or None
        `(3, 3)` rotation from crystal axes to (x, y, z): every pair of strong peaks is laid on
        every pair of lattice vectors of the same lengths and angle, the best guess wins.
    """
    length = np.linalg.norm(q, axis=1)
    g = cell.lattice_points(float(length.max()) * (1 + scale_tolerance)) @ cell.reciprocal
    guesses = _two_vector_guesses(q, length, g, scale_tolerance)
    if len(guesses) == 0:
        return None
    from scipy.spatial import cKDTree

    tree = cKDTree(g)
    best, best_score = None, -1.0
    for start in range(0, len(guesses), 500):
        rotations = guesses[start : start + 500]
        turned = np.einsum("ni,mij->mnj", q, rotations)  # R^T q: into the crystal frame
        distance = tree.query(turned)[0]
        # the wrong scale moves far peaks more
        allowed = tolerance + scale_tolerance / 3 * length
        score = (weights * np.maximum(1 - (distance / allowed) ** 2, 0)).sum(axis=1)
        top = int(score.argmax())
        if score[top] > best_score:
            best, best_score = rotations[top], float(score[top])
    return best


def _two_vector_guesses(
    q: np.ndarray, length: np.ndarray, g: np.ndarray, scale_tolerance: float, strong: int = 10
) -> np.ndarray:
    g_length = np.linalg.norm(g, axis=1)
    found = []
    for i in range(min(strong, len(q))):
        for j in range(i):
            first = g[np.abs(g_length - length[i]) < scale_tolerance * length[i]]
            second = g[np.abs(g_length - length[j]) < scale_tolerance * length[j]]
            if len(first) == 0 or len(second) == 0:
                continue
            wanted = np.degrees(np.arccos(np.clip(q[i] @ q[j] / (length[i] * length[j]), -1, 1)))
            if not 12 < wanted < 168:
                continue
            cosine = first @ second.T
            cosine /= np.outer(np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1))
            a, b = np.nonzero(np.abs(np.degrees(np.arccos(np.clip(cosine, -1, 1))) - wanted) < 4)
            to = _frame(q[i][None], q[j][None])
            found.append(np.einsum("nij,mkj->mik", to, _frame(first[a], second[b])))
    return np.concatenate(found) if found else np.empty((0, 3, 3))


def _frame(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`(n, 3, 3)` orthonormal columns: the bisector of two vectors, their normal, and the third."""
    u = one / np.linalg.norm(one, axis=1, keepdims=True)
    v = other / np.linalg.norm(other, axis=1, keepdims=True)
    along = u + v
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    normal = np.cross(u, v)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    return np.stack([along, normal, np.cross(along, normal)], axis=-1)
