"""The GPU check itself, through a stand-in for CuPy: it must not fail the day it meets a GPU."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from napari_phaset3m.core.cuda.rotation import CudaRotator
from napari_phaset3m.reconstruct.methods import METHODS

ROOT = Path(__file__).parents[3]


def _load(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


cupy = _load("phaset3m_host_runtime", ROOT / "tests" / "core" / "cuda" / "conftest.py").cupy
rows = _load("gpu_rows", ROOT / "benchmarks" / "gpu_rows.py")
check = _load("gpu_check", ROOT / "benchmarks" / "gpu_check.py")

SECONDS = rows.seconds


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "COPY_FLOATS", 1 << 10)
    monkeypatch.setattr(rows, "seconds", lambda xp, work, repeat=1: (work(), 1e-3)[1])


@pytest.mark.usefixtures("cupy")
def test_it_runs_and_agrees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "check.json"
    assert check.main(["--output", str(output), "--sizes", "16x4x3", "--methods", "16x5x3"]) == 0
    found = json.loads(output.read_text())
    assert {row["name"] for row in found["methods"]} == set(METHODS) and not found["failures"]
    (run,) = found["runs"]
    assert len(run["variants"]) == len(rows.VARIANTS)
    assert sum(row["difference"] is not None for row in run["kernels"]) == 11
    assert "GPU = CPU" in capsys.readouterr().out


@pytest.mark.usefixtures("cupy")
def test_it_tells_a_wrong_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    right = CudaRotator.backproject

    def wrong(self: Any, slices: Any, tilts: Any, gradient: Any) -> None:
        right(self, slices * rows.np.float32(1.001), tilts, gradient)

    monkeypatch.setattr(CudaRotator, "backproject", wrong)
    run = check.measure((16, 4, 3), 1e9)
    failures = check.failures({"runs": [run], "methods": []})
    assert {"16: backproject linear", "16: linear", "16: cubic"} <= set(failures)
    assert "16: fourier" not in failures


@pytest.mark.usefixtures("cupy")
def test_large_sizes_are_compared_where_the_cpu_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "COMPARED_EDGE", 8)
    run = check.measure((16, 3, 3), 1e9)
    assert [row["name"] for row in run["variants"] if row["difference"] is not None] == ["linear"]
    assert all(row["difference"] is None for row in run["kernels"])
    assert not check.failures({"runs": [run], "methods": []})


def test_the_timer_warms_up(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "seconds", SECONDS)
    calls: list[int] = []
    assert rows.seconds(cupy, lambda: calls.append(1), 3) >= 0
    assert len(calls) == 5
