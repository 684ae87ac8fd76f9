"""Cones in Fourier space: sums over their shells, and what a mask correlates in each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_phaset3m.analyse.fsc_masked import (
    REALISATIONS,
    Choice,
    MaskShare,
    Pair,
    Prepared,
    first_low,
    randomised_pairs,
)
from napari_phaset3m.analyse.shells import ShellGrid, correlation, cross_and_powers

#: Cones whose phases are made random together lie this many half angles apart, axis from axis. The gap
#: between them is then half a cone, and where a cone holds enough voxels to tell signal from noise that
#: is wider than the mask blurs.
APART = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Cones:
    """Cones around axes (and their mates at -k) in the Fourier space of a grid."""

    grid: ShellGrid
    axes: np.ndarray
    half_angle_deg: float

    def inside(self, z: int, points: np.ndarray) -> np.ndarray:
        """`(n_axes, n)` bool of flat positions in plane z."""
        grid, width = self.grid, self.grid.kx.size
        k = np.stack([grid.kx[points % width], grid.ky[points // width], np.full(points.size, grid.kz[z])])
        k /= np.maximum(np.linalg.norm(k, axis=0), 1e-30)
        return np.asarray(np.abs(self.axes @ k) >= np.cos(np.radians(self.half_angle_deg)) - 1e-9)

    def correlate(self, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
        """`(n_axes, n)` independent voxels and FSC in each cone."""
        n = self.grid.n + 1
        sums = np.zeros((4, len(self.axes), n))
        for z, plane in self.grid.planes():
            values = (*cross_and_powers(pair[0][z], pair[1][z], plane), plane.weight.astype(float))
            for i, chosen in enumerate(self.inside(z, plane.points)):
                shell = plane.shell[chosen]
                for row, value in zip(sums, values, strict=True):
                    row[i] += np.bincount(shell, value[chosen], n)
        counts = sums[3, :, 1:] / 2
        return counts, correlation(sums[0, :, 1:], sums[1, :, 1:], sums[2, :, 1:], counts)

    def chosen(self, beyond: np.ndarray) -> Choice:
        """The points of each cone from its shell ``beyond`` on."""

        def choice(z: int) -> np.ndarray:
            result = np.zeros(self.grid.ky.size * self.grid.kx.size, bool)
            first = np.array([self.grid.from_shell(z, int(at)).ravel() for at in np.unique(beyond)])
            points = np.flatnonzero(first.any(0))
            far = first[np.searchsorted(np.unique(beyond), beyond)][:, points]
            result[points] = (self.inside(z, points) & far).any(0)
            return result.reshape(self.grid.ky.size, self.grid.kx.size)

        return choice

    def some(self, which: list[int]) -> Cones:
        """A few of them."""
        return Cones(self.grid, self.axes[which], self.half_angle_deg)


def mask_shares(prepared: Prepared, cones: Cones) -> list[MaskShare]:
    """What the mask makes in each cone.

    Each needs random phases in itself and not in its neighbours, whose leak is to be seen; those far
    from each other are made random together, which takes a third of the transforms.
    """
    _, unmasked = cones.correlate(prepared.plain)
    beyond = np.array([first_low(one) for one in unmasked])
    low = np.flatnonzero(beyond < cones.grid.n)
    groups = [low[g].tolist() for g in apart(cones.axes[low], APART * cones.half_angle_deg)]
    some = [cones.some(g) for g in groups]
    choices = [one.chosen(beyond[g]) for one, g in zip(some, groups, strict=True)]
    total = np.zeros_like(unmasked)
    for number, pair in randomised_pairs(prepared, cones.grid, choices):
        total[groups[number]] += some[number].correlate(pair)[1] / REALISATIONS
    return [
        MaskShare(unmasked[i], total[i] if at < cones.grid.n else None, int(at))
        for i, at in enumerate(beyond)
    ]


def apart(axes: np.ndarray, angle_deg: float) -> list[list[int]]:
    """Groups of axes (either sense) at least an angle from each other; each in the first that fits."""
    near = np.abs(axes @ axes.T) > np.cos(np.radians(min(angle_deg, 90.0))) + 1e-9
    groups: list[list[int]] = []
    for i in range(len(axes)):
        for group in groups:
            if not near[i, group].any():
                group.append(i)
                break
        else:
            groups.append([i])
    return groups
