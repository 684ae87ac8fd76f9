"""What has no GPU version: computed on the CPU when the choice was free, else refused."""

from __future__ import annotations

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
from napari_phaset3m.reconstruct.device import choose_device
from napari_phaset3m.reconstruct.events import Started

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


CASES: list[tuple[TiltFocalSeries, dict[str, Any], str]] = [
    (SERIES, {"method": "art"}, "method art"),
    (SERIES, {"rotation": "fourier"}, "rotation fourier"),
    (BLURRED, {}, "detector MTF"),
]


@pytest.mark.parametrize(("series", "changes", "named"), CASES, ids=lambda value: str(value)[:12])
def test_auto_takes_the_cpu_and_says_why(
    series: TiltFocalSeries, changes: dict[str, Any], named: str
) -> None:
    config = ReconstructionConfig(**changes)
    device, notes = choose_device("auto", series, config)
    assert device is CPU and len(notes) == 1 and named in notes[0] and "CPU" in notes[0]
    for asked in ("cuda", GPU):
        with pytest.raises(DeviceError, match=f"{named}.*has no GPU version.*--device cpu"):
            choose_device(asked, series, config)  # type: ignore[arg-type]
    assert choose_device("cpu", series, config) == (CPU, ())


def test_what_has_a_gpu_version_takes_the_gpu() -> None:
    for series, method in ((SERIES, "multislice"), (SERIES, "sirt"), (BLURRED, "sirt")):
        assert choose_device("auto", series, ReconstructionConfig(method=method)) == (GPU, ())


def test_a_run_of_any_driver_tells_it() -> None:
    config = ReconstructionConfig(method="art", iterations=1)
    told: list[Any] = []
    done = reconstruct(SERIES, config, on_event=told.append)
    assert done.device == "a CPU"
    for events in (told, run(SERIES, config)):
        started = next(event for event in events if isinstance(event, Started))
        assert any("method art has no GPU version" in note for note in started.notes)
