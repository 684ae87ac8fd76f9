"""Small simulated series with known shifts, by the simulator: sampled finer than the models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align.gauge import without_freedoms
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.reference import Reference
from napari_phaset3m.simulate.api import simulate
from napari_phaset3m.simulate.config import SimulationConfig


class Case(NamedTuple):
    """A series and what was done to it."""

    series: TiltFocalSeries
    shifts_px: np.ndarray
    defocus_angstrom: np.ndarray

    def errors(self, found: Alignment) -> tuple[float, float]:
        """RMS of shifts (px, per axis) and standard deviation of defocus (angstrom), freedoms removed."""
        off = found.replace(shifts_px=found.shifts_px - self.shifts_px)
        off = without_freedoms(off, self.series.pixel_size_angstrom, float(found.tilt_deg.mean()))
        shift = float(np.sqrt((off.shifts_px**2).mean()))
        defocus = found.defocus_angstrom
        return shift, float("nan") if defocus is None else float((defocus - self.defocus_angstrom).std())


def small_series(**errors: Any) -> Case:
    """Gold, 48 pixels of 0.6 angstrom, 15 tilts of two foci, 400 e/angstrom^2 per image."""
    config = SimulationConfig.parse(
        specimen={"kind": "gold", "diameter_angstrom": 14.0},
        acquisition={
            "image_size_px": 48,
            "pixel_size_angstrom": 0.6,
            "n_tilt": 15,
            "tilt_min_deg": -63,
            "tilt_max_deg": 63,
            "defocus_angstrom": (500.0, 1100.0),
            "dose_per_image": 400.0,
        },
        errors=errors,
        numerics={"supersampling": 2, "slice_thickness_angstrom": 1.5, "threads": 1},
        seed=3,
    )
    result = simulate(config)
    truth = result.truth
    return Case(
        result.series,
        np.array(truth["shifts_px_yx"]),
        np.array(truth["defocus_center_angstrom"]),
    )


@pytest.fixture(scope="session")
def shifted() -> Case:
    """Shifts of 2 px and defoci of 50 angstrom (standard deviations) that the series does not tell."""
    return small_series(shift_sigma_px=2.0, defocus_sigma_angstrom=50.0)


@pytest.fixture(scope="session")
def volume_of() -> Callable[[Reference, tuple[float, float, float]], np.ndarray]:
    """Makes a volume for a reference: a few atoms about (z, y, x), voxels from the centre."""
    return _volume_of


def _volume_of(reference: Reference, place: tuple[float, float, float]) -> np.ndarray:
    """A few atoms about ``place`` (z, y, x), voxels from the centre."""
    nz, nx, ny = reference.stage.problem.geometry.volume_shape
    total = np.zeros((nz, nx, ny))
    for z, y, x in ((0, 0, 0), (2, -3, 4), (-4, 3, 1), (1, 4, -3)):
        dz = np.arange(nz) - (nz - 1) / 2 - z - place[0]
        dx = np.arange(nx) - (nx - 1) / 2 - x - place[2]
        dy = np.arange(ny) - (ny - 1) / 2 - y - place[1]
        r2 = dz[:, None, None] ** 2 + dx[None, :, None] ** 2 + dy[None, None, :] ** 2
        total += np.exp(-r2 / (2 * 1.5**2))
    return np.asarray(0.05 * total[None], np.float32)
