"""What has no GPU version: computed on the CPU when the choice was free, else refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_phaset3m import reconstruct
from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import Device
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DeviceError
from napari_phaset3m.jobs.runner import run
from napari_phaset3m.reconstruct import device as module
from napari_phaset3m.reconstruct import methods
from napari_phaset3m.reconstruct.device import choose_device
from napari_phaset3m.reconstruct.events import Started
from napari_phaset3m.reconstruct.methods import METHODS, make_method
from napari_phaset3m.reconstruct.problem import build_problem

N = 8
SERIES = TiltFocalSeries(
    images=1 - 0.1 * np.random.default_rng(0).random((3, 1, N, N)), tilt_deg=np.array([-30.0, 0.0, 30.0]),
    pixel_size_angstrom=1.0, energy_ev=3e5, defocus_angstrom=300.0, spherical_aberration_angstrom=1e7,
)  # fmt: skip
BLURRED = SERIES.replace(mtf=((0.0, 1.0), (1.0, 0.5)))
GPU, CPU = Device("cuda", "a GPU"), Device("cpu", "a CPU")


@pytest.fixture(autouse=True)
def machine_with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "resolve_device", lambda name: CPU if name == "cpu" else GPU)


@pytest.fixture
def art_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry in which one method, as a new one may, has no GPU version."""
    changed = {**METHODS, "art": replace(METHODS["art"], cuda=None)}
    for place in (module, methods):
        monkeypatch.setattr(place, "METHODS", changed)


@pytest.mark.usefixtures("art_without_a_gpu")
def test_auto_takes_the_cpu_and_says_why() -> None:
    config = ReconstructionConfig(method="art")
    device, notes = choose_device("auto", SERIES, config)
    assert device is CPU and notes == ("method art has no GPU version: computed on the CPU",)
    for asked in ("cuda", GPU):
        with pytest.raises(DeviceError, match=r"method art has no GPU version.*--device cpu"):
            choose_device(asked, SERIES, config)  # type: ignore[arg-type]
    assert choose_device("cpu", SERIES, config) == (CPU, ())
    with pytest.raises(DeviceError, match="method art has no GPU version; use --device cpu"):
        make_method(build_problem(SERIES, config), config, 1, GPU)


OPTIONS: list[dict[str, Any]] = [
    {}, {"rotation": "cubic"}, {"rotation": "fourier"}, {"absorption": True}, {"coherence": "incoherent"},
    {"refine": {"refine_shifts": True, "refine_defocus": "image", "refine_optics": ("C30",)}},
    {"constraints": {"tv_weight": 0.1, "lowpass_angstrom": 3.0, "recentre": True}},
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("series", [SERIES, BLURRED], ids=["plain", "mtf"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_everything_takes_the_gpu(method: str, series: TiltFocalSeries, options: dict[str, Any]) -> None:
    config = ReconstructionConfig(method=method, **options)
    assert choose_device("auto", series, config) == (GPU, ())
    assert choose_device("cuda", series, config) == (GPU, ())


@pytest.mark.usefixtures("art_without_a_gpu")
def test_a_run_of_any_driver_tells_it() -> None:
    config = ReconstructionConfig(method="art", iterations=1)
    told: list[Any] = []
    done = reconstruct(SERIES, config, on_event=told.append)
    assert done.device == "a CPU"
    for events in (told, run(SERIES, config)):
        started = next(event for event in events if isinstance(event, Started))
        assert any("method art has no GPU version" in note for note in started.notes)
