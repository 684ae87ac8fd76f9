"""Numbers that a file holds and float32 does not are told as such, with the value; NaN stays NaN."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.importing import load, look
from napari_phaset3m.io.movies import open_movie
from napari_phaset3m.io.series import load_series
from napari_phaset3m.io.volume import load_volume
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
