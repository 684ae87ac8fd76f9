"""MTF, illumination angle and left-out images: from every file and flag into the model."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_phaset3m.analyse.ctf import series_microscope
from napari_phaset3m.cli import main
from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.optics import detector_mtf
from napari_phaset3m.core.plausible import doubtful_units
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.leave_out import image_numbers
from napari_phaset3m.io.series import load_series, save_series
from napari_phaset3m.reconstruct.problem import build_problem
from napari_phaset3m.simulate.api import simulate
from napari_phaset3m.simulate.config import SimulationConfig

N = 8
CURVE = ((0.0, 1.0), (0.5, 0.8), (1.0, 0.3))


def series(**changes: object) -> TiltFocalSeries:
    fields: dict[str, object] = {
        "images": 1 - 0.2 * np.random.default_rng(0).random((3, 2, N, N)),
        "tilt_deg": np.array([-10.0, 0.0, 10.0]),
        "pixel_size_angstrom": 1.0,
        "energy_ev": 3e5,
        "defocus_angstrom": np.array([300.0, 600.0]),
        "spherical_aberration_angstrom": 1e7,
    }
    return TiltFocalSeries(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".h5", ".toml"])
def test_curve_and_angle_survive_a_file(tmp_path: Path, suffix: str) -> None:
    given = series(mtf=CURVE, convergence_semiangle_mrad=0.25)
    back = load_series(save_series(given, tmp_path / f"s{suffix}"))
    np.testing.assert_array_equal(back.mtf, CURVE)
    assert back.convergence_semiangle_mrad == 0.25 and not back.mtf.flags.writeable
    bare = load_series(save_series(series(), tmp_path / f"bare{suffix}"))
    assert bare.mtf is None and bare.convergence_semiangle_mrad is None


def test_curve_from_a_text_file_of_two_columns(tmp_path: Path) -> None:
    path = save_series(series(), tmp_path / "s.h5")
    text = tmp_path / "mtf.txt"
    text.write_text("# fraction of Nyquist, value\n0 1\n0.5, 0.8  # half\n\n1;0.3\n")
    np.testing.assert_array_equal(load_series(path, mtf=text).mtf, CURVE)
    text.write_text("0 1\n0.5 0.8 0.1\n")
    with pytest.raises(DataError, match=r"mtf\.txt: mtf: line 2"):
        load_series(path, mtf=str(text))
    toml = save_series(series(), tmp_path / "t.toml")
    text.write_text("0 1\n1 0.5\n")
    toml.write_text('mtf = "mtf.txt"\n' + toml.read_text())
    np.testing.assert_array_equal(load_series(toml).mtf, [(0, 1), (1, 0.5)])  # beside the .toml


@pytest.mark.parametrize(
    "curve", [((0.0, 1.0),), ((0.5, 1.0), (0.2, 0.5)), ((0.0, 1.0), (1.0, -0.1)), "x", ((0, 1, 2), (1, 2, 3)),
              ((0.0, 1.0), (1.0, np.nan))],
)  # fmt: skip
def test_what_is_no_curve_is_refused(curve: object) -> None:
    with pytest.raises(DataError, match="mtf"):
        series(mtf=curve)


def test_the_model_takes_both_and_a_parameter_wins_over_the_angle() -> None:
    given = series(mtf=CURVE, convergence_semiangle_mrad=0.25)
    microscope = build_problem(given, ReconstructionConfig()).microscope
    assert microscope is not None
    assert microscope.convergence_semiangle_rad == pytest.approx(0.25e-3)
    assert microscope.mtf == ((0.0, 0.5, 1.0), (1.0, 0.8, 0.3))
    asked = build_problem(given, ReconstructionConfig(convergence_semiangle_mrad=0.0)).microscope
    assert asked is not None and asked.convergence_semiangle_rad == 0


def test_the_curve_is_over_the_detectors_nyquist_whatever_the_voxel() -> None:
    """At 0.25 per angstrom, half the Nyquist of 1 angstrom pixels, the value is 0.8 on any grid."""
    for voxel in (1.0, 2.0, 0.8):
        microscope = series_microscope(series(mtf=CURVE), pixel_size_angstrom=voxel)
        values = detector_mtf(Grid(40, 40, voxel), microscope)
        assert values[round(0.25 * 40 * voxel), 0] == pytest.approx(0.8)


def test_a_simulation_states_what_it_blurred_with(tmp_path: Path) -> None:
    config = SimulationConfig(
        acquisition={"n_tilt": 1, "image_size_px": 16, "mtf": ((0.0, 1.0), (1.0, 0.4)),
                     "defocus_angstrom": (300,)},
        optics={"convergence_semiangle_mrad": 0.2},
        specimen={"diameter_angstrom": 4.0},
        numerics={"supersampling": 1, "slice_thickness_angstrom": 4.0, "padding_px": 0},
    )  # fmt: skip
    found = load_series(save_series(simulate(config).series, tmp_path / "s.h5"))
    np.testing.assert_array_equal(found.mtf, ((0.0, 1.0), (1.0, 0.4)))
    assert found.convergence_semiangle_mrad == 0.2


def test_simulate_and_reconstruct_by_the_shell_use_one_curve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, path = tmp_path / "mtf.txt", tmp_path / "s.h5"
    text.write_text("0 1\n1 0.3\n")
    flags = ["--n-tilt", "3", "--image-size", "16", "--diameter", "4", "--defocus", "300", "--energy", "9e3",
             "--supersampling", "1", "--slice-thickness", "4", "--padding", "0",
             "--mtf", str(text)]  # fmt: skip
    assert main(["simulate", "-o", str(path), *flags]) == 0
    assert "read in volts" in capsys.readouterr().err
    np.testing.assert_array_equal(load_series(path).mtf, ((0.0, 1.0), (1.0, 0.3)))


def test_numbers_of_images() -> None:
    assert image_numbers("3,7-9") == [3, 7, 8, 9]
    for text in ("", "a", "9-7", "-1", "1,,2"):
        with pytest.raises(ConfigError, match="--unused"):
            image_numbers(text)


def with_nan(path: Path, number: int) -> Path:
    save_series(series(), path)
    with h5py.File(path, "r+") as file:
        tilt, focus = divmod(number, 2)
        file["tilt_series"][tilt, focus, 3, 4] = np.nan
    return path


def test_an_image_with_nan_is_named_and_can_be_left_out(tmp_path: Path) -> None:
    path = with_nan(tmp_path / "s.h5", 3)
    with pytest.raises(DataError, match=r"image 3 holds 1 NaN.*--unused 3"):
        load_series(path)
    found = load_series(path, unused="3")
    np.testing.assert_array_equal(~found.used, [[0, 0], [0, 1], [0, 0]])  # tilt by tilt
    assert np.isfinite(found.images).all()
    np.testing.assert_array_equal(found.images[0], load_series(path, unused=[3, 4]).images[0])
    with pytest.raises(DataError, match="image 3 holds"):
        load_series(path, unused="2")
    with pytest.raises(DataError, match="no image 6"):
        load_series(path, unused=(3, 6))


def test_an_image_that_the_file_marks_as_unused_may_hold_anything(tmp_path: Path) -> None:
    path = with_nan(tmp_path / "s.h5", 3)
    with h5py.File(path, "r+") as file:
        del file["mask"]
        file["mask"] = np.array([[1, 1], [1, 0], [1, 1]], bool)
        file["tilt_series"][1, 1] = np.nan
        del file["normalisation"]
    for how in ("mean", "auto"):
        found = load_series(path, normalise=how)
        assert np.isfinite(found.images).all() and not found.used[1, 1]


def test_files_that_are_not_there_are_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save_series(series(), tmp_path / "s.h5")
    for flag in ("--tilt-angles", "--mtf"):
        assert main(["info", str(path), flag, "nofile.tlt"]) == 2
        assert "nofile.tlt: no such file" in capsys.readouterr().err


def test_units_that_are_hardly_meant_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doubtful_units(3e5, 1.2e7) == doubtful_units(3e4, None) == doubtful_units(3e4, 0.0) == ()
    energy, cs = doubtful_units(300, 2.7)
    assert "energy is 300 V; it is read in volts" in energy and "2.7 Å; it is read in angstrom" in cs
    path = save_series(series(), tmp_path / "s.h5")
    flags = ["--energy", "300", "--cs", "2.7", "--iterations", "1", "--slices", "1", "--device", "cpu"]
    assert main(["reconstruct", str(path), "-o", str(tmp_path / "v.mrc"), *flags]) == 0
    told = capsys.readouterr().err
    assert "read in volts" in told and "read in angstrom" in told
