"""One picture is one array, whichever format it comes from: rows run upwards."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_phaset3m.io.series import load_series
from napari_phaset3m.io.volume import Volume, load_volume, save_volume

#: An F: it has no mirror symmetry. Written top row first, as it is read on paper.
LETTER = np.array(
    [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]], np.uint8
)
PAGES = np.stack([LETTER + k for k in range(1, 4)])
KNOWN = {"tilt_deg": [-10.0, 0.0, 10.0], "pixel_size_angstrom": 1.0, "energy_ev": 3e5, "normalise": "given"}


def as_mrc(folder: Path) -> Path:
    """A viewer that follows the MRC convention (origin lower left) shows an upright F."""
    with mrcfile.new(folder / "s.mrc") as file:
        file.set_data(np.ascontiguousarray(PAGES[:, ::-1]).astype(np.int16))
        file.voxel_size = 1.0
    return folder / "s.mrc"


def as_tiff(folder: Path, **options: object) -> Path:
    tifffile.imwrite(folder / "s.tif", PAGES, photometric="minisblack", **options)
    return folder / "s.tif"


def as_folder(folder: Path) -> Path:
    (folder / "tilts").mkdir()
    for page, angle in zip(PAGES, (-10.0, 0.0, 10.0), strict=True):
        tifffile.imwrite(folder / "tilts" / f"s_{angle:.1f}.tif", page)
    return folder / "tilts"


def as_gif(folder: Path) -> Path:
    first, *rest = (Image.fromarray(page * 60) for page in PAGES)
    first.save(folder / "s.gif", save_all=True, append_images=rest)
    return folder / "s.gif"


@pytest.mark.parametrize("write", [as_mrc, as_tiff, as_folder, as_gif])
def test_the_same_picture_gives_the_same_array(tmp_path: Path, write: object) -> None:
    found = load_series(write(tmp_path), **KNOWN).images[:, 0]  # type: ignore[operator]
    scale = 60 if write is as_gif else 1
    np.testing.assert_array_equal(found, PAGES[:, ::-1].astype(np.float32) * scale)
    assert not np.array_equal(found[0], LETTER + 1)


def test_an_axis_angle_means_the_same_in_both(tmp_path: Path) -> None:
    turned = [load_series(write(tmp_path), **KNOWN, tilt_axis_angle_deg=90.0).images
              for write in (as_mrc, as_tiff)]  # fmt: skip
    np.testing.assert_array_equal(*turned)


def test_a_tiff_that_says_that_its_rows_run_upwards_is_believed(tmp_path: Path) -> None:
    path = as_tiff(tmp_path, extratags=[(274, "H", 1, 4, True)])
    np.testing.assert_array_equal(load_series(path, **KNOWN).images[:, 0], PAGES)


def test_a_volume_is_upright_in_other_programs_and_the_same_again_here(tmp_path: Path) -> None:
    volume = Volume(data=PAGES[:, ::-1].astype(np.float32), voxel_size_angstrom=1.0)
    tiff, mrc = (save_volume(volume, tmp_path / name) for name in ("v.tif", "v.mrc"))
    np.testing.assert_array_equal(tifffile.imread(tiff), PAGES)  # top row first
    with mrcfile.open(mrc) as file:
        np.testing.assert_array_equal(file.data, PAGES[:, ::-1])  # bottom row first
    for path in (tiff, mrc):
        np.testing.assert_array_equal(load_volume(path).data, volume.data)
