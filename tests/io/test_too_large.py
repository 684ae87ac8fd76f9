"""Numbers that a file holds and float32 does not are told as such, with the value; NaN stays NaN."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.importing import load, look
from napari_phaset3m.io.movies import MovieConfig, open_movie
from napari_phaset3m.io.series import load_series
from napari_phaset3m.io.volume import Volume, load_volume
from napari_phaset3m.jobs.watch.folder import Stamp
from napari_phaset3m.jobs.watch.shelf import Shelf
from napari_phaset3m.prepare.reference import read_reference

TOLD = r"a value too large for float32 \(up to 3.4e\+38\): -1e\+300"
TILTS = np.arange(6.0)
KNOWN = {"energy_ev": 3e5, "pixel_size_angstrom": 2.0}


def images(value: float = -1e300) -> np.ndarray:
    made = np.random.default_rng(0).uniform(1, 2, (6, 16, 16))
    made[2, 3, 4] = value
    return made


@pytest.mark.parametrize("write", [np.save, tifffile.imwrite])
def test_a_stack(tmp_path, write):
    path = tmp_path / ("s.npy" if write is np.save else "s.tif")
    write(path, images())
    with pytest.raises(DataError, match=f"{path.name}: tilt_series: image 2 holds {TOLD}. Repair"):
        load_series(path, tilt_deg=TILTS, **KNOWN)
    with pytest.raises(DataError, match=f"{path.name}: section 2: holds {TOLD}. Repair"):
        load(look(path, tilt_deg=TILTS), **KNOWN)
    assert load_series(path, tilt_deg=TILTS, unused=[2], **KNOWN).n_tilt == 6
    assert np.isfinite(load(look(path, tilt_deg=TILTS), unused=[2], **KNOWN).images).all()


def test_both_kinds_are_counted(tmp_path):
    made = images()
    made[2, 5, 5:8] = np.nan, np.inf, 2e200
    np.save(tmp_path / "s.npy", made)
    told = r"2 NaN or infinite values and 2 values too large for float32 \(up to 3.4e\+38\): -1e\+300"
    with pytest.raises(DataError, match=told):
        load_series(tmp_path / "s.npy", tilt_deg=TILTS, **KNOWN)


def test_a_series_file_and_a_description(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["tilt_series"], file["tilt_angles"] = images().reshape(3, 2, 16, 16), TILTS[:3]
        file["defocus_values"], file["pixel_size"], file["energy"] = [500.0, 900.0], 2.0, 3e5
    with pytest.raises(DataError, match=f"s.h5: tilt_series: image 2 holds {TOLD}"):
        load_series(tmp_path / "s.h5")
    np.save(tmp_path / "s.npy", images())
    rows = (f'[[image]]\nfile = "s.npy"\nsection = {k}\ntilt_deg = {k}\n' for k in range(6))
    (tmp_path / "s.toml").write_text("pixel_size_angstrom = 2\nenergy_ev = 3e5\n" + "".join(rows))
    with pytest.raises(DataError, match=f"s.toml: tilt_series: image 2 holds {TOLD}"):
        load_series(tmp_path / "s.toml")


def test_a_volume(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", images())
    group = zarr.open_group(tmp_path / "v.ome.zarr", mode="w", zarr_format=3)
    group.create_array("0", data=images())
    scale = [{"type": "scale", "scale": [2.0, 2.0, 2.0]}]
    axes = [{"name": name, "type": "space", "unit": "angstrom"} for name in "zyx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [
        {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}]}  # fmt: skip
    for name in ("v.tif", "v.ome.zarr"):
        with pytest.raises(DataError, match=f"{name}: volume: image 2 holds {TOLD}"):
            load_volume(tmp_path / name, voxel_size_angstrom=2.0)


def test_a_reference_a_movie_and_a_watched_file(tmp_path):
    tifffile.imwrite(tmp_path / "s.tif", images())
    with pytest.raises(DataError, match=f"dark: image 2 holds {TOLD}"):
        read_reference(str(tmp_path / "s.tif"), (16, 16), "dark")
    movie = open_movie(tmp_path / "s.tif")
    with pytest.raises(DataError, match=f"frame 2: holds {TOLD}"):
        list(movie.frames())
    shelf = Shelf(16)
    stat = (tmp_path / "s.tif").stat()
    shelf.take(tmp_path / "s.tif", Stamp(stat.st_size, stat.st_mtime_ns, stat.st_ino))
    assert list(shelf.taken[tmp_path / "s.tif"].bad) == [2]
    assert "too large for float32" in shelf.taken[tmp_path / "s.tif"].bad[2]


def too_large_to_bin(folder):
    """3e38: float32 holds it, and not the sums of a bin."""
    made = images(1.5).astype(np.float32)
    made[2] = 3e38
    np.save(folder / "big.npy", made)
    rows = (f'[[image]]\nfile = "big.npy"\nsection = {k}\ntilt_deg = {k}\n' for k in range(6))
    (folder / "s.toml").write_text("pixel_size_angstrom = 2\nenergy_ev = 3e5\nbin = 2\n" + "".join(rows))


BINNED = r"image 2 holds values too large to be binned, scaled or summed: 3e\+38"


@pytest.mark.filterwarnings("error")
def test_what_grows_too_large_by_binning_is_told_as_that(tmp_path):
    """0 NaN or infinite values in a description, and 64 NaN in an import, were told after a warning."""
    too_large_to_bin(tmp_path)
    with pytest.raises(DataError, match=f"s.toml: tilt_series: {BINNED}. Repair"):
        load_series(tmp_path / "s.toml")
    with pytest.raises(DataError, match=f"big.npy: tilt_series: {BINNED}. Repair"):
        load(look(tmp_path / "big.npy", tilt_deg=TILTS), bin=2, **KNOWN)
    assert load_series(tmp_path / "s.toml", unused=[2]).n_tilt == 6
    tifffile.imwrite(tmp_path / "w.tif", np.load(tmp_path / "big.npy") * np.linspace(0.9, 1, 16, dtype="f4"))
    shelf, stat = Shelf(8), (tmp_path / "w.tif").stat()
    shelf.take(tmp_path / "w.tif", Stamp(stat.st_size, stat.st_mtime_ns, stat.st_ino))
    assert "holds values too large to be binned" in shelf.taken[tmp_path / "w.tif"].bad[2]


@pytest.mark.filterwarnings("error")
def test_infinities_of_both_signs_are_told_without_a_warning(tmp_path):
    made = images(1.5)
    made[2, 0, :2] = np.inf, -np.inf
    tifffile.imwrite(tmp_path / "s.tif", made)
    with pytest.raises(DataError, match="frame 2: holds 2 NaN or infinite values"):
        list(open_movie(tmp_path / "s.tif").frames())
    shelf, stat = Shelf(16), (tmp_path / "s.tif").stat()
    shelf.take(tmp_path / "s.tif", Stamp(stat.st_size, stat.st_mtime_ns, stat.st_ino))
    assert shelf.taken[tmp_path / "s.tif"].bad == {2: "holds 2 NaN or infinite values"}


def test_one_value_is_one(tmp_path):
    np.save(tmp_path / "s.npy", images(np.nan))
    with pytest.raises(DataError, match=r"holds 1 NaN or infinite value\. Repair"):
        load_series(tmp_path / "s.npy", tilt_deg=TILTS, **KNOWN)


@pytest.mark.filterwarnings("error")
def test_a_gain_reference(tmp_path):
    """Values of 1e300 counted as dead pixels, after a warning."""
    tifffile.imwrite(tmp_path / "m.tif", images(1.5))
    tifffile.imwrite(tmp_path / "g.tif", images()[2])
    with pytest.raises(DataError, match=f"g.tif: gain: holds {TOLD}"):
        open_movie(tmp_path / "m.tif", tmp_path / "g.tif")
    dead = np.ones((16, 16))
    dead[0, :3] = 0, np.nan, np.inf
    assert "3 dead pixels" in open_movie(tmp_path / "m.tif", dead).notes[-1]
    with pytest.raises(DataError, match=r"gain: makes frame 0 of m\.tif infinite: it is up to 3e"):
        open_movie(tmp_path / "m.tif", np.full((16, 16), 3e38)).frame(0)
    tiny, divide = np.full((16, 16), 1e-40), MovieConfig(gain_mode="divide")
    with pytest.raises(DataError, match="gain: holds 1e-40, by which frames cannot be divided"):
        open_movie(tmp_path / "m.tif", tiny, config=divide)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("level", [1e-300, 1e300])
def test_a_level_of_the_vacuum(tmp_path, level):
    """Images became infinite, or 0 throughout."""
    np.save(tmp_path / "s.npy", images(1.5))
    with pytest.raises(DataError, match="vacuum_intensity: image 0 cannot be divided by its vacuum level"):
        load_series(tmp_path / "s.npy", tilt_deg=TILTS, vacuum_intensity=level, **KNOWN)
    assert load_series(tmp_path / "s.npy", tilt_deg=TILTS, vacuum_intensity=2.0, **KNOWN).images.max() <= 1


@pytest.mark.filterwarnings("error")
def test_a_series_and_a_volume_in_python():
    with pytest.raises(DataError, match="tilt_series: holds -1e\\+300, too large for float32"):
        TiltFocalSeries(images=images()[:, None], tilt_deg=TILTS, **KNOWN)
    with pytest.raises(DataError, match="volume: holds -1e\\+300, too large for float32"):
        Volume(data=images(), voxel_size_angstrom=2.0)
    with pytest.raises(DataError, match="defocus_values: is 1e\\+300 Å for tilt 0, focus 0, and no lens"):
        TiltFocalSeries(images=images(1.5)[:, None], tilt_deg=TILTS, defocus_angstrom=1e300, **KNOWN)
