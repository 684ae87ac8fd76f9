"""Exit codes, one-line errors and nothing written for a user's mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, get_args, get_origin

import h5py
import numpy as np
import pytest
import typer

from napari_phaset3m.cli import app, main, overrides
from napari_phaset3m.cli.options import build, fields_of, flag
from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.io.raw import FIELDS, OPTIONS
from napari_phaset3m.simulate.config import SimulationConfig


def series_file(path: Path, **changes: object) -> Path:
    content: dict[str, object] = {
        "tilt_series": np.ones((3, 1, 16, 16), np.float32),
        "tilt_angles": np.array([-10.0, 0.0, 10.0]),
        "defocus_values": np.array([500.0]),
        "pixel_size": 0.5,
        "energy": 3e5,
        "spherical_aberration": 1e7,
    }
    content.update(changes)
    with h5py.File(path, "w") as file:
        for key, value in content.items():
            file[key] = value
    return path


def test_no_command_has_a_flag_twice():
    for name, command in typer.main.get_command(app).commands.items():
        flags = [flag for item in command.params for flag in (*item.opts, *item.secondary_opts)]
        assert sorted(flags) == sorted(set(flags)), name


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tilt_angles": np.array([0.0, 1.0])}, "tilt_angles"),
        ({"pixel_size": 0.0}, "pixel_size"),
        ({"tilt_series": np.full((3, 1, 16, 16), np.nan, np.float32)}, "tilt_series"),
    ],
)
def test_bad_series_is_one_line_and_exit_2(tmp_path, capsys, changes, named) -> None:
    path = series_file(tmp_path / "s.h5", **changes)
    assert main(["reconstruct", str(path), "-o", str(tmp_path / "v.mrc")]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and named in lines[0]
    assert [p.name for p in tmp_path.iterdir()] == ["s.h5"]


def test_truncated_mrc(tmp_path, capsys) -> None:
    import mrcfile

    path = tmp_path / "t.mrc"
    with mrcfile.new(path, np.ones((3, 16, 16), np.float32)) as file:
        file.voxel_size = 2.0
    path.write_bytes(path.read_bytes()[:1500])
    assert main(["info", str(path)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_unwritable_output_is_refused_before_the_run(tmp_path, capsys) -> None:
    path = series_file(tmp_path / "s.h5")
    assert main(["reconstruct", str(path), "-o", str(tmp_path / "no" / "v.mrc")]) == 2
    assert "Create the folder first" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags", [["--iterations", "0"], ["--nonsense", "1"], ["--resume"], ["--device", "x"]]
)
def test_bad_flags_exit_2(tmp_path, capsys, flags) -> None:
    path = series_file(tmp_path / "s.h5")
    assert main(["reconstruct", str(path), "-o", str(tmp_path / "v.mrc"), *flags]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_info_json(tmp_path, capsys) -> None:
    assert main(["info", str(series_file(tmp_path / "s.h5")), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["n_tilt"], record["n_focus"], record["pixel_size_angstrom"]) == (3, 1, 0.5)
    # the released layout states the exit face: the centre is half a box (16 px of 0.5 Å) nearer
    assert record["defocus_angstrom"] == [500.0 - 4.0]


def test_doctor_json(capsys) -> None:
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fft"] in ("pyfftw", "mkl_fft", "scipy")


def test_no_flag_means_the_models_defaults() -> None:
    assert build(ReconstructionConfig, {}) == ReconstructionConfig()
    assert build(SimulationConfig, {}) == SimulationConfig()


def test_flags_reach_the_model() -> None:
    given = {"iterations": "7", "voxel_angstrom": "0.5", "positivity": False, "tv_schedule": "1:9:2"}
    config = build(
        ReconstructionConfig, {**given, "multiresolution": "4,2", "atomic_basis_sigma_angstrom": "none"}
    )
    assert (config.iterations, config.voxel_angstrom, config.multiresolution) == (7, 0.5, (4, 2))
    assert not config.constraints.positivity
    assert config.constraints.atomic_basis_sigma_angstrom is None
    assert config.constraints.tv_schedule.every == 2


@pytest.mark.parametrize("model", [ReconstructionConfig, SimulationConfig])
def test_every_flag_is_its_own(model) -> None:
    names = [path[-1] for path, _ in fields_of(model)]
    fixed = ["output", "config", "json", "mask", "device", "checkpoint", "resume", "from"]
    flags = [flag(name) for name in names] + ["--" + name for name in fixed]
    if model is ReconstructionConfig:
        own = {"convergence_semiangle_mrad"}  # the parameter wins over the series
        flags += [item[1] for name, item in FIELDS.items() if name not in own] + list(OPTIONS.values())
        assert {p.name for p in overrides.parameters()} & set(names) == own
        assert not {p.name for p in overrides.parameters(own)} & set(names)
    assert len(set(flags)) == len(flags)


def test_flags_of_a_simulation_reach_its_sections() -> None:
    config = build(SimulationConfig, {"defocus_angstrom": "100,200", "orientation_deg": "10,20,30"},
                   {"acquisition": {"n_tilt": 5}})  # fmt: skip
    assert config.acquisition.defocus_angstrom == (100.0, 200.0)
    assert config.acquisition.n_tilt == 5
    assert config.specimen.orientation_deg == (10.0, 20.0, 30.0)


def test_info_completes_a_file_by_flags(tmp_path, capsys) -> None:
    path = series_file(tmp_path / "s.h5")
    flags = ["--cs", "2.7e7", "--energy", "200e3", "--defocus", "700", "--defocus-reference", "center"]
    assert main(["info", str(path), *flags, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["spherical_aberration_angstrom"] == 2.7e7
    assert record["energy_ev"] == 200e3 and record["defocus_angstrom"] == [700.0]
    assert main(["info", str(path), "--cs", "much"]) == 2
    assert "--cs" in capsys.readouterr().err


def test_aberrations_and_angles_by_flags() -> None:
    found = overrides.collect({"aberrations": "C12=50,phi12=0.3", "tilt_deg": "-1,0,1", "n_focus": "3"})
    assert found == {"aberrations": {"C12": 50.0, "phi12": 0.3}, "tilt_deg": [-1.0, 0.0, 1.0], "n_focus": 3}


def test_none_is_a_word_where_the_field_knows_it_and_nothing_where_it_allows_that() -> None:
    words = {"momentum": "none", "ctf_correction": "none"}
    built = build(ReconstructionConfig, words)
    assert (built.momentum, built.ctf_correction) == ("none", "none")
    base = {"voxel_angstrom": 2.0, "constraints": {"atomic_basis_sigma_angstrom": 0.4}}
    nothing = {"voxel_angstrom": "none", "atomic_basis_sigma_angstrom": "none"}
    built = build(ReconstructionConfig, nothing, base)
    assert built.voxel_angstrom is None and built.constraints.atomic_basis_sigma_angstrom is None
    with pytest.raises(ConfigError, match="seed"):
        build(ReconstructionConfig, {"seed": "none"})


def test_every_word_none_of_a_model_can_be_given() -> None:
    for model in (ReconstructionConfig, SimulationConfig):
        for path, field in fields_of(model):
            if get_origin(field.annotation) is Literal and "none" in get_args(field.annotation):
                built = build(model, {path[-1]: "none"})
                for name in path:
                    built = getattr(built, name)
                assert built == "none", path
