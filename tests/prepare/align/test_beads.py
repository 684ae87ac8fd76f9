"""Beads of a simulated series: found, followed and solved, against the truth."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.align.api import align
from napari_phaset3m.prepare.align.bead_model import solve_beads
from napari_phaset3m.prepare.align.beads import Tracks, bead_diameter, find_beads, track
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.model import Alignment, specimen_translation
from napari_phaset3m.prepare.align.words import told_words

SIZE, DIAMETER, AXIS = 160, 7.0, 1.7
TILTS = np.arange(-60, 61, 4.0)


def truth(seed: int = 2, n_bead: int = 14):
    rng = np.random.default_rng(seed)
    beads = np.stack(
        (rng.uniform(-14, 14, n_bead), rng.uniform(-52, 52, n_bead), rng.uniform(-52, 52, n_bead)), -1
    )
    shifts = rng.normal(0, 4, (TILTS.size, 2))
    return beads, shifts


def project(beads: np.ndarray, shifts: np.ndarray, axis: float = AXIS) -> np.ndarray:
    z, y, x = beads.T[..., None]
    t, a = np.radians(TILTS), np.radians(axis)
    across = x * np.cos(t) - z * np.sin(t)
    return np.stack(
        (
            np.sin(a) * across + np.cos(a) * y + shifts[:, 0],
            np.cos(a) * across - np.sin(a) * y + shifts[:, 1],
        ),
        -1,
    )


def images(places: np.ndarray, noise: float = 0.04, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    grid = np.arange(SIZE) - (SIZE - 1) / 2
    result = 1 + rng.normal(0, noise, (TILTS.size, SIZE, SIZE))
    for path in places:
        for tilt, (py, px) in enumerate(path):
            r = np.hypot(grid[:, None] - py, grid[None] - px)
            # A gold ball: its chord, with an edge as soft as a pixel.
            result[tilt] -= 0.6 * np.sqrt(np.clip(1 - (r / (DIAMETER / 2)) ** 2, 0, 1))
    return result


def true_axes_error(found: Alignment, shifts: np.ndarray) -> np.ndarray:
    a = np.radians(AXIS)
    e = found.shifts_px[:, 0] - shifts
    e = np.stack((np.cos(a) * e[:, 0] - np.sin(a) * e[:, 1], np.cos(a) * e[:, 1] + np.sin(a) * e[:, 0]), -1)
    z, y, x = specimen_translation(e[:, None], TILTS)
    t = np.radians(TILTS)
    return e - np.stack((np.full_like(t, y), x * np.cos(t) - z * np.sin(t)), -1)


def start() -> Alignment:
    zero = np.zeros((TILTS.size, 1))
    return Alignment(
        shifts_px=np.zeros((TILTS.size, 1, 2)),
        rotation_deg=zero,
        magnification=zero + 1,
        tilt_deg=TILTS,
        used=zero == 0,
    )


def test_the_whole_path_from_images():
    beads, shifts = truth()
    stack = images(project(beads, shifts))
    diameter = bead_diameter(stack[TILTS.size // 2], 3, 20)
    assert diameter == pytest.approx(DIAMETER, rel=0.2)
    tracks = track([find_beads(image, diameter) for image in stack], TILTS, diameter, 20)
    assert len(tracks.places_px) >= 12 and tracks.seen.mean() > 0.85
    found = solve_beads(tracks, start(), 3.0)
    assert found.axis_angle_deg == pytest.approx(AXIS, abs=0.15)
    assert abs(found.axis_angle_deg - AXIS) < 4 * found.axis_error_deg
    assert np.sqrt((true_axes_error(found.alignment, shifts) ** 2).mean()) < 0.12
    assert np.nanmedian(found.residual_px) < 0.3
    assert np.allclose(found.residual_angstrom, 3 * found.residual_px, equal_nan=True)


def test_heights_have_the_sign_of_the_tilts():
    beads, shifts = truth()
    tracks = Tracks(project(beads, shifts), DIAMETER)
    found = solve_beads(tracks, start(), 1.0)
    centred = beads - beads.mean(0)
    assert np.allclose(found.places_px, centred, atol=1e-3)
    mirrored = solve_beads(tracks, start().replace(tilt_deg=-TILTS), 1.0)
    assert np.allclose(mirrored.places_px[:, 0], -centred[:, 0], atol=1e-3)  # handedness is not in the data


def test_one_wrong_bead_does_not_spoil_the_rest():
    beads, shifts = truth()
    places = project(beads, shifts) + np.random.default_rng(4).normal(0, 0.05, (14, TILTS.size, 2))
    places[3, 5:9] += 15
    found = solve_beads(Tracks(places, DIAMETER), start(), 1.0)
    assert np.sqrt((true_axes_error(found.alignment, shifts) ** 2).mean()) < 0.06
    assert np.nanmax(found.residual_px) == pytest.approx(15 * np.sqrt(2), rel=0.3)  # it pulls a little


def test_rotation_and_magnification_of_each_tilt():
    beads, shifts = truth()
    rng = np.random.default_rng(8)
    turn, scale = rng.normal(0, 0.4, TILTS.size), 1 + rng.normal(0, 0.004, TILTS.size)
    plain = start().replace(rotation_deg=(AXIS + turn)[:, None], magnification=scale[:, None],
                            shifts_px=shifts[:, None])  # fmt: skip
    z, y, x = beads.T[..., None]
    t = np.radians(TILTS)
    aligned = np.stack((np.broadcast_to(y, (14, TILTS.size)), x * np.cos(t) - z * np.sin(t)), -1)
    given = plain.to_given(aligned.transpose(1, 0, 2)[:, None])[:, 0].transpose(1, 0, 2)
    found = solve_beads(Tracks(given, DIAMETER), start(), 1.0, rotation=True, magnification=True)
    assert np.allclose(found.alignment.rotation_deg[:, 0], AXIS + turn, atol=0.02)
    assert np.allclose(found.alignment.magnification[:, 0] / scale, 1 / scale.mean(), atol=2e-4)


def test_too_few_beads_are_refused():
    beads, shifts = truth(n_bead=2)
    with pytest.raises(DataError, match="2 beads were followed"):
        solve_beads(Tracks(project(beads, shifts), DIAMETER), start(), 1.0)
    beads, shifts = truth(n_bead=5)
    places = project(beads, shifts)
    places[:4, 7] = np.nan
    with pytest.raises(DataError, match="tilt 7 shows 1 of them"):
        solve_beads(Tracks(places, DIAMETER), start(), 1.0)


def test_the_stage_aligns_a_series():
    """Two foci whose shifts differ by a constant: it is kept, and all images come to lie on their beads."""
    beads, shifts = truth(n_bead=10)
    stack = images(project(beads, shifts), noise=0.02)
    between = np.array([2.0, -1.0])
    series = TiltFocalSeries(
        images=np.stack((stack, np.roll(stack, (2, -1), (1, 2))), 1), tilt_deg=TILTS,
        pixel_size_angstrom=10.0, energy_ev=3e5, shifts_px=np.stack([np.zeros(2), between])[None],
    )  # fmt: skip
    config = AlignConfig.parse(stages=("beads",), match={"match_bins": (8,)}, reference={"sweeps": 3})
    done = align(series, config)
    stage, found = done.result.stages[0], done.result.alignment
    assert stage.kept and 8 <= stage.told["n_beads"] <= 11
    assert stage.told["diameter_angstrom"] == pytest.approx(10 * DIAMETER, rel=0.2)
    assert found.axis_angle_deg == pytest.approx(AXIS, abs=0.2)
    assert done.result.axis.angle_error_deg == stage.told["axis_error_deg"]
    assert np.sqrt((true_axes_error(found, shifts) ** 2).mean()) < 0.12
    np.testing.assert_allclose(found.shifts_px[:, 1] - found.shifts_px[:, 0] - between, 0, atol=0.05)
    assert "10 beads of" in told_words("beads", stage.told)


def test_a_series_without_beads_says_so():
    noise = np.random.default_rng(0).normal(1, 0.1, (5, 1, 64, 64))
    series = TiltFocalSeries(images=noise, tilt_deg=TILTS[:5], pixel_size_angstrom=10.0, energy_ev=3e5)
    with pytest.raises(DataError, match="beads"):
        align(series, AlignConfig.parse(stages=("beads",), match={"match_bins": (4,)}))
