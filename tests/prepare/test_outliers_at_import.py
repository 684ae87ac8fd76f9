"""Hot pixels of a series whose axis is no quarter turn: mended before the turn spreads them, or told."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest

from napari_phaset3m.cli import main
from napari_phaset3m.io.importing import as_loaded, load, look
from napari_phaset3m.io.series import load_series, save_series
from napari_phaset3m.prepare.events import drain
from napari_phaset3m.prepare.history import history
from napari_phaset3m.prepare.outliers import OutliersConfig, mend, run

N, AXIS = 96, 22.0
HOT = ((20, 30), (50, 61), (70, 25), (41, 42))


@pytest.fixture
def stacks(tmp_path):
    """The same seven images with and without pixels that are hot or dead in each."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:N, :N]
    level = 200 * (1 + 0.2 * np.sin(x / 5) * np.cos(y / 7))
    clean = rng.poisson(level, (7, N, N)).astype(np.float32)
    bad = clean.copy()
    for (row, column), factor in zip(HOT, (6.0, 4.0, 3.0, 0.0), strict=True):
        bad[:, row, column] = bad[:, row, column] * factor
    for name, data in (("clean", clean), ("bad", bad)):
        with mrcfile.new(tmp_path / f"{name}.mrc") as file:
            file.set_data(data)
            file.set_image_stack()
            file.voxel_size = 2.0
        (tmp_path / f"{name}.tlt").write_text("\n".join(str(angle) for angle in range(-9, 12, 3)))
    return tmp_path


def imported(path, **given):
    plan = look(path)
    return load(plan, tilt_axis_angle_deg=AXIS, energy_ev=3e5, normalise="mean", **given)


def worst(series, clean):
    """Largest deviation that the bad pixels leave, in parts of the mean."""
    return float(np.abs(series.images - clean.images).max())


def test_mended_before_the_turn_nothing_is_left_of_them(stacks):
    clean = imported(stacks / "clean.mrc")
    first = imported(stacks / "bad.mrc", mend=mend)
    after = drain(run(imported(stacks / "bad.mrc"), OutliersConfig())).series
    # What mending puts in is noise of its own kind: 4 sigma of a pixel of 200 counts is 0.3.
    assert worst(first, clean) < 0.35
    assert worst(after, clean) > 2 * worst(first, clean), "turned first, their flanks stay"
    (step,) = history(first)
    assert step["told"]["hot_pixels"] == 3 and step["told"]["dead_pixels"] == 1
    assert step["parameters"]["outliers"]["sigma"] == 8.0
    assert not any("hot pixels" in note for note in first.metadata["notes"])
    assert "note" not in history(drain(run(first, OutliersConfig())).series)[-1]["told"]


def test_it_is_told_where_they_are_not_mended(stacks):
    plain = imported(stacks / "bad.mrc")
    assert any("spread by the turn of 22 degrees" in note for note in plain.metadata["notes"])
    told = history(drain(run(plain, OutliersConfig())).series)[-1]["told"]
    assert "turned by 22°" in told["note"] and "an import can mend before" in told["note"]
    quarter = load(look(stacks / "bad.mrc"), tilt_axis_angle_deg=90.0, energy_ev=3e5, normalise="mean")
    assert not any("hot pixels" in note for note in quarter.metadata["notes"])


def test_quarter_turns_give_what_the_step_gives(stacks):
    how = {"tilt_axis_angle_deg": 90.0, "energy_ev": 3e5, "normalise": "mean"}
    first = load(look(stacks / "bad.mrc"), mend=mend, **how)
    after = drain(run(load(look(stacks / "bad.mrc"), **how), OutliersConfig())).series
    np.testing.assert_allclose(first.images, after.images, atol=1e-6)


def test_the_command_mends_and_its_text_says_so(stacks, capsys):
    out, plan = stacks / "out.h5", stacks / "plan.toml"
    base = ["convert", str(stacks / "bad.mrc"), "-o", str(out), "--energy", "300e3", "--normalise", "mean"]
    assert main([*base, "--tilt-axis-angle", str(AXIS), "--outliers", "--plan", str(plan)]) == 0
    assert worst(load_series(out), imported(stacks / "clean.mrc")) < 0.35
    assert history(load_series(out))[0]["told"]["hot_pixels"] == 3
    assert "hot pixels were replaced at import, which opening this text does not repeat" in plan.read_text()


def test_a_mended_series_that_is_imported_again_is_not_said_to_be_spread(stacks):
    mended = load(look(stacks / "bad.mrc"), energy_ev=3e5, normalise="mean", mend=mend)
    save_series(mended, stacks / "kept.toml")
    plan = look(stacks / "kept.toml")
    again = load(plan, tilt_axis_angle_deg=AXIS)
    assert not any("hot pixels" in note for note in again.metadata["notes"])
    # The files of the description are the mended images: nothing is lost by opening it.
    assert not any("hot pixels" in note for note in as_loaded(plan, again).notes)
    assert any("hot pixels" in note for note in as_loaded(plan, load(plan, mend=mend)).notes)


def test_the_history_of_a_mended_import_does_not_ask_to_mend_at_import(stacks):
    turned = history(imported(stacks / "bad.mrc", mend=mend))[-1]["told"]
    assert turned["hot_pixels"] == 3 and "note" not in turned, "the turn came after"
    binned = history(imported(stacks / "bad.mrc", bin=2, mend=mend))[-1]["told"]
    assert binned["note"] == "hot pixels were replaced after the images were binned by 2"
