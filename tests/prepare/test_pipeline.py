"""Recipes, and phaset3m prepare."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from _prepare_series import make, poisson

from napari_phaset3m.cli import main
from napari_phaset3m.cli.prepare_steps import parse_step
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.io.series import load_series, save_series
from napari_phaset3m.prepare.events import Done, Progress
from napari_phaset3m.prepare.history import history
from napari_phaset3m.prepare.pipeline import PrepareConfig, iterate_prepare, prepare
from napari_phaset3m.prepare.steps import STEPS, step_entry


@pytest.fixture
def series():
    return poisson(np.ones((40, 44)), 30, shape=(4, 2), defocus_angstrom=[500.0, 900.0])


@pytest.fixture
def file(series, tmp_path) -> Path:
    path = tmp_path / "given.h5"
    save_series(series, path)
    return path


def test_every_step_has_defaults_bounds_and_words():
    for name, entry in STEPS.items():
        assert entry.name == name and entry.label and entry.help.endswith(".")
        for field, info in entry.config.model_fields.items():
            assert info.description, (name, field)
        entry.config()


def test_steps_run_in_order_and_are_recorded_and_the_input_is_untouched(series):
    before = np.array(series.images)
    config = PrepareConfig.of(("crop", {"region_px": (0, 2, 40, 40)}), "outliers", ("bin", {"factor": 2}))
    events = list(iterate_prepare(series, config))
    done = events[-1]
    assert isinstance(done, Done) and len(done.result) == 3
    assert [item["step"] for item in history(done.series)] == ["crop", "outliers", "bin"]
    assert history(done.series)[2]["parameters"] == {"factor": 2}
    fractions = [e.fraction for e in events if isinstance(e, Progress)]
    assert fractions == sorted(fractions) and fractions[-1] < 1
    np.testing.assert_array_equal(series.images, before)
    assert history(series) == ()


def test_a_recipe_survives_yaml_and_comes_back_from_a_series(series, tmp_path):
    config = PrepareConfig.of(("normalise", {"level": "region", "region_px": (1, 2, 8, 9)}), "outliers")
    config.save(tmp_path / "r.yaml")
    again = PrepareConfig.load(tmp_path / "r.yaml")
    assert again == config and again.steps[0].config.region_px == (1, 2, 8, 9)
    done = prepare(series, config).series
    save_series(done, tmp_path / "s.h5")
    assert PrepareConfig.from_history(load_series(tmp_path / "s.h5")) == config


def test_finish_keeps_the_steps_that_are_done(series):
    class Now:
        def finish_requested(self):
            return True

    *_, done = iterate_prepare(series, PrepareConfig.of("normalise", ("bin", {"factor": 2})), finish=Now())
    assert [item["step"] for item in history(done.series)] == ["normalise"]


def test_wrong_steps_and_parameters_are_named():
    with pytest.raises(ConfigError, match=r"'polish' is not a preparation step\. Known are motion"):
        PrepareConfig.of("polish")
    with pytest.raises(ConfigError, match=r"bin: factor: must be a whole number of at least 2.*got 1"):
        PrepareConfig.of(("bin", {"factor": 1}))
    with pytest.raises(ConfigError, match="is not understood"):
        parse_step("bin colour=3")
    assert parse_step("bin 3") == ("bin", {"factor": "3"})
    assert parse_step("crop region=1,2,8,9 centre=region") == (
        "crop", {"region_px": ("1", "2", "8", "9"), "centre": "region"},
    )  # fmt: skip
    assert step_entry("bin").config.parse(**parse_step("bin 3")[1]).factor == 3


def test_command_line_by_flags_by_steps_and_by_recipe_is_the_same(file, tmp_path, capsys):
    out = [tmp_path / f"{n}.h5" for n in range(4)]
    flags = ["--outliers", "--bin-factor", "2", "--normalise-level", "mean"]
    recipe = tmp_path / "recipe.yaml"
    assert main(["prepare", str(file), "-o", str(out[0]), *flags, "--save-recipe", str(recipe)]) == 0
    told = capsys.readouterr().out
    assert "hot pixels 0" in told and "20 x 22 pixels of 1 Å" in told
    steps = ["--step", "outliers", "--step", "bin 2", "--step", "normalise"]
    assert main(["prepare", str(file), "-o", str(out[1]), *steps]) == 0
    assert main(["prepare", str(file), "-o", str(out[2]), "--recipe", str(recipe)]) == 0
    capsys.readouterr()
    assert main(["prepare", str(file), "-o", str(out[3]), "--recipe", str(out[0]), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [item["step"] for item in record["steps"]] == ["outliers", "bin", "normalise"]
    images = [load_series(path).images for path in out]
    for other in images[1:]:
        np.testing.assert_array_equal(other, images[0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "steps: none is given"),
        (["--bin-factor", "1"], "--bin-factor: must be a whole number"),
        (["--crop-region", "0,0,90,90"], "out of the image of 40 x 44"),
        (["--outliers", "--step", "bin 2"], "--outliers: has no place among"),
        (["--step", "polish"], "is not a preparation step"),
        (["--motion"], "names no movies"),
        (["--dose-order", "auto"], "--dose-order"),
    ],
)
def test_mistakes_end_with_2_and_write_nothing(file, tmp_path, capsys, arguments, words):
    out = tmp_path / "out.h5"
    assert main(["prepare", str(file), "-o", str(out), *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not out.exists()


def test_the_input_cannot_be_overwritten(file, capsys):
    assert main(["prepare", str(file), "-o", str(file), "--bin"]) == 2
    assert "overwrite" in capsys.readouterr().err


def test_fields_that_a_file_lacks_are_taken_from_flags(tmp_path):
    np.save(tmp_path / "raw.npy", np.random.default_rng(0).poisson(20, (3, 1, 32, 32)).astype(np.float32))
    out = tmp_path / "o.h5"
    given = ["--pixel-size", "1.5", "--energy", "200e3", "--tilt-angles=-10,0,10"]
    assert main(["prepare", str(tmp_path / "raw.npy"), "-o", str(out), "--bin", *given]) == 0
    assert load_series(out).pixel_size_angstrom == pytest.approx(3.0)


def test_steps_of_one_image_series():
    series = make(np.ones((1, 1, 32, 32)), tilt_deg=[0.0])
    done = prepare(series, PrepareConfig.of("outliers", "normalise", "taper", "pad")).series
    assert done.image_shape == (64, 64)
