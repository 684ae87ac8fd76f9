from __future__ import annotations

import json

import numpy as np
import pytest

from napari_phaset3m.cli import main
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.io.series import save_series


@pytest.fixture
def series(tmp_path):
    images = np.ones((3, 1, 12, 12), np.float32)
    images[:, :, 5:7, 5:7] = 0.8
    made = TiltFocalSeries(images=images, tilt_deg=[-20, 0, 20], pixel_size_angstrom=1.0, energy_ev=3e5)
    return str(save_series(made, tmp_path / "s.h5"))


def test_preset_sets_parameters_and_flags_win(series, tmp_path, capsys):
    out = tmp_path / "v.mrc"
    assert main(["reconstruct", series, "-o", str(out), "--preset", "quick", "--iterations", "2"]) == 0
    told = json.loads(out.with_suffix(".json").read_text())["parameters"]
    assert (told["method"], told["iterations"], told["holdout_fraction"]) == ("sirt", 2, 0.0)
    capsys.readouterr()
    assert main(["reconstruct", series, "-o", str(out), "--preset", "cell"]) == 2
    assert "must be nanoparticle, film, vitrified, quick" in capsys.readouterr().err
    assert main(["reconstruct", "--from", str(out.with_suffix(".json")), "--preset", "film"]) == 2
    assert "--preset: cannot go with --from" in capsys.readouterr().err
