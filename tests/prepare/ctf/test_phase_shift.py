"""The phase shift of a phase plate from files and rings to the series and its reconstruction."""

from __future__ import annotations

import json
from dataclasses import replace

import mrcfile
import numpy as np
import pytest
from _made import ENERGY, film, series

from napari_phaset3m.cli import main
from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.phase_plate import plate_deg
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.io.importing import load, look
from napari_phaset3m.io.series import load_series, save_series
from napari_phaset3m.prepare.ctf.api import find_ctf, thon_rings
from napari_phaset3m.prepare.ctf.config import CtfConfig
from napari_phaset3m.reconstruct.api import reconstruct
from napari_phaset3m.simulate.api import simulate
from napari_phaset3m.simulate.config import SimulationConfig

SHAPE = (256, 256)
FIT = CtfConfig(
    amplitude_contrast=0.0, fit_phase_shift=True, defocus_max_angstrom=8000.0, astigmatism="given"
)


def behind_plate(degrees=(70.0, 72.0)):
    images = [
        film(SHAPE, 1.0, 4000.0, extra_phase=np.radians(shift), snr=1.0, seed=number)
        for number, shift in enumerate(degrees)
    ]
    return series(np.stack(images)[:, None], tilt_deg=np.arange(float(len(degrees))))


@pytest.mark.parametrize("name", ["s.h5", "s.toml"])
def test_files_keep_it_and_a_flag_states_it(tmp_path, name, capsys):
    given = behind_plate().replace(phase_shift_deg=70.0)
    save_series(given, tmp_path / name)
    assert load_series(tmp_path / name).phase_shift_deg == 70.0
    assert load_series(tmp_path / name, phase_shift_deg=20.0).phase_shift_deg == 20.0
    assert main(["convert", str(tmp_path / name), "-o", str(tmp_path / "o.h5"), "--phase-plate", "35"]) == 0
    assert load_series(tmp_path / "o.h5").phase_shift_deg == 35.0
    assert "phase_shift_deg" in capsys.readouterr().out
    save_series(given.replace(phase_shift_deg=None), tmp_path / name)
    assert load_series(tmp_path / name).phase_shift_deg is None


def test_ctf_writes_what_it_fits_and_then_holds_it(tmp_path, capsys):
    save_series(behind_plate(), tmp_path / "s.h5")
    flags = ["--range", "500:8000", "--amplitude-contrast", "0", "--astigmatism", "given", "--json"]
    out = tmp_path / "out.h5"
    assert main(["ctf", str(tmp_path / "s.h5"), "-o", str(out), "--fit-phase-shift", *flags]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "which the series takes for all images" in told["message"]
    found = load_series(out)
    assert abs(found.phase_shift_deg - 71) < 3 and told["phase_shift_deg"] == found.phase_shift_deg
    # Fitted again without the flag, it is held: the same defocus, not that of rings without a plate.
    assert main(["ctf", str(out), "-o", str(tmp_path / "again.h5"), *flags]) == 0
    again = json.loads(capsys.readouterr().out)
    assert all(row["phase_shift_deg"] == pytest.approx(found.phase_shift_deg) for row in again["images"])
    held = [row["defocus_angstrom"] for row in again["images"]]
    np.testing.assert_allclose(held, 4000, atol=40)
    plain = find_ctf(behind_plate(), FIT.model_copy(update={"fit_phase_shift": False})).result
    assert np.abs(plain.defocus_angstrom - 4000).min() > 100
    assert load_series(tmp_path / "again.h5").phase_shift_deg == found.phase_shift_deg
    rings = thon_rings(found, find_ctf(found, FIT.model_copy(update={"fit_phase_shift": False})).result, 0, 0)
    seen = np.isfinite(rings.measured) & np.isfinite(rings.fitted)
    assert np.corrcoef(rings.measured[seen], rings.fitted[seen])[0, 1] > 0.3


def test_one_shift_for_the_series_says_when_images_differ():
    done = find_ctf(behind_plate((40.0, 80.0)), FIT)
    shift, apart = done.result.phase_shift()
    assert abs(shift - 60) < 4 and abs(apart - 20) < 4
    assert f"they scatter by {apart:.0f}° about it" in done.result.message
    assert done.series.phase_shift_deg == shift


def test_a_shift_near_half_a_turn_is_none_and_not_inverted_contrast():
    assert plate_deg(np.radians(179.0)) == pytest.approx(-1) and plate_deg(np.radians(90.0)) == 90
    assert plate_deg(np.radians(-10.0)) == pytest.approx(-10) and plate_deg(np.radians(250)) == pytest.approx(
        70
    )
    done = find_ctf(behind_plate(), FIT)
    images = tuple(
        (replace(row[0], phase_shift_deg=value),)
        for row, value in zip(done.result.images, (-2, 4), strict=True)
    )
    assert replace(done.result, images=images).phase_shift()[0] == pytest.approx(1)


def test_the_exit_wave_does_not_show_it():
    with pytest.raises(ConfigError, match="fit_phase_shift: shows in Thon rings"):
        find_ctf(behind_plate(), CtfConfig(method="exit_wave", fit_phase_shift=True))


def test_ctffinds_text_beside_a_stack_states_it(tmp_path):
    with mrcfile.new(tmp_path / "t.mrc") as file:
        file.set_data(np.ones((2, 32, 32), np.float32))
        file.set_image_stack()
        file.voxel_size = 2.0
    (tmp_path / "t.tlt").write_text("0\n3\n")
    rows = [f"{k + 1}.0 12000 11000 30 {np.radians(shift):.6f} 0.2 5.0" for k, shift in enumerate((60, 66))]
    (tmp_path / "t_CTF.txt").write_text("\n".join(rows))
    plan = look(tmp_path / "t.mrc")
    assert plan.fields["phase_shift_deg"] == pytest.approx(63, abs=0.01)
    assert (
        "phase shift 63.0° of the fits, one for all images: their mean, ± 3.0° between images" in plan.notes
    )
    assert load(plan, energy_ev=ENERGY).phase_shift_deg == pytest.approx(63, abs=0.01)


def test_fits_of_one_stack_for_each_focus_are_one_mean(tmp_path):
    for name, shift in (("t_d900", 176), ("t_d100", 6)):  # neighbours: rings look the same after half a turn
        with mrcfile.new(tmp_path / f"{name}.mrc") as file:
            file.set_data(np.ones((2, 32, 32), np.float32))
            file.set_image_stack()
            file.voxel_size = 2.0
        (tmp_path / f"{name}.tlt").write_text("0\n3\n")
        rows = [f"{k}.0 {name[-3:]}0 {name[-3:]}0 30 {np.radians(shift):.6f} 0.2 5.0" for k in (1, 2)]
        (tmp_path / f"{name}_CTF.txt").write_text("\n".join(rows))
    for order in (("t_d900.mrc", "t_d100.mrc"), ("t_d100.mrc", "t_d900.mrc")):
        plan = look([tmp_path / name for name in order])
        assert plan.fields["phase_shift_deg"] == pytest.approx(1, abs=0.01)
        assert any("phase shift 1.0° of the fits" in n and "± 5.0°" in n for n in plan.notes)


def simulated():
    """One small particle behind a plate of 90° in focus, where nothing else gives contrast."""
    config = SimulationConfig(
        specimen={"kind": "co3o4", "diameter_angstrom": 10.0},
        acquisition={"tilt_min_deg": -60.0, "tilt_max_deg": 60.0, "tilt_step_deg": 12.0, "image_size_px": 32,
                     "pixel_size_angstrom": 0.6, "defocus_angstrom": (0.0,)},
        optics={"spherical_aberration_angstrom": 1e4, "phase_shift_deg": 90.0, "focal_spread_angstrom": 5.0},
    )  # fmt: skip
    return simulate(config)


@pytest.mark.parametrize("changes", [
    {"method": "multislice", "slices": 8}, {"method": "singleslice"},
    {"method": "sirt", "ctf_correction": "phase_flip"},
])  # fmt: skip
def test_reconstructions_know_the_plate(changes):
    made = simulated()
    assert made.series.phase_shift_deg == 90.0
    truth = made.potential.data
    config = ReconstructionConfig(**changes, iterations=8, threads=1)

    def likeness(degrees):
        volume = reconstruct(made.series.replace(phase_shift_deg=degrees), config).volume
        return float(np.corrcoef(np.asarray(volume).ravel(), truth.ravel())[0, 1])

    right, none, wrong = likeness(90.0), likeness(None), likeness(-90.0)
    print(changes, right, none, wrong)
    assert right > 0.5 and right > max(none, wrong) + 0.2
