"""Whole runs with ``device="cuda"`` against the CPU's: every method, option and constraint.

Here through a stand-in for CuPy that refuses what CuPy refuses (tests/core/cuda/stand_in.py), on a
GPU (marked ``gpu``) through CuPy itself.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_phaset3m import ReconstructionConfig, TiltFocalSeries, iterate, reconstruct
from napari_phaset3m.core.cuda import runtime
from napari_phaset3m.errors import DeviceError
from napari_phaset3m.reconstruct.events import SweepDone
from napari_phaset3m.reconstruct.methods import METHODS

_HELPER = Path(__file__).parents[2] / "core" / "cuda" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("phaset3m_host_runtime", _HELPER)
assert _SPEC is not None and _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules["phaset3m_host_runtime"] = _MODULE
_SPEC.loader.exec_module(_MODULE)
cupy = _MODULE.cupy

N = 16
EVERYTHING = {
    "positivity": True, "tv_weight": 0.05, "lowpass_angstrom": 1.5, "highpass_angstrom": 20.0,
    "threshold_volts": 0.01, "recentre": True, "recentre_schedule": {"start": 0},
}  # fmt: skip


def series(mtf: bool = False, focal: int = 2) -> TiltFocalSeries:
    rng = np.random.default_rng(3)
    n_tilt = 7
    y, x = np.mgrid[:N, :N] - (N - 1) / 2
    bump = np.exp(-(x**2 + y**2) / 12)
    images = 1 - 0.2 * bump + 0.02 * rng.standard_normal((n_tilt, focal, N, N))
    return TiltFocalSeries(
        images=images.astype(np.float32),
        tilt_deg=np.linspace(-60, 62, n_tilt),
        pixel_size_angstrom=0.6,
        energy_ev=3e5,
        defocus_angstrom=np.linspace(150, 300, focal),
        spherical_aberration_angstrom=1.2e7,
        focal_spread_angstrom=20.0,
        mtf=((0.0, 1.0), (1.0, 0.4)) if mtf else None,
    )


CASES: list[dict[str, Any]] = [
    *({"method": name} for name in METHODS),
    *({"method": name, "rotation": "fourier"} for name in METHODS if name != "art"),
    {"mtf": True},
    {"absorption": True, "constraints": EVERYTHING},
    {"constraints": {**EVERYTHING, "filter_dimensions": 2}, "rotation": "cubic"},
    {"constraints": {"atomic_basis_sigma_angstrom": 0.5}, "holdout_fraction": 0.2, "masked": True},
    {"refine": {"refine_shifts": True, "refine_defocus": "tilt"}, "holdout_fraction": 0.2, "iterations": 5},
    {"refine": {"refine_optics": ("C30", "C12", "focal_spread"), "refine_defocus": "tilt"}, "iterations": 5},
    {"multiresolution": (2,), "momentum": "nesterov", "refine": {"refine_defocus": "image"}},
    {"coherence": "incoherent", "loss": "poisson", "padding_px": 2, "depth_angstrom": 4.0},
    {"method": "sirt", "ctf_correction": "wiener", "constraints": EVERYTHING, "masked": True},
    {"method": "cgls", "masked": True, "padding_px": 2, "constraints": {"lowpass_angstrom": 3.0}},
    {"method": "fbp", "filter_lowpass_angstrom": 3.0},
    {"method": "sirt", "holdout_fraction": 0.2, "subset_size": 2, "momentum": "nesterov"},
]


def arguments(changes: dict[str, Any]) -> tuple[TiltFocalSeries, ReconstructionConfig, dict[str, Any]]:
    asked = dict(changes)
    mask = np.ones((N, N, N), np.float32)
    mask[:3] = 0
    options = {"mask": mask} if asked.pop("masked", False) else {}
    data = series(asked.pop("mtf", False))
    linear = METHODS[asked.get("method", "multislice")].linear
    config = {"iterations": 3, "threads": 1, **({} if linear else {"slices": 4}), **asked}
    if not linear and "step" not in config:
        config["step"] = 0.3
    return data, ReconstructionConfig(**config), options


def compare(changes: dict[str, Any]) -> None:
    data, config, options = arguments(changes)
    cpu = reconstruct(data, config, device="cpu", **options)
    gpu = reconstruct(data, config, device="cuda", **options)
    assert gpu.device.endswith("(CUDA)") and not cpu.device.endswith("(CUDA)")
    assert np.abs(cpu.volume).max() > 0
    # A threshold makes a jump out of a rounding error, in a voxel here and there.
    limit = 2e-2 if config.constraints.threshold_volts else 2e-3
    assert np.linalg.norm(gpu.volume - cpu.volume) <= limit * np.linalg.norm(cpu.volume)
    if cpu.absorption is not None:
        assert gpu.absorption is not None
        assert np.linalg.norm(gpu.absorption - cpu.absorption) <= 5e-2 * np.linalg.norm(cpu.absorption)
    assert [s.error for s in gpu.sweeps] == pytest.approx([s.error for s in cpu.sweeps], rel=5e-3)
    assert (gpu.sweeps[-1].held_out_error is None) == (cpu.sweeps[-1].held_out_error is None)


@pytest.mark.usefixtures("cupy")
@pytest.mark.parametrize("changes", CASES, ids=str)
def test_runs_agree(changes: dict[str, Any]) -> None:
    compare(changes)


@pytest.mark.gpu
@pytest.mark.parametrize("changes", CASES, ids=str)
def test_runs_agree_on_a_gpu(changes: dict[str, Any]) -> None:
    compare(changes)


def test_what_cuda_lacks_is_told_in_one_line(cupy: Any) -> None:
    def broken(code: str) -> Any:
        raise ValueError("kern.cu(1): error: no such thing\n1 error detected")

    cupy.RawModule = broken
    with pytest.raises(DeviceError, match=r"CUDA does not work.*no such thing\)\. Install the CuPy wheel"):
        reconstruct(series(), arguments({})[1], device="cuda")


@pytest.mark.usefixtures("cupy")
def test_fft_plans_are_kept_few_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    data, config, _ = arguments({"rotation": "fourier", "padding_px": 3})
    monkeypatch.setattr(runtime, "_MAX_PLANS", 5)
    most = 0

    def look(event: Any) -> None:
        nonlocal most
        most = max(most, len(runtime.cuda_runtime()._plans))

    reconstruct(data, config, device="cuda", on_event=look)
    assert 3 <= most <= 5
    assert not runtime.cuda_runtime()._plans


def interrupted(tmp_path: Path) -> None:
    data, config, _ = arguments(
        {"refine": {"refine_defocus": "tilt"}, "iterations": 4, "momentum": "nesterov"}
    )
    whole = reconstruct(data, config, device="cuda")
    checkpoint, done = tmp_path / "c.h5", 0
    for event in iterate(data, config, device="cuda", checkpoint=checkpoint):
        done += isinstance(event, SweepDone)
        if done == 3:
            break
    again = reconstruct(data, config, device="cuda", checkpoint=checkpoint, resume=True)
    np.testing.assert_array_equal(again.volume, whole.volume)
    assert again.settings["refined"] == whole.settings["refined"]


@pytest.mark.usefixtures("cupy")
def test_a_killed_run_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    interrupted(tmp_path)


@pytest.mark.gpu
def test_a_killed_run_resumes_to_the_same_bytes_on_a_gpu(tmp_path: Path) -> None:
    interrupted(tmp_path)


@pytest.mark.usefixtures("cupy")
def test_the_stand_in_refuses_what_cupy_refuses(cupy: Any) -> None:
    device, host = cupy.zeros(3, np.float32), np.zeros(3, np.float32)
    for mixed in (
        lambda: device + host, lambda: host + device, lambda: np.asarray(device), lambda: cupy.sqrt(host),
        lambda: device.__setitem__(0, host[:1]), lambda: np.add(device, host),
    ):  # fmt: skip
        with pytest.raises(TypeError):
            mixed()
    assert isinstance(device.sum(), cupy.ndarray) and isinstance(np.float32(2) * device, cupy.ndarray)
    with pytest.raises(AttributeError):
        cupy.einsum_path_of_old  # noqa: B018
