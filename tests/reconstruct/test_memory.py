"""The memory that a forecast tells is what a run takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

#: Runs in a process of its own, whose peak can be told from what was there before.
CHILD = """
import json, sys
from pathlib import Path
import numpy as np
from napari_phaset3m import ReconstructionConfig, TiltFocalSeries, reconstruct
from napari_phaset3m.reconstruct.forecast import forecast

def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))

def series(n, dose):
    images = 1 + 0.02 * np.random.default_rng(0).standard_normal((5, 2, n, n), dtype=np.float32)
    return TiltFocalSeries(
        images=images, tilt_deg=np.linspace(-60, 60, 5), pixel_size_angstrom=0.5, energy_ev=300e3,
        defocus_angstrom=np.array([900.0, 1800.0]), spherical_aberration_angstrom=2.3e7,
        dose_per_image=dose,
    )

settings = json.loads(sys.argv[1])
dose = settings.pop("dose", None)
config = ReconstructionConfig(**settings, iterations=2, threads=2)
reconstruct(series(24, dose), config, device="cpu")  # libraries and compiled code
data = series(160, dose)
told, idle = forecast(data, config).memory_bytes, status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
reconstruct(data, config, device="cpu")
print(json.dumps([told, status("VmHWM") - idle]))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs /proc of Linux")
@pytest.mark.parametrize(
    "settings",
    [{}, {"dose": 20.0}, {"method": "sirt"}],
    ids=["plain", "basis", "sirt"],
)
def test_a_run_takes_what_was_forecast(settings):
    run = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(settings)], check=True, capture_output=True, text=True
    )
    told, taken = json.loads(run.stdout)
    assert 0.65 * told < taken < 1.03 * told
