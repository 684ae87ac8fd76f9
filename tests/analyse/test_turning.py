"""A rotation between two volumes is found, told and taken out; its sense is that of the tilts."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parent))
from _crystals import VOXEL, noisy, particle, rotation

from napari_phaset3m.analyse.compare import compare
from napari_phaset3m.analyse.turning import find_turn, held, turn_matrix, turned

N = 40


def tilted(tilt_deg: float, n: int = N) -> np.ndarray:
    """A crystal tilted as the conventions say, atom by atom: x' = x cos - z sin, z' = x sin + z cos."""
    c, s = np.cos(np.deg2rad(tilt_deg)), np.sin(np.deg2rad(tilt_deg))
    turn = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    return particle(turn @ rotation(4), n=n, diameter=14.0)


def test_the_matrix_is_the_tilt_of_the_conventions() -> None:
    c, s = np.cos(np.deg2rad(7)), np.sin(np.deg2rad(7))
    np.testing.assert_allclose(
        turn_matrix(np.array([0, 7, 0])), [[c, 0, -s], [0, 1, 0], [s, 0, c]], atol=1e-12
    )


def test_turning_moves_what_the_matrix_says() -> None:
    volume = np.zeros((N,) * 3, np.float32)
    volume[20, 12, 30] = 1  # z, y, x
    angles = np.array([3.0, -4.0, 5.0])
    z, y, x = np.meshgrid(*[np.arange(N) - (N - 1) / 2] * 3, indexing="ij")
    weight = np.clip(turned(volume, angles), 0.02, None) - 0.02
    found = [float((weight * axis).sum() / weight.sum()) for axis in (x, y, z)]
    expected = turn_matrix(angles) @ (np.array([30.0, 12.0, 20.0]) - (N - 1) / 2)
    np.testing.assert_allclose(found, expected, atol=0.12)


@pytest.mark.parametrize("tilt", [-3.3, 2.0])
def test_a_tilt_offset_is_found_and_taken_out(tilt: float) -> None:
    reference, other = tilted(0), noisy(tilted(-tilt), 0.5)
    plain = compare(reference, other, VOXEL)
    found = compare(reference, other, VOXEL, turning="tilt")
    # the other specimen was tilted by -tilt: a tilt by +tilt brings it back
    assert found.turn_deg == pytest.approx((0, tilt, 0), abs=0.25)
    assert found.correlation > plain.correlation + 0.02
    assert f"turned by {found.turn_deg[1]:.2f}° about the tilt axis" in found.statement()
    assert found.as_dict()["turn_deg_xyz"] == list(found.turn_deg)


def test_all_three_angles_are_found_together_with_a_shift() -> None:
    reference = tilted(0)
    angles = np.array([1.5, -2.0, 1.0])
    other = np.roll(turned(reference, angles), 2, axis=0)
    found = compare(reference, other, VOXEL, turning="all")
    # the inverse turn; to first order its angles are opposite
    np.testing.assert_allclose(found.turn_deg, -angles, atol=0.25)
    assert found.correlation > 0.97
    assert found.shift_angstrom[0] == pytest.approx(-2 * VOXEL, abs=0.2)


def test_volumes_that_lie_alike_and_noise_are_left_alone() -> None:
    reference = tilted(0)
    found = compare(reference, noisy(tilted(0), 1.0), VOXEL, turning="tilt")
    assert found.turn_deg == (0, 0, 0) and "turned" not in found.statement()
    assert not find_turn(reference, reference, None, "none", 5).best_deg.any()
    flat = compare(reference, noisy(reference, 0.1), (1.0, 1.0, 0.5), turning="tilt")
    assert "not cubic" in " ".join(flat.notes)


def field(seed: int, n: int = N, width: float = 2.0) -> np.ndarray:
    """An amorphous specimen that fills the box."""
    rng = np.random.default_rng(seed)
    return ndimage.gaussian_filter(rng.standard_normal((n,) * 3), width).astype(np.float32)


def test_volumes_that_hardly_agree_are_not_turned() -> None:
    gained = []
    for seed in range(0, 12, 2):
        found = find_turn(field(seed), field(seed + 1), None, "tilt", 10)
        assert not found.angles_deg.any()
        gained.append(found.gain / found.chance if found.gain else 0.0)
        assert not found.gain > 1e-3 or "not beyond chance" in found.note()
    # the best of 13 angles: what chance does is told about right
    assert 0.2 < np.sqrt(np.mean(np.square(gained))) < 2


@pytest.mark.parametrize("tilt", [0.6, 1.0, -3.0])
def test_a_turn_is_found_where_the_specimen_fills_the_box(tilt: float) -> None:
    """Each turn brings nothing into the corners; that must not speak for no turn."""
    large = field(5, n=64, width=1.5)
    part = (slice(12, 52),) * 3
    reference, other = large[part], turned(large, np.array([0.0, -tilt, 0.0]))[part]
    found = compare(reference, other, VOXEL, turning="tilt")
    assert found.turn_deg == pytest.approx((0, tilt, 0), abs=0.1)
    # what came in at the corners has no part in the numbers
    assert found.correlation > 0.995
    assert any("Compared where both hold data" in note for note in found.notes)


def test_interpolation_alone_turns_nothing() -> None:
    """It damps noise, and would make any turn look better than none."""
    reference = tilted(0)
    for seed in range(3):
        found = find_turn(reference, noisy(reference, 3.0, seed), None, "tilt", 10)
        assert abs(found.best_deg[1]) < 0.5 and found.gain < 2 * found.chance


def test_the_box_that_holds_data_after_a_turn() -> None:
    shape = np.array((30, 34, 38))
    for angles in ([0, 5, 0], [3, -4, 6], [0, 0, 2]):
        box = held(tuple(shape), np.array(angles, float))
        ends = np.array(np.meshgrid(*[(part.start, part.stop - 1) for part in box])).reshape(3, -1)
        corners = ends - (shape[:, None] - 1) / 2
        from_where = turn_matrix(np.array(angles, float)).T[::-1, ::-1] @ corners
        assert (np.abs(from_where) <= (shape[:, None] - 1) / 2 + 1e-9).all()
    assert held(tuple(shape), np.array([0, 5.0, 0]))[1] == slice(0, 34), "a tilt leaves y alone"
    assert held(tuple(shape), np.zeros(3)) == tuple(slice(0, n) for n in shape)
