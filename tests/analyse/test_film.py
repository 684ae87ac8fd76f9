"""Frames of films: what turns, what is sliced, and what is burned in."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.analyse.film.frames import slice_film, sweep_film, turntable_film
from napari_phaset3m.analyse.film.marks import burn
from napari_phaset3m.errors import ConfigError


def ball(shape: tuple[int, int, int], at: tuple[float, float, float], radius: float = 3.0) -> np.ndarray:
    grid = np.indices(shape, np.float32)
    r2 = sum((g - c) ** 2 for g, c in zip(grid, at, strict=True))
    return np.exp(-r2 / radius**2).astype(np.float32)


def centre_of(frame: np.ndarray) -> tuple[float, float]:
    """(down, right) of the brightness, away from what is burned in at the left."""
    grey = frame[..., 0].astype(float).copy()
    grey[: len(grey) // 8] = grey[-len(grey) // 8 :] = 0
    rows, columns = np.indices(grey.shape)
    return float((grey * rows).sum() / grey.sum()), float((grey * columns).sum() / grey.sum())


@pytest.mark.parametrize("look", ["mip", "surface"])
def test_turntable_turns_as_it_says(look: str) -> None:
    """A ball at +x is at the right, a quarter turn on it is in the middle, after half a turn at the left."""
    volume = ball((32, 32, 32), (15.5, 15.5, 24.0))
    volume += 1e-3 * ball((32, 32, 32), (15.5, 15.5, 7.0))
    film = turntable_film(volume, 0.5, look=look, frames=4, size=128)  # type: ignore[arg-type]
    frames = list(film)
    assert film.count == len(frames) == 4
    assert all(frame.shape == (128, 128, 3) and frame.dtype == np.uint8 for frame in frames)
    across = [centre_of(frame)[1] - 63.5 for frame in frames]
    assert across[0] > 15 and across[2] < -15
    # the light comes from the left: a lit ball is brighter there
    assert abs(across[1]) < 7 and abs(across[3]) < 7


def test_slices_come_in_order_with_their_place() -> None:
    volume = ball((10, 24, 36), (5.0, 12.0, 18.0), radius=1.5)
    film = slice_film(volume, 0.5, size=180)
    assert film.count == 10 and film.size == (180, 120)
    bright = [float(frame[40:80, 70:110].mean()) for frame in film]
    assert int(np.argmax(bright)) == 5 and bright[0] < 20
    across = slice_film(volume, 0.5, axis="x", size=128, frames=4)
    assert across.count == 4 and across.size == (128, 54)


def test_a_slice_is_as_thick_as_asked_everywhere() -> None:
    """One bright plane shows in as many frames as voxels are averaged, wherever it lies."""
    for bright in (3, 4):
        volume = np.zeros((9, 24, 24), np.float32)
        volume[bright] = 1.0
        for thickness, planes in ((0.0, 1), (0.5, 1), (1.0, 2), (1.5, 3), (2.0, 4)):
            film = slice_film(volume, 0.5, size=96, thickness_angstrom=thickness)
            assert sum(frame[40:56, 40:56].max() > 40 for frame in film) == planes
    with pytest.raises(ConfigError, match="thickness_angstrom: is -1"):
        slice_film(volume, 0.5, thickness_angstrom=-1)


def test_odd_sizes_become_even() -> None:
    film = slice_film(np.random.default_rng(0).random((5, 31, 47), np.float32), 1.0, size=301)
    assert all(edge % 2 == 0 for edge in film.size)
    assert film.draw(0).shape[:2] == film.size[::-1]


def test_scale_bar_has_its_length() -> None:
    """A third of a 200 px frame of 1 Å pixels holds a bar of 50 Å."""
    frame = burn(np.zeros((200, 200, 3), np.uint8), 1.0, "")
    row = frame[200 - round(0.03 * 200) - 3, :, 0]
    assert abs(int((row > 200).sum()) - 51) <= 1


def test_sweeps_share_one_scale() -> None:
    last = ball((32, 32, 1), (16, 16, 0))[..., 0]
    film = sweep_film([("sweep 1", 0.2 * last), ("sweep 2", last)], 0.5, size=128)
    first, second = (int(frame[60:70, 60:70].max()) for frame in film)
    assert second > 250 and first < 80


def test_nonsense_is_refused() -> None:
    volume = np.zeros((4, 4, 4), np.float32)
    with pytest.raises(ConfigError, match="size"):
        slice_film(volume, 1.0, size=5)
    with pytest.raises(ConfigError, match="frames"):
        turntable_film(volume, 1.0, frames=0)
    with pytest.raises(ConfigError, match="axis"):
        slice_film(volume, 1.0, axis="w")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="level"):
        turntable_film(volume, 1.0, look="surface", level=2.0)
    with pytest.raises(ConfigError, match="sweeps"):
        sweep_film([], 1.0)
