"""Masks in files: recipe, hash, voxel size, crop."""

from __future__ import annotations

import json

import mrcfile
import numpy as np
import pytest

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.mask import check_box, crop_to_mask, load_mask, mask_sha256, save_mask
from napari_phaset3m.io.volume import Volume, load_volume, save_volume

RECIPE = {"steps": [{"kind": "sphere", "diameter_angstrom": 4.0}]}


@pytest.fixture
def weights() -> np.ndarray:
    mask = np.zeros((6, 7, 8), np.float32)
    mask[2:4, 1:5, 3:6] = 1
    mask[2, 1, 2] = 0.25
    return mask


@pytest.mark.parametrize("name", ["m.mrc", "m.tif", "m.h5"])
def test_a_mask_comes_back_with_its_recipe(weights, tmp_path, name) -> None:
    source = tmp_path / "v.mrc"
    save_volume(Volume(data=weights, voxel_size_angstrom=0.5), source)
    record = save_mask(
        tmp_path / name, weights, 0.5, origin=(1.0, 2.0, 3.0), recipe=RECIPE, source=source, volume_nm3=3.5
    )
    found = load_mask(tmp_path / name)
    np.testing.assert_array_equal(found.mask, weights)
    assert not found.mask.flags.writeable
    assert found.recipe == RECIPE and found.voxel_size_angstrom == 0.5 and found.origin == (1, 2, 3)
    assert found.sha256 == record["mask_sha256"] == mask_sha256(weights) == found.record()["sha256"]
    beside = json.loads((tmp_path / "m.json").read_text())
    assert beside["volume_nm3"] == 3.5 and beside["inputs"][0]["path"] == str(source.resolve())


def test_the_hash_is_of_values_and_shape(weights) -> None:
    assert mask_sha256(weights) == mask_sha256(np.asfortranarray(weights.astype(float)))
    assert mask_sha256(weights) != mask_sha256(weights.reshape(6, 8, 7))
    other = weights.copy()
    other[0, 0, 0] = 1e-6
    assert mask_sha256(weights) != mask_sha256(other)


def test_a_record_of_another_mask_is_not_believed(weights, tmp_path) -> None:
    save_mask(tmp_path / "m.mrc", weights, 0.5, recipe=RECIPE)
    save_volume(Volume(data=1 - weights, voxel_size_angstrom=0.5), tmp_path / "m.mrc")
    assert load_mask(tmp_path / "m.mrc").recipe is None
    (tmp_path / "m.json").write_text("{")
    assert load_mask(tmp_path / "m.mrc").recipe is None


@pytest.mark.parametrize(
    ("data", "message"), [(2.0, r"values from 0 to 2, not in 0\.\.1"), (0.0, "is empty")]
)
def test_what_is_no_mask_is_refused(weights, tmp_path, data, message) -> None:
    save_volume(Volume(data=data * weights, voxel_size_angstrom=0.5), tmp_path / "m.mrc")
    with pytest.raises(DataError, match=message):
        load_mask(tmp_path / "m.mrc")


def test_masks_of_other_programs_without_a_voxel_size_are_read(weights, tmp_path) -> None:
    with mrcfile.new(tmp_path / "m.mrc", weights):
        pass
    found = load_mask(tmp_path / "m.mrc")
    assert found.voxel_size_angstrom is None and found.recipe is None
    check_box(found, (1.0, 1.0, 1.0))  # nothing is known, nothing is refused


def test_unequal_voxels_in_a_file_are_refused(weights, tmp_path) -> None:
    with mrcfile.new(tmp_path / "m.mrc", weights) as file:
        file.voxel_size = (1.0, 1.0, 2.0)
    with pytest.raises(DataError, match=r"m\.mrc: voxel_size: has voxels of 1 x 1 x 2 Å"):
        load_mask(tmp_path / "m.mrc")


def test_a_mask_of_another_box_is_refused_another_sampling_is_not(weights, tmp_path) -> None:
    save_mask(tmp_path / "m.mrc", weights, 0.5)
    found = load_mask(tmp_path / "m.mrc")
    check_box(found, (3.0, 3.5, 4.0))
    check_box(found, (3.2, 3.5, 4.2))  # half a voxel of rounding
    with pytest.raises(DataError, match=r"is of 3 x 3\.5 x 4 Å .* but the reconstruction is of 6 x 7 x 8 Å"):
        check_box(found, (6.0, 7.0, 8.0))
    with pytest.raises(DataError, match="phaset3m mask"):
        check_box(found, (4.0, 3.5, 3.0))


def test_crop_cuts_the_box_of_the_mask_and_keeps_its_place(weights, tmp_path) -> None:
    data = np.random.default_rng(0).normal(size=weights.shape).astype(np.float32)
    volume = Volume(data=data, voxel_size_angstrom=0.5, origin=(10.0, 20.0, 30.0))
    cut = crop_to_mask(volume, weights)
    np.testing.assert_array_equal(cut.data, (data * weights)[2:4, 1:5, 2:6])
    assert cut.origin == (11.0, 20.5, 31.0) and cut.voxel_size_angstrom == 0.5 and cut.unit == "V"
    plain = crop_to_mask(volume, weights, 0.6, keep_outside=True)
    np.testing.assert_array_equal(plain.data, data[1:5, 0:6, 1:7])
    save_volume(plain, tmp_path / "c.mrc")
    assert load_volume(tmp_path / "c.mrc").origin == (10.5, 20.0, 30.5)
    np.testing.assert_array_equal(crop_to_mask(volume, weights, 99, keep_outside=True).data, data)
    with pytest.raises(DataError, match="shape"):
        crop_to_mask(volume, weights[1:])
