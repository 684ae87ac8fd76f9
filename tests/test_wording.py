"""A wrong parameter is one line that says what is allowed, whatever the field's type."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from napari_phaset3m.config import ConstraintConfig, Model, ReconstructionConfig
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.prepare.pipeline import PrepareConfig
from napari_phaset3m.simulate.config import SimulationConfig
from napari_phaset3m.wording import allowed


@pytest.mark.parametrize(
    ("model", "values", "line"),
    [
        (ReconstructionConfig, {"iterations": "-3"},
         "iterations: must be a whole number of at least 1, or auto (got -3)"),
        (ReconstructionConfig, {"iterations": "many"},
         "iterations: must be a whole number of at least 1, or auto (got many)"),
        (ReconstructionConfig, {"iterations": 2.5},
         "iterations: must be a whole number of at least 1, or auto (got 2.5)"),
        (ReconstructionConfig, {"step": 0}, "step: must be a number above 0, or auto (got 0)"),
        (ReconstructionConfig, {"voxel_angstrom": "wide"},
         "voxel_angstrom: must be a number above 0, or none (got wide)"),
        (ReconstructionConfig, {"subset_size": "some"},
         "subset_size: must be a whole number of at least 1, auto, or all (got some)"),
        (ReconstructionConfig, {"holdout_fraction": "x"}, "holdout_fraction: must be "),
        (ReconstructionConfig, {"rotation": "nearest"},
         "rotation: must be linear, cubic, or fourier (got nearest)"),
        (ReconstructionConfig, {"absorption": "perhaps"},
         "absorption: must be true or false (got perhaps)"),
        (ReconstructionConfig, {"quadrature_points": 99},
         "quadrature_points: must be a whole number of at least 3 and of at most 15 (got 99)"),
        (ReconstructionConfig, {"multiresolution": (4, 0)},
         "multiresolution: must be whole numbers of at least 1 (got 0)"),
        (ReconstructionConfig, {"constraints": {"atomic_basis_sigma_angstrom": -1}},
         "constraints.atomic_basis_sigma_angstrom: must be a number above 0, auto, or none (got -1)"),
        (ReconstructionConfig, {"constraints": {"tv_schedule": {"every": 0}}},
         "constraints.tv_schedule.every: must be a whole number of at least 1 (got 0)"),
        (ConstraintConfig, {"tv": 1}, "tv: is not a parameter. Known are positivity, "),
        (SimulationConfig, {"carbon": {"radius_angstrom": "wide"}},
         "carbon.radius_angstrom: must be a number above 0, auto, or endless (got wide)"),
        (SimulationConfig, {"specimen": {"orientation_deg": (1, 2)}},
         "specimen.orientation_deg: must be 3 numbers, or none (got "),
        (SimulationConfig, {"acquisition": {"defocus_angstrom": ()}},
         "acquisition.defocus_angstrom: must be 1 or more numbers (got ())"),
        (SimulationConfig, {"optics": {"aberrations": {"C12": "x"}}},
         "optics.aberrations: must be named values, each a number (got x)"),
        (SimulationConfig, {"specimen": {"kind": "cif"}}, "specimen.path: kind cif needs "),
    ],
)  # fmt: skip
def test_line(model: type[Model], values: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        model.parse(**values)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value) and "constrained" not in str(caught.value)


def test_every_field_of_every_model_can_be_described() -> None:
    """No field's type is left to pydantic's own words: a nonsense value gets "must be"."""

    def check(model: type[Model]) -> int:
        checked = 0
        for name, field in model.model_fields.items():
            kind: Any = field.annotation
            if isinstance(kind, type) and issubclass(kind, Model):
                checked += check(kind)
            nonsense: Any = object()
            with pytest.raises(ConfigError) as caught:
                model.parse(**{name: nonsense})
            assert str(caught.value).startswith(f"{name}: "), (name, str(caught.value))
            assert "Input should" not in str(caught.value), str(caught.value)
            checked += 1
        return checked

    assert check(ReconstructionConfig) + check(SimulationConfig) > 70


def test_lists_of_words_are_told_by_their_words():
    assert allowed(tuple[Literal["match", "optics"], ...]) == "words among match, optics"


@pytest.mark.parametrize(
    ("steps", "line"),
    [
        ("foo", "steps: must be tables, each of step, parameters (got foo)"),
        ([{"step": "bin", "factor": 2}], "steps.factor: is not a parameter. Known are step, parameters"),
        ([{"parameters": {}}], "steps.step: is missing"),
        ([{"step": "bin", "parameters": {"factor": 0}}], "steps: bin: factor: must be a whole number of at "),
    ],
)
def test_tables_in_a_list_are_told_by_their_fields(steps: Any, line: str) -> None:
    """Lists of numbers were asked for, and "steps" was not a parameter among "steps"."""
    with pytest.raises(ConfigError) as caught:
        PrepareConfig.parse(steps=steps)
    assert str(caught.value).startswith(line)
