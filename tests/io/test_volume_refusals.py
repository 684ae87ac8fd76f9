"""Volumes that cannot be read or written are refused in one line, before a run."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile

from napari_phaset3m.cli import running
from napari_phaset3m.errors import DataError, OutputError
from napari_phaset3m.io.volume import Volume, load_volume, save_volume

VOLUME = Volume(data=np.ones((3, 4, 5), np.float32), voxel_size_angstrom=2.0)


def test_unequal_voxel_edges_are_not_taken_as_cubic(tmp_path: Path) -> None:
    path = tmp_path / "v.mrc"
    with mrcfile.new(path, np.ones((4, 4, 4), np.float32)) as file:
        file.voxel_size = (1.0, 1.0, 3.0)
    with pytest.raises(DataError, match="voxels of 1 x 1 x 3"):
        load_volume(path)
    assert load_volume(path, voxel_size_angstrom=1.0).voxel_size_angstrom == 1.0


def test_a_damaged_record_or_origin_in_a_volume_is_one_line(tmp_path: Path) -> None:
    path = save_volume(VOLUME, tmp_path / "v.h5")
    with h5py.File(path, "r+") as file:
        del file["provenance"]
        file["provenance"] = "{half"
    with pytest.raises(DataError, match="provenance: is no JSON"):
        load_volume(path)
    with h5py.File(path, "r+") as file:
        del file["provenance"]
        file["volume"].attrs["origin"] = [1.0, 2.0]
    with pytest.raises(DataError, match="origin: must be three numbers"):
        load_volume(path)
    stored = json.dumps({"origin": [1.0, 2.0], "voxel_size_angstrom": 2.0})
    tifffile.imwrite(
        tmp_path / "v.tif", VOLUME.data, imagej=True, metadata={"axes": "ZYX", "phaset3m": stored}
    )
    with pytest.raises(DataError, match="origin: must be three numbers"):
        load_volume(tmp_path / "v.tif")


def test_a_format_whose_library_is_missing_is_refused_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "zarr" else find(name))
    with pytest.raises(
        OutputError, match=r"v\.ome\.zarr: needs zarr, which is not installed\. Install it: .*pip"
    ):
        running.check_outputs({"the volume": tmp_path / "v.ome.zarr"}, {})
    running.check_outputs({"the volume": tmp_path / "v.mrc", "its .json": tmp_path / "v.json"}, {})
    with pytest.raises(OutputError, match="needs zarr"):
        save_volume(VOLUME, tmp_path / "v.ome.zarr")
