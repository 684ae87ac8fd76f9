"""What a checkpoint is bound to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_phaset3m.config import ConstraintConfig, ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.checkpoint import is_checkpoint, save_checkpoint
from napari_phaset3m.reconstruct.api import reconstruct
from napari_phaset3m.reconstruct.snapshot import signature

N = 12
SERIES = TiltFocalSeries(
    images=1 - 0.1 * np.random.default_rng(0).random((3, 2, N, N)),
    tilt_deg=np.array([-30.0, 0.0, 30.0]),
    pixel_size_angstrom=1.0,
    energy_ev=3e5,
    defocus_angstrom=np.array([300.0, 600.0]),
    spherical_aberration_angstrom=1e7,
    chromatic_aberration_angstrom=2e7,
    energy_spread_ev=0.7,
    metadata={"source": "a.h5"},
)
CONFIG = ReconstructionConfig(
    iterations=1, threads=1, constraints=ConstraintConfig(atomic_basis_sigma_angstrom=None)
)


@pytest.mark.parametrize(
    "changes",
    [
        {"pixel_size_angstrom": 1.1}, {"energy_ev": 2e5}, {"spherical_aberration_angstrom": 2e7},
        {"chromatic_aberration_angstrom": 1e7}, {"energy_spread_ev": 0.3}, {"focal_spread_angstrom": 9.0},
        {"aberrations": {"C12": 50.0}}, {"dose_per_image": 20.0}, {"shifts_px": 0.5},
        {"tilt_deg": np.array([-30.0, 0.0, 31.0])}, {"defocus_angstrom": 300.0},
        {"used": np.array([[True, False]] * 3)}, {"images": SERIES.images * 0.5},
        {"mtf": ((0.0, 1.0), (1.0, 0.5))}, {"convergence_semiangle_mrad": 0.2},
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_every_field_of_the_series_counts(changes: dict[str, Any]) -> None:
    assert signature(SERIES.replace(**changes), CONFIG) != signature(SERIES, CONFIG)


def test_what_may_change_may_change() -> None:
    whole = signature(SERIES, CONFIG)
    assert signature(SERIES.replace(metadata={"source": "moved/a.h5"}), CONFIG) == whole
    more = CONFIG.model_copy(update={"iterations": 9, "patience": 7})
    assert signature(SERIES, more) == whole
    # But a number of sweeps takes the held-out images of an automatic run back in.
    assert signature(SERIES, CONFIG.model_copy(update={"iterations": "auto"})) != whole


def test_the_start_volume_counts() -> None:
    volume = np.ones((N, N, N), np.float32)
    known = {signature(SERIES, CONFIG, start) for start in (None, volume, 2 * volume)}
    assert len(known) == 3


def test_a_run_of_another_voltage_is_not_resumed(tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    reconstruct(SERIES, CONFIG, device="cpu", checkpoint=path)
    other = SERIES.replace(energy_ev=2e5)
    with pytest.raises(DataError, match="another series"):
        reconstruct(other, CONFIG, device="cpu", checkpoint=path, resume=True)


def test_a_checkpoint_of_something_else_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    assert not is_checkpoint(path)
    save_checkpoint(path, {"volume": np.ones(3)}, signature(SERIES, CONFIG))
    assert is_checkpoint(path)
    with pytest.raises(DataError, match="no checkpoint of a reconstruction"):
        reconstruct(SERIES, CONFIG, device="cpu", checkpoint=path, resume=True)
    path.write_text("text")
    assert not is_checkpoint(path)
