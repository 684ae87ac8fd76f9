"""What a simulation writes opens again; the shipped sample is what its script says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_phaset3m.errors import OutputError
from napari_phaset3m.io.series import load_series
from napari_phaset3m.io.volume import load_volume
from napari_phaset3m.sample import co3o4_sample, sample_path
from napari_phaset3m.simulate.api import simulate
from napari_phaset3m.simulate.config import SimulationConfig
from napari_phaset3m.simulate.potentials import voxel_potential
from napari_phaset3m.simulate.specimens import read_xyz


@pytest.fixture(scope="module")
def result():
    return simulate(
        SimulationConfig(
            specimen={"diameter_angstrom": 8.0},
            acquisition={"image_size_px": 32, "n_tilt": 2, "defocus_angstrom": (300.0, 700.0)},
            numerics={"supersampling": 2},
        )
    )


def test_series_and_truth_open_again(result, tmp_path):
    files = result.save(tmp_path / "my series é.h5")
    assert [f.name for f in files[1:]] == [
        "my series é_truth.json",
        "my series é_truth_V.mrc",
        "my series é_truth_atoms.xyz",
    ]
    back = load_series(files[0])
    np.testing.assert_allclose(back.images, result.series.images)
    np.testing.assert_allclose(back.defocus_angstrom, result.series.defocus_angstrom)
    assert back.spherical_aberration_angstrom == result.series.spherical_aberration_angstrom
    truth = json.loads(files[1].read_text())
    assert SimulationConfig(**truth["config"]) == SimulationConfig(**result.truth["config"])
    volume = load_volume(files[2])
    np.testing.assert_allclose(volume.data, result.potential.data)
    assert volume.voxel_size_angstrom == pytest.approx(0.5)
    atoms = read_xyz(files[3])
    rebuilt = voxel_potential(atoms, volume.shape, 0.5)
    assert np.linalg.norm(rebuilt - volume.data) < 1e-3 * np.linalg.norm(volume.data)


def test_missing_folder_writes_nothing(result, tmp_path):
    with pytest.raises(OutputError, match="folder"):
        result.save(tmp_path / "none" / "a.h5")
    assert not list(tmp_path.iterdir())


def test_sample_opens_and_is_small():
    path = sample_path()
    assert path.stat().st_size < 3e6
    series = load_series(path)
    assert series.images.shape == (31, 3, 80, 80)
    assert series.pixel_size_angstrom == 0.5
    np.testing.assert_allclose(series.dose_per_image, 500.0)
    assert series.images.mean() == pytest.approx(1.0, abs=0.01)


def test_sample_is_a_napari_layer():
    ((data, attributes, kind),) = co3o4_sample()
    assert kind == "image" and data.shape == (31, 3, 80, 80)
    assert tuple(attributes["scale"][-2:]) == (0.5, 0.5)
