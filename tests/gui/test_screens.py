"""The workspace on another screen: at twice the scale, in napari's light theme, in its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.gui
pytest.importorskip("napari")
ROOT = Path(__file__).resolve().parents[2]


def test_at_twice_the_scale_it_runs_and_nothing_is_cut_off(tmp_path):
    picture = tmp_path / "scaled.png"
    done = subprocess.run(
        [sys.executable, str(ROOT / "resources" / "look.py"), str(picture), "--theme", "light"],
        env=os.environ | {"QT_SCALE_FACTOR": "2"}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["status"] == "finished" and told["ratio"] == 2.0 and told["window"] == [1366, 768]
    assert not any(told["cut_off"].values()), told["cut_off"]
    assert picture.stat().st_size > 20_000 and "Traceback" not in done.stderr
