"""Two alignments in a row as one."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align import compose
from napari_phaset3m.prepare.align.apply import apply
from napari_phaset3m.prepare.align.compose import onto, resampled_once
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.result import AlignResult
from napari_phaset3m.prepare.events import Done, Progress, drain
from napari_phaset3m.prepare.history import recorded


def smooth() -> TiltFocalSeries:
    rng = np.random.default_rng(0)
    y, x = np.meshgrid(np.arange(64) - 31.5, np.arange(64) - 31.5, indexing="ij")
    images = np.zeros((3, 2, 64, 64), np.float32)
    for index in np.ndindex(3, 2):
        for py, px in rng.uniform(-12, 12, (4, 2)):
            images[index] += np.exp(-((y - py) ** 2 + (x - px) ** 2) / 32)
    return TiltFocalSeries(images=images, tilt_deg=[-30, 0, 30], pixel_size_angstrom=2.0, energy_ev=3e5)


def some(series: TiltFocalSeries, seed: int, angle: float) -> Alignment:
    rng = np.random.default_rng(seed)
    return Alignment.of(series).replace(
        shifts_px=rng.normal(0, 3, (3, 2, 2)),
        rotation_deg=angle + rng.normal(0, 2, (3, 2)),
        magnification=1 + rng.normal(0, 0.02, (3, 2)),
        shift_error_px=0.5,
    )


def field(grid: int, size: float) -> np.ndarray:
    """Smooth enough that reading it between the points of a grid is exact."""
    y, x = np.meshgrid(np.linspace(-1, 1, grid), np.linspace(-1, 1, grid), indexing="ij")
    return np.broadcast_to(size * np.stack((1.5 * x, -0.5 + y)), (3, 2, 2, grid, grid))


def aligned_by(monkeypatch, second: Alignment, local: np.ndarray | None):
    """Let the engine find this alignment, whatever it is given."""

    def found(series, config, *, finish=None):
        yield Progress("half", 0.5, {"shifts_px": second.shifts_px, "rotation_deg": second.rotation_deg})
        yield Done(recorded(apply(series, second, local), "align"), AlignResult(second, (), local_px=local))

    monkeypatch.setattr(compose, "iterate_align", found)


@pytest.mark.parametrize("inner", [None, field(4, 2.0)])
@pytest.mark.parametrize("outer", [None, field(5, 1.0)])
def test_it_says_the_same_as_one_after_the_other(monkeypatch, inner, outer):
    given = smooth()
    first = some(given, 1, 40.0)
    between = apply(given, first, inner)
    second = some(between, 2, -5.0)
    twice = apply(between, second, outer)
    aligned_by(monkeypatch, second, outer)
    progress, done = compose.iterate_after(given, first, local=inner)
    whole = done.result.alignment
    assert np.allclose(progress.detail["shifts_px"], whole.shifts_px)
    assert np.allclose(progress.detail["rotation_deg"], whole.rotation_deg)
    told = apply(given, whole, done.result.local_px)
    assert np.allclose(told.images, twice.images, atol=6e-3)
    assert np.allclose(told.shifts_px, twice.shifts_px)
    assert told.tilt_axis_angle_deg == pytest.approx(twice.tilt_axis_angle_deg, abs=0.01)
    assert done.result.axis.angle_deg == pytest.approx(35.0, abs=2.0)
    assert done.series.metadata["history"][-1]["told"]["axis_angle_deg"] == done.result.axis.angle_deg
    assert np.array_equal(resampled_once(given, first, done).images, told.images)


def test_errors_of_the_shifts_are_told_in_given_pixels():
    given = smooth()
    first = Alignment.of(given).replace(rotation_deg=90.0, magnification=2.0)
    second = Alignment.of(given).replace(shift_error_px=np.full((3, 2, 2), (0.1, 0.3)))
    assert np.allclose(onto(first, second).shift_error_px, (0.6, 0.2))


def test_images_resampled_once_already_stay(monkeypatch):
    given = smooth()
    first = some(given, 1, 40.0)
    between = apply(given, first)
    aligned_by(monkeypatch, Alignment.of(between), None)
    done = drain(compose.iterate_after(given, first))
    assert resampled_once(given, first, done) is done.series
    assert np.allclose(done.result.alignment.shifts_px, first.shifts_px)
