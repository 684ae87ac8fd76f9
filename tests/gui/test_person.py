"""A person goes from Open Sample to a masked, analysed and exported result with clicks and keys only.

The way itself is in ``resources/person.py``. ``PHASET3M_SCREENSHOTS`` names a folder for the pictures.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.gui
pytest.importorskip("napari")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "resources"))

import person as steps  # noqa: E402
from napari_phaset3m.io.volume import load_volume  # noqa: E402
from napari_phaset3m.session import session_for  # noqa: E402


@pytest.fixture
def viewer(make_napari_viewer):
    import npe2

    manager = npe2.PluginManager.instance()
    if "napari-phaset3m" not in manager:
        manager.discover()
    return make_napari_viewer(show=True)


def test_from_open_sample_to_report_and_volume(viewer, tmp_path):
    pictures = Path(os.environ.get("PHASET3M_SCREENSHOTS", tmp_path / "pictures"))
    steps.walk(steps.Person(viewer, pictures), tmp_path)

    session = session_for(viewer)
    (run,) = session.runs
    assert run.status == "finished" and len(run.sweeps) == 3 and run.config.voxel_angstrom == 1.0
    volume = load_volume(tmp_path / "particle.mrc")
    assert volume.voxel_size_angstrom == pytest.approx(1.0)
    np.testing.assert_array_equal(volume.data, run.volume)
    told = json.loads((tmp_path / "particle.json").read_text(encoding="utf-8"))
    assert "co3o4_sample" in json.dumps(told)
    mask = session.analysis_mask.mask
    # a sphere of 20 Å (4190 Å³) and a wide soft edge; the potential inside is well above that outside
    assert 4000 < mask.sum() * volume.voxel_size_angstrom**3 < 25000
    assert volume.data[mask > 0.5].mean() > 2 * abs(volume.data[mask <= 0.5].mean())
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<html" in report and "co3o4_sample" in report and report.count("<img") + report.count("<svg") > 2
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    assert {p.stem for p in pictures.glob("person_*.png")} >= {f"person_{name}" for name in steps.SHOWN}
