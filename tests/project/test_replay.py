"""The command and the Python that a window hands out really give the volume again."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import numpy as np
import pytest

from napari_phaset3m.config import ReconstructionConfig, Schedule, changed_fields
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.series import load_series, save_series
from napari_phaset3m.io.volume import load_volume
from napari_phaset3m.project import ProjectStore, take_snapshot
from napari_phaset3m.project.replay import (
    SAVE_FIRST,
    command,
    describe,
    python,
    recipe_of_file,
    recipe_of_run,
)
from napari_phaset3m.reconstruct.api import reconstruct
from napari_phaset3m.session import NamedMask, RunRecord, Session

N = 16


@pytest.fixture
def session(tmp_path):
    y, x = np.indices((N, N)) - (N - 1) / 2
    blob = np.exp(-(x**2 + y**2) / 8)
    series = TiltFocalSeries(
        images=np.stack([[1 - 0.1 * blob, 1 - 0.2 * blob]] * 3),
        tilt_deg=[-20.0, 0.0, 20.0],
        pixel_size_angstrom=0.8,
        energy_ev=300e3,
        defocus_angstrom=[300.0, 600.0],
    )
    path = save_series(series, tmp_path / "my blob.h5")
    made = Session(device="cpu")
    made.series_overrides, made.series_path = {"spherical_aberration_angstrom": 1e7}, path
    made.series_read = load_series(path, **made.series_overrides)
    made.series = made.series_read
    return made


def ran(session, mask=None, **fields) -> RunRecord:
    config = ReconstructionConfig(iterations=2, threads=1, **fields)
    named = None if mask is None else NamedMask(mask, (0.8,) * 3, "ball", {})
    result = reconstruct(session.series, config, device="cpu", mask=mask)
    record = RunRecord(
        "ab12", config, status="finished", device=result.device, series_name="my blob.h5",
        source=session.source(), volume=result.volume, voxel_size_angstrom=result.voxel_size_angstrom,
        unit=result.unit, sweeps=list(result.sweeps), mask=named, reason="sweeps", seconds=1.0,
    )  # fmt: skip
    session.add_run(record)
    return record


def same_again(recipe, volume, folder):
    """Run both in fresh processes, as a user would."""
    words = shlex.split(command(recipe, str(folder / "cli.mrc")))
    assert words.pop(0) == "phaset3m"
    environment = {**os.environ, "NUMBA_NUM_THREADS": "1"}
    start = [sys.executable, "-c", "import sys; from napari_phaset3m.cli import main; sys.exit(main())"]
    done = subprocess.run([*start, *words], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(load_volume(folder / "cli.mrc").data, volume)
    snippet = python(recipe, str(folder / "py.mrc"))
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{snippet}\n{done.stderr}"
    again = load_volume(folder / "py.mrc")
    np.testing.assert_array_equal(again.data, volume)
    return again


def test_a_plain_run_is_told_in_flags(session, tmp_path):
    record = ran(
        session, slices=3, constraints={
            "positivity": False, "atomic_basis_sigma_angstrom": None, "sparsity": 0.5, "tv_weight": 0.01,
            "tv_schedule": {"start": 1, "stop": 2},
        },
    )  # fmt: skip
    recipe = recipe_of_run(record)
    told = command(recipe)
    assert "--no-positivity" in told and "--atomic-basis-sigma none" in told and "--tv-schedule 1:2:1" in told
    assert "'" in told, "a path with a space is quoted"
    again = same_again(recipe, record.volume, tmp_path)
    assert again.voxel_size_angstrom == pytest.approx(0.8) and again.unit == record.unit
    text = describe(record, "Multislice", {"Slices": "3"})
    assert "my blob.h5" in text and "Slices 3" in text and "16 × 16 × 16 voxels (z, y, x) of 0.8 Å" in text
    assert "Given when it was opened: spherical aberration" in text


def test_an_edited_and_masked_run_is_replayed_from_its_project(session, tmp_path):
    shifts = np.random.default_rng(0).normal(0, 0.3, (3, 2, 2))
    session.series = session.series.replace(shifts_px=shifts)
    z, y, x = np.indices((N, N, N)) - (N - 1) / 2
    record = ran(session, mask=(x**2 + y**2 + z**2 < 36).astype(np.float32), method="sirt")
    record.settings = {"resolved": {"mask": [{"from_sweep": 0, "sha256": "x"}]}}
    assert recipe_of_run(record).why_not.startswith(SAVE_FIRST)
    with pytest.raises(DataError, match="Save the project"):
        command(recipe_of_run(record))
    store = ProjectStore(tmp_path / "p.phaset3m")
    store.save(take_snapshot(session))
    saved = store.runs.folder("ab12") / "volume.mrc"
    recipe = recipe_of_run(record, saved)
    assert recipe.why_not == "" and "--from" in command(recipe) and 'record["series_edits"]' in python(recipe)
    same_again(recipe, record.volume, tmp_path)
    assert command(recipe_of_file(saved)) == command(recipe), "a saved volume tells the same"


def test_images_that_were_prepared_in_the_window_come_from_the_project(session, tmp_path):
    session.series = session.series.replace(images=session.series.images**2)
    record = ran(session, method="sirt")
    assert record.source.path is None and recipe_of_run(record).why_not.startswith(SAVE_FIRST)
    store = ProjectStore(tmp_path / "p.phaset3m")
    saved = store.save(take_snapshot(session, made_of={"ab12": session.series}))
    session.update_run("ab12", source=saved.sources["ab12"])
    recipe = recipe_of_run(record, store.runs.folder("ab12") / "volume.mrc")
    same_again(recipe, record.volume, tmp_path)


def test_what_cannot_be_repeated_says_why(session):
    record = ran(session, method="sirt")
    record.reason = "finished early"
    assert "finished by hand" in recipe_of_run(record).why_not
    record.reason, record.settings = "sweeps", {"resolved": {"mask": [{"from_sweep": 0}, {"from_sweep": 2}]}}
    assert "changed while it ran" in recipe_of_run(record).why_not
    with pytest.raises(DataError, match="no record of a reconstruction"):
        recipe_of_file(session.series_path)


def test_changed_fields_are_those_that_differ():
    assert changed_fields(ReconstructionConfig()) == {}
    config = ReconstructionConfig(seed=3, constraints={"recentre_schedule": Schedule(start=2)})
    assert changed_fields(config) == {"seed": 3, "constraints.recentre_schedule": Schedule(start=2)}
