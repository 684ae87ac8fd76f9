from __future__ import annotations

import re

import pytest

from napari_phaset3m import load_series
from napari_phaset3m.config import ReconstructionConfig, changed_fields, fields_of
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.parameter_help import HELP, default_of, help_text, range_of
from napari_phaset3m.presets import (
    DEFAULT,
    KEPT,
    PRESETS,
    preset_config,
    preset_of,
    preset_values,
    suited_preset,
)
from napari_phaset3m.reconstruct.api import iterate
from napari_phaset3m.reconstruct.events import SweepDone
from napari_phaset3m.sample import sample_path

PATHS = [".".join(path) for path, _ in fields_of(ReconstructionConfig)]


def test_every_setting_says_what_it_does_its_range_and_why_its_default():
    assert set(HELP) == set(PATHS), "one text for every field, and none for fields that are gone"
    for path, field in ((".".join(p), f) for p, f in fields_of(ReconstructionConfig)):
        what, why = HELP[path]
        assert len(what.split()) >= 5 and what.endswith("."), path
        assert len(why.split()) >= 4 and why.endswith(".") and not why[0].isupper(), path
        assert range_of(path) and "table of fields" not in range_of(path), path
        text = help_text(path)
        assert "\nRange: " in text and f"\nDefault: {default_of(path)}; " in text, path
        unit = re.search(r"_(angstrom|volts|px|mrad)$", path)
        if unit:
            sign = {"angstrom": "Å", "volts": "V", "px": "px", "mrad": "mrad"}[unit[1]]
            assert sign in what or sign in str(field.description), f"{path}: the unit is not told"


def test_defaults_are_those_of_the_model():
    config = ReconstructionConfig()
    assert default_of("patience") == str(config.patience) and default_of("constraints.positivity") == "on"
    assert default_of("constraints.recentre_schedule") == "1:6:1" and default_of("voxel_angstrom") == "none"


def test_presets_are_valid_and_know_each_other_apart():
    assert list(PRESETS) == ["nanoparticle", "film", "vitrified", "quick"]
    for name, preset in PRESETS.items():
        config = preset_config(name)
        assert preset_of(config) == name and len(preset.why) > 80
        assert set(changed_fields(config)).isdisjoint(KEPT)
    assert preset_config("nanoparticle") == ReconstructionConfig()
    vitrified = preset_config("vitrified")
    # Fits noise less; the test below sees it on images that were left out.
    assert vitrified.constraints.lowpass_angstrom == 50.0 and not vitrified.absorption
    assert not vitrified.constraints.positivity and vitrified.constraints.sparsity == 0
    assert preset_of(ReconstructionConfig(iterations=3)) is None
    with pytest.raises(ConfigError, match="preset: must be nanoparticle, film, vitrified, quick"):
        preset_values("cell")


def test_a_preset_keeps_what_is_of_series_and_machine():
    own = ReconstructionConfig(voxel_angstrom=0.7, threads=2, seed=4, method="wbp", depth_angstrom=90.0)
    config = preset_config("film", own)
    assert (config.voxel_angstrom, config.threads, config.seed, config.depth_angstrom) == (0.7, 2, 4, 90.0)
    assert config.method == "multislice" and config.absorption and preset_of(config) == "film"


def test_the_cryo_preset_predicts_images_that_were_left_out():
    """Of what fits noise the held-out error is above that of nothing in the beam, which is 1."""
    series = load_series(sample_path("hiv"))
    series = series.replace(images=series.images[:, :, 8:-8, 8:-8])
    errors = {}
    for absorption in (False, True):
        config = preset_config("vitrified").model_copy(update={"absorption": absorption, "iterations": 3})
        config = config.model_copy(
            update={"voxel_angstrom": 32.0, "padding_px": 0, "threads": 1, "holdout_fraction": 0.15}
        )
        sweeps = [event for event in iterate(series, config, device="cpu") if isinstance(event, SweepDone)]
        errors[absorption] = min(sweep.held_out_error for sweep in sweeps)
    assert errors[False] < 0.9 and errors[False] < errors[True] - 0.05


def test_few_electrons_and_large_pixels_are_those_of_ice():
    hiv, crystal = load_series(sample_path("hiv")), load_series(sample_path("co3o4"))
    assert suited_preset(hiv) == "vitrified"
    assert suited_preset(crystal) is None, "500 e/Å² at 0.5 Å"
    assert suited_preset(crystal.replace(dose_per_image=3.0)) is None, "few electrons, but pixels for atoms"
    assert suited_preset(hiv.replace(dose_per_image=200.0)) is None
    assert suited_preset(hiv.replace(dose_per_image=None)) is None
    assert suited_preset(hiv.replace(normalisation="dark_field")) is None
    assert preset_of(ReconstructionConfig()) == DEFAULT
