"""One registry: every list of methods and every fact about them comes from it."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from napari_phaset3m.cli.options import fields_of
from napari_phaset3m.config import MethodName, ReconstructionConfig
from napari_phaset3m.reconstruct.methods import METHODS, UpdatingMethod, unused
from napari_phaset3m.reconstruct.methods.registry import SPECIFIC
from napari_phaset3m.reconstruct.plan import make_plan
from napari_phaset3m.reconstruct.problem import build_problem


def test_the_names_are_those_of_the_config() -> None:
    assert get_args(MethodName) == tuple(METHODS)
    assert len({entry.label for entry in METHODS.values()}) == len(METHODS)


def test_help_tells_the_relaxation_that_auto_means() -> None:
    told = ReconstructionConfig.model_fields["relaxation"].description or ""
    for entry in METHODS.values():
        if entry.relaxation is not None:
            assert f"{entry.label.split()[0]} {entry.relaxation:g}" in told


@pytest.mark.parametrize("name", METHODS)
def test_entries_resolve_and_name_real_settings(name: str) -> None:
    entry = METHODS[name]
    assert callable(entry.factory("cpu"))
    assert entry.factory("cuda") is None or callable(entry.factory("cuda"))
    known = {".".join(path) for path, _ in fields_of(ReconstructionConfig)}
    assert set(entry.parameters) <= known
    assert unused(name) == SPECIFIC - set(entry.parameters)
    assert ("relaxation" in entry.parameters) == (entry.relaxation is not None)
    assert not entry.accelerated or "momentum" in entry.parameters
    source = entry.factory("cpu").__module__
    documentation = __import__(source, fromlist=["x"]).__doc__ or ""
    assert any(year in documentation for year in ("(19", "(20")), f"{source} names no literature"


@pytest.mark.parametrize("name", [n for n, e in METHODS.items() if e.linear])
def test_linear_methods_own_their_update_and_need_no_microscope(scene: Any, name: str) -> None:
    method = scene.method(name, scene.project(scene.phantom(16, 8)))
    assert isinstance(method, UpdatingMethod) and method.name == name
    assert method.problem.microscope is None
    method.close()


def test_every_method_has_a_gpu_version() -> None:
    for name, entry in METHODS.items():
        assert callable(entry.factory("cuda")), name


def test_plan_follows_the_registry(scene: Any) -> None:
    data = scene.series(scene.project(scene.phantom(16, 8)))
    subsets = {"sirt": 44, "sart": 1, "art": 1, "fbp": 44, "wbp": 44, "resire": 44, "cgls": 44, "tv": 44}
    for name, size in subsets.items():
        settings = ReconstructionConfig(method=name)
        plan = make_plan(settings, build_problem(data, settings))
        assert (plan.n_sweeps, plan.subset_size) == (METHODS[name].sweeps, size)
        assert not any("does not use" in note for note in plan.notes)
    # What has no effect is told, by its name.
    settings = ReconstructionConfig(method="cgls", relaxation=0.5, subset_size=4)
    plan = make_plan(settings, build_problem(data, settings))
    assert plan.subset_size == 44
    assert plan.notes[0] == "CGLS does not use relaxation, subset_size"


def test_error_is_that_of_the_volume_before_the_update(scene: Any) -> None:
    data = scene.project(scene.phantom(16, 8))
    for name in ("sirt", "resire", "cgls", "tv"):
        method = scene.method(name, data)
        x, memory = np.zeros(method.volume_shape, np.float32), {}
        norm = sum(method.data_norm(t) for t in range(method.n_tilt))
        first = method.update(x, np.arange(method.n_tilt), 1.0, low=0.0, memory=memory)
        assert first == pytest.approx(norm, rel=1e-5)
        tilts = range(method.n_tilt)
        left = method.loss(method.residual(x, tilts), tilts)
        assert method.update(x, np.arange(method.n_tilt), 1.0, low=0.0, memory=memory) == pytest.approx(
            left, rel=1e-4
        )
