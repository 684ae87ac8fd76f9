"""Every volume says where its rotation centre is, and all programs' files land on each other."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest

from napari_phaset3m.cli import main
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.io import napari_hooks
from napari_phaset3m.io.series import save_series
from napari_phaset3m.io.volume import Volume, load_volume, save_volume
from napari_phaset3m.reconstruct.volumes import binned

SHAPE, VOXEL = (5, 6, 9), 0.5
CENTRED = (-1.0, -1.25, -2.0)


def volume(**options: object) -> Volume:
    data = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    return Volume(data=data, voxel_size_angstrom=VOXEL, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".mrc", ".tif", ".h5", ".ome.zarr"])
@pytest.mark.parametrize("origin", [None, (0.0, 0.0, 0.0), (1.0, -2.0, 3.0)])
def test_written_and_read_alike_in_every_format(tmp_path: Path, suffix: str, origin: object) -> None:
    given = volume() if origin is None else volume(origin=origin)
    back = load_volume(save_volume(given, tmp_path / f"v{suffix}"))
    assert back.origin == pytest.approx(CENTRED if origin is None else origin)


def test_the_header_holds_x_y_z_of_the_first_voxel(tmp_path: Path) -> None:
    """What ChimeraX adds to the index times the voxel; flipped axes would swap x and z here."""
    with mrcfile.open(save_volume(volume(), tmp_path / "v.mrc"), header_only=True) as file:
        origin = file.header.origin
        assert (float(origin.x), float(origin.y), float(origin.z)) == pytest.approx(CENTRED[::-1])
        assert (int(file.header.nxstart), int(file.header.nzstart)) == (0, 0)


def test_zeros_of_other_programs_are_not_a_place(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "a.mrc", volume().data) as file:
        file.voxel_size = VOXEL
    assert load_volume(tmp_path / "a.mrc").origin == pytest.approx(CENTRED)
    with mrcfile.open(tmp_path / "a.mrc", "r+") as file:
        file.header.origin.x = 4.0
    assert load_volume(tmp_path / "a.mrc").origin == pytest.approx((0.0, 0.0, 4.0))


def test_napari_has_the_rotation_centre_at_zero(tmp_path: Path) -> None:
    from napari.layers import Image

    data, options, _ = napari_hooks.read_layers(str(save_volume(volume(), tmp_path / "v.mrc")))[0]
    layer = Image(data, **options)
    assert layer.data_to_world([(n - 1) / 2 for n in SHAPE]) == pytest.approx((0.0, 0.0, 0.0))
    series = TiltFocalSeries(images=np.ones((3, 2, 6, 9)), tilt_deg=np.arange(3.0),
                             pixel_size_angstrom=VOXEL, energy_ev=3e5)  # fmt: skip
    data, options, _ = napari_hooks.read_layers(str(save_series(series, tmp_path / "s.h5")))[0]
    stack = Image(data, **options)
    assert stack.data_to_world([1, 0, 2.5, 4]) == pytest.approx((1.0, 0.0, 0.0, 0.0))


def test_a_reconstruction_lies_on_the_truth_and_on_its_atoms(tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "s.h5"
    flags = ["--n-tilt", "3", "--image-size", "24", "--diameter", "8", "--defocus", "300",
             "--supersampling", "2", "--slice-thickness", "2"]  # fmt: skip
    assert main(["simulate", "-o", str(path), *flags]) == 0
    truth = load_volume(tmp_path / "s_truth_V.mrc")
    for name, more in (("v.mrc", []), ("thin.mrc", ["--depth", "9"])):
        run = ["reconstruct", str(path), "-o", str(tmp_path / name), "--method", "sirt", "--iterations", "1"]
        assert main([*run, *more]) == 0
        result = load_volume(tmp_path / name)
        middle = [o + (n - 1) / 2 * VOXEL for o, n in zip(result.origin, result.shape, strict=True)]
        assert middle == pytest.approx([0.0] * 3, abs=1e-5)
    assert truth.origin == pytest.approx(load_volume(tmp_path / "v.mrc").origin)
    # the strongest voxel of the truth is an atom of the XYZ file, by the origin alone
    top = np.unravel_index(truth.data.argmax(), truth.shape)
    place = np.array([o + i * VOXEL for o, i in zip(truth.origin, top, strict=True)])
    rows = [line.split()[1:] for line in (tmp_path / "s_truth_atoms.xyz").read_text().splitlines()[2:]]
    atoms = np.array(rows, float)[:, ::-1]
    assert np.linalg.norm(atoms - place, axis=1).min() < VOXEL


@pytest.mark.parametrize("n", [10, 11, 12, 13])
def test_previews_keep_the_centre(n: int) -> None:
    grid = np.broadcast_to(np.arange(n) - (n - 1) / 2, (n, n, n)).astype(np.float32)
    small, factor = binned(grid, 4)
    assert abs(small.mean()) <= 0.5 and small.shape == (n // factor,) * 3
