"""Foci that drifted far apart are brought near each other by what is coarse in them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_phaset3m.core.contrast import contrast_transfer
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align import api
from napari_phaset3m.prepare.align.chain import chained
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.work import Share, Work
from napari_phaset3m.prepare.events import Progress

SIZE, PIXEL = 160, 0.6
FOCI = np.array([1500.0, 900.0, 300.0])
#: (y, x) drift from one focus to the next, pixels.
DRIFT = np.array([[0.0, 0.0], [-14.0, 38.0], [9.0, 75.0]])


def series_of(drift: np.ndarray, noise: float, specimen: float = 1.0, seed: int = 4) -> TiltFocalSeries:
    """A lattice in part of a film, seen in a window that drifts: nothing wraps around."""
    rng, n = np.random.default_rng(seed), 2 * SIZE
    y, x = np.mgrid[:n, :n]
    film = gaussian_filter(rng.normal(0, 1, (n, n)), 5)
    film /= film.std()
    lattice = np.cos(2 * np.pi * x / 4.2) + np.cos(2 * np.pi * (0.5 * x + 0.87 * y) / 4.2)
    grain = gaussian_filter(rng.normal(0, 1, (n, n)), 18) > 0
    phase = specimen * (0.08 * film + 0.03 * lattice * grain)
    scope = Microscope(energy_ev=3e5, spherical_aberration_angstrom=1e7, focal_spread_angstrom=30.0)
    grid, images = Grid(n, n, PIXEL), []
    for defocus, (dy, dx) in zip(FOCI, drift, strict=True):
        transfer = contrast_transfer(grid, scope, float(defocus))
        contrast = np.fft.ifft2(np.fft.fft2(phase.T) * transfer).real.T
        at_y, at_x = SIZE // 2 - round(dy), SIZE // 2 - round(dx)
        images.append(1 - contrast[at_y : at_y + SIZE, at_x : at_x + SIZE])
    images = np.array(images)[None] + rng.normal(0, noise, (1, FOCI.size, SIZE, SIZE))
    return TiltFocalSeries(
        images=images, tilt_deg=np.zeros(1), pixel_size_angstrom=PIXEL, energy_ev=3e5, defocus_angstrom=FOCI,
        spherical_aberration_angstrom=1e7, focal_spread_angstrom=30.0,
    )  # fmt: skip


def near(work: Work) -> np.ndarray:
    steps, told = chained(work, 4, Share(0.0, 1.0)), 0
    while True:
        try:
            told += isinstance(next(steps), Progress)
        except StopIteration as end:
            assert told == work.original.n_tilt or work.finishing
            return end.value


def apart(shifts: np.ndarray) -> np.ndarray:
    return shifts[0] - shifts[0, :1]


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_a_large_drift_is_found(noise):
    series = series_of(DRIFT, noise)
    work = Work(series, AlignConfig(), Alignment.of(series))
    assert np.abs(apart(near(work)) - DRIFT).max() < 2
    done = api.align(series, AlignConfig(stages=("focal",), focal={"focal_geometry": False}))
    assert done.result.stages[0].kept
    assert np.abs(apart(done.result.alignment.shifts_px) - DRIFT).max() < 1.0


def test_without_it_the_drift_is_not_found(monkeypatch):
    from napari_phaset3m.prepare.align import focal

    def left(work, bin_, share):
        yield Progress("left", 0.0)
        return work.aligned_shifts_px

    monkeypatch.setattr(focal, "chained", left)
    done = api.align(series_of(DRIFT, 0.0), AlignConfig(stages=("focal",), focal={"focal_geometry": False}))
    assert np.abs(apart(done.result.alignment.shifts_px) - DRIFT).max() > 10


def test_noise_moves_nothing():
    for seed in range(10):
        series = series_of(0 * DRIFT, 0.15, specimen=0.0, seed=seed)
        work = Work(series, AlignConfig(), Alignment.of(series))
        assert np.array_equal(near(work), work.aligned_shifts_px)


def test_good_shifts_stay():
    series = series_of(DRIFT, 0.0).replace(shifts_px=DRIFT[None])
    work = Work(series, AlignConfig(), Alignment.of(series))
    assert np.abs(apart(near(work)) - DRIFT).max() < 1.5


def test_it_looks_no_farther_than_asked():
    series = series_of(DRIFT, 0.0)
    config = AlignConfig(focal={"focal_search_px": 10.0})
    found = apart(near(Work(series, config, Alignment.of(series))))
    assert np.abs(np.diff(found, axis=0)).max() <= 11


def test_it_ends_early_where_the_user_wants_to():
    class Now:
        def finish_requested(self) -> bool:
            return True

    series = series_of(DRIFT, 0.0)
    work = Work(series, AlignConfig(), Alignment.of(series), Now())
    assert np.array_equal(near(work), work.aligned_shifts_px)
