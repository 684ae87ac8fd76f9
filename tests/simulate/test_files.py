"""What a simulation writes opens again; the shipped sample is what its script says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_phaset3m.cli import main
from napari_phaset3m.errors import OutputError
from napari_phaset3m.io.series import load_series
from napari_phaset3m.io.volume import load_volume
from napari_phaset3m.sample import co3o4_sample, sample_path
from napari_phaset3m.simulate.api import simulate
from napari_phaset3m.simulate.config import SimulationConfig
from napari_phaset3m.simulate.potentials import voxel_potential
from napari_phaset3m.simulate.specimens import read_xyz, write_xyz


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


def test_a_cell_from_a_cif_all_the_way_to_the_images(shared_data, tmp_path):
    cell = tmp_path / "gold é.cif"
    cell.write_bytes((shared_data / "real" / "structures" / "Au.cif").read_bytes())
    output = tmp_path / "two words.toml"
    flags = ["--kind", "cif", "--path", str(cell), "--diameter", "12", "--image-size", "32", "--n-tilt", "2",
             "--defocus", "300,600", "--supersampling", "2", "--slice-thickness", "2"]  # fmt: skip
    assert main(["simulate", "-o", str(output), *flags]) == 0
    series = load_series(output)
    assert series.images.shape == (2, 2, 32, 32) and series.images.std() > 0.02
    atoms = read_xyz(tmp_path / "two words_truth_atoms.xyz")
    assert set(atoms.symbols) == {"Au"}
    # 4 atoms in a cell of 4.08 angstrom: 53 in a sphere of 12, give or take its surface
    assert 40 < len(atoms) < 66
    gaps = np.linalg.norm(atoms.positions[:, None] - atoms.positions[None], axis=-1) + 99 * np.eye(len(atoms))
    assert gaps.min() == pytest.approx(4.0782 / np.sqrt(2), rel=2e-3)


def test_the_atoms_of_a_measured_particle(shared_data, tmp_path):
    """Part of the FePt model: what lies within 5 angstrom of its middle."""
    model = read_xyz(shared_data / "real" / "structures" / "FePt_mdb.xyz")
    middle = model.positions - model.positions.mean(axis=0)
    part = model.chosen(np.linalg.norm(middle, axis=1) < 5)
    assert set(part.symbols) == {"Fe", "Pt"}
    write_xyz(part, tmp_path / "part.xyz", "part")
    config = SimulationConfig(
        specimen={"kind": "xyz", "path": str(tmp_path / "part.xyz")},
        acquisition={"image_size_px": 32, "n_tilt": 1, "defocus_angstrom": (300.0,)},
        numerics={"supersampling": 2},
    )
    result = simulate(config)
    assert result.truth["atoms"] == part.counts()
    np.testing.assert_allclose(
        result.atoms.positions - result.atoms.positions[0], part.positions - part.positions[0], atol=1e-4
    )
