"""Parameters that no run can use are refused by name."""

from __future__ import annotations

import math

import pytest

from napari_phaset3m.config import ConstraintConfig, ReconstructionConfig
from napari_phaset3m.errors import ConfigError


@pytest.mark.parametrize("value", [math.inf, math.nan])
@pytest.mark.parametrize(
    "name", ["voxel_angstrom", "step", "depth_angstrom", "tolerance", "holdout_fraction"]
)
def test_numbers_are_finite(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        ReconstructionConfig.parse(**{name: value})


def test_numbers_of_constraints_are_finite() -> None:
    with pytest.raises(ConfigError, match="tv_weight"):
        ConstraintConfig.parse(tv_weight=math.inf)


@pytest.mark.parametrize("bins", [(1,), (2, 1), (1, 2, 4), (2, 2), (2, 4)])
def test_bins_fall_and_full_size_is_not_among_them(bins: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="multiresolution: bins must fall"):
        ReconstructionConfig.parse(multiresolution=bins)
    assert ReconstructionConfig.parse(multiresolution=(4, 2)).multiresolution == (4, 2)
