from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from _eer import write_eer

from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.movies import MovieConfig, open_movie

RNG = np.random.default_rng(5)


def _write_mrc(path, data, pixel=1.5):
    with mrcfile.new(path) as mrc:
        mrc.set_data(data)
        mrc.set_image_stack()
        mrc.voxel_size = pixel


def _events(shape, count, seed):
    places = np.random.default_rng(seed).choice(shape[0] * shape[1], count, replace=False)
    return [(int(p // shape[1]), int(p % shape[1]), int(p % 4), int(p // 4 % 4)) for p in places]


def _render(events, shape, up):
    image = np.zeros((shape[0] * up, shape[1] * up))
    for y, x, sub_y, sub_x in events:
        image[y * up + sub_y * up // 4, x * up + sub_x * up // 4] += 1
    return image[::-1]


def test_mrc_frames_with_gain_and_dose(tmp_path):
    data = RNG.poisson(3, (6, 12, 16)).astype(np.int16)
    _write_mrc(tmp_path / "m.mrc", data)
    gain = RNG.uniform(0.5, 1.5, (12, 16)).astype(np.float32)
    gain[3, 4] = 0
    movie = open_movie(tmp_path / "m.mrc", gain, dose=12.0)
    assert movie.shape == (6, 12, 16) and movie.n_frames == 6 and movie.dtype == np.float32
    assert movie.dose_per_frame == 2.0 and movie.total_dose == 12.0
    assert movie.pixel_size_angstrom == 1.5
    for image, raw in zip(movie.frames(), data, strict=True):
        np.testing.assert_allclose(image, raw * gain, rtol=1e-6)
    np.testing.assert_allclose(movie.total(), (data * gain).sum(axis=0), rtol=1e-5)
    assert "1 dead pixels" in " ".join(movie.notes)
    divided = open_movie(tmp_path / "m.mrc", gain, config=MovieConfig(gain_mode="divide"))
    np.testing.assert_allclose(divided.frame(2)[0], data[2, 0] / gain[0], rtol=1e-6)


@pytest.mark.parametrize("name", ["m.mrc", "m.tif"])
def test_frames_are_read_one_by_one(tmp_path, name):
    data = RNG.poisson(3, (40, 256, 256)).astype(np.uint8)
    if name.endswith("mrc"):
        _write_mrc(tmp_path / name, data.astype(np.int16))
    else:
        tifffile.imwrite(tmp_path / name, data[:, ::-1], photometric="minisblack")
    movie = open_movie(tmp_path / name)
    tracemalloc.start()
    for image, raw in zip(movie.frames(), data, strict=True):
        assert (image == raw).all()  # rows of TIFF are turned over, those of MRC are not
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * data[0].size * 4  # a few frames; all of them are 40


def test_frame_range_and_bad_ones(tmp_path):
    data = RNG.poisson(3, (10, 8, 8)).astype(np.int16)
    _write_mrc(tmp_path / "m.mrc", data)
    movie = open_movie(tmp_path / "m.mrc", frame_range=(3, 5), dose=6.0)
    assert movie.n_frames == 3 and movie.dose_per_frame == 2.0
    assert (movie.frame(0) == data[3]).all() and (movie.frame(2) == data[5]).all()
    with pytest.raises(IndexError):
        movie.frame(3)
    with pytest.raises(DataError, match="0 to 12 are not among the 10"):
        open_movie(tmp_path / "m.mrc", frame_range=(0, 12))
    with pytest.raises(DataError, match="8 x 9, the frames are 8 x 8"):
        open_movie(tmp_path / "m.mrc", np.ones((8, 9)))
    with pytest.raises(ConfigError, match="pixel_size"):
        open_movie(tmp_path / "m.mrc", pixel_size_angstrom=-1)
    (tmp_path / "x.avi").write_bytes(b"RIFF")
    with pytest.raises(DataError, match="no movie format"):
        open_movie(tmp_path / "x.avi")


def test_gain_is_turned_and_flipped_as_on_screen(tmp_path):
    """Row 0 is the bottom row of the picture: a mark at the lower right goes to the upper right."""
    _write_mrc(tmp_path / "m.mrc", np.ones((1, 8, 8), np.int16))
    gain = np.ones((8, 8), np.float32)
    gain[0, 7] = 5
    seen = {}
    for turn in (0, 1, 2):
        for flip in ("none", "up-down", "left-right"):
            config = MovieConfig(gain_rotate=turn, gain_flip=flip)
            seen[turn, flip] = np.unravel_index(
                open_movie(tmp_path / "m.mrc", gain, config=config).gain.argmax(), (8, 8)
            )
    assert seen[0, "none"] == (0, 7) and seen[1, "none"] == (7, 7) and seen[2, "none"] == (7, 0)
    assert seen[0, "up-down"] == (7, 7) and seen[0, "left-right"] == (0, 0)
    assert seen[1, "up-down"] == (0, 7)  # turned first, then flipped


def test_gain_files_agree_across_formats(tmp_path):
    gain = RNG.uniform(0.5, 1.5, (16, 16)).astype(np.float32)
    _write_mrc(tmp_path / "m.mrc", np.ones((1, 8, 8), np.int16))
    _write_mrc(tmp_path / "g.mrc", gain[None])
    tifffile.imwrite(tmp_path / "g.gain", gain[::-1], photometric="minisblack")
    binned = gain.reshape(8, 2, 8, 2).mean(axis=(1, 3))
    for name in ("g.mrc", "g.gain"):
        movie = open_movie(tmp_path / "m.mrc", tmp_path / name)
        np.testing.assert_allclose(movie.gain, binned, rtol=1e-6)
        assert "binned by 2" in " ".join(movie.notes)


@pytest.mark.parametrize("up", [1, 2, 4])
def test_eer_renders_every_event_where_it_fell(tmp_path, up):
    pytest.importorskip("imagecodecs")
    shape, frames = (32, 48), [_events((32, 48), 90, seed) for seed in range(7)]
    write_eer(tmp_path / "m.eer", frames, shape, dose_px=7.0)
    config = MovieConfig(eer_upsampling=up, eer_group=1)
    movie = open_movie(tmp_path / "m.eer", config=config, pixel_size_angstrom=2.0)
    assert movie.shape == (7, 32 * up, 48 * up)
    assert movie.pixel_size_angstrom == 2.0 / up
    assert movie.dose_per_frame == pytest.approx(7.0 / 4 / 7)
    for image, events in zip(movie.frames(), frames, strict=True):
        assert (image == _render(events, shape, up)).all()


def test_eer_groups_frames_to_a_dose(tmp_path):
    pytest.importorskip("imagecodecs")
    shape, frames = (32, 32), [_events((32, 32), 40, seed) for seed in range(11)]
    write_eer(tmp_path / "m.eer", frames, shape, dose_px=22.0)
    config = MovieConfig(eer_group_dose=6.0)
    movie = open_movie(tmp_path / "m.eer", np.ones(shape), config=config, pixel_size_angstrom=1.0)
    assert movie.group == 3 and movie.n_frames == 3 and movie.dose_per_frame == pytest.approx(6.0)
    wanted = sum(_render(events, shape, 1) for events in frames[3:6])
    assert (movie.frame(1) == wanted).all()
    assert "last 2 of 11 stored frames left out" in " ".join(movie.notes)
    assert "dose is not stated" in " ".join(open_movie(tmp_path / "m.eer").notes)


def test_eer_without_decoder_says_what_to_install(tmp_path, monkeypatch):
    write_eer(tmp_path / "m.eer", [_events((32, 32), 40, 1)], (32, 32), dose_px=1.0)
    monkeypatch.setitem(__import__("sys").modules, "imagecodecs", None)
    with pytest.raises(DataError, match=r"pip install .napari-phaset3m\[em-io\]"):
        open_movie(tmp_path / "m.eer")


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 4000), where=st.integers(0, 4000), byte=st.integers(0, 255))
def test_damaged_movies_never_crash(tmp_path_factory, cut, where, byte):
    pytest.importorskip("imagecodecs")
    folder = tmp_path_factory.getbasetemp() / "damaged_movies"
    folder.mkdir(exist_ok=True)
    whole = folder / "whole.eer"
    if not whole.exists():
        write_eer(whole, [_events((32, 32), 60, seed) for seed in range(3)], (32, 32), dose_px=3.0)
    data = bytearray(whole.read_bytes())
    data[where % len(data)] = byte
    damaged = folder / "damaged.eer"
    damaged.write_bytes(bytes(data[: max(len(data) - cut, 1)]) if cut < len(data) else bytes(data))
    try:
        movie = open_movie(damaged)
        for image in movie.frames():
            assert image.shape == movie.image_shape
    except DataError as error:
        assert "\n" not in str(error)
