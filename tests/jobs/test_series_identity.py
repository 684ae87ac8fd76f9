"""Runs belong to the series they were made of, and not to another file of the same name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.io.series import load_series, save_series
from napari_phaset3m.project import ProjectStore, take_snapshot
from napari_phaset3m.series_identity import is_of_open_series, mark_of, name_of_other
from napari_phaset3m.session import RunRecord, SeriesSource, Session


def series(seed: int = 0, **more: object) -> TiltFocalSeries:
    given = {
        "images": np.random.default_rng(seed).normal(1, 0.1, (3, 2, 12, 12)),
        "tilt_deg": [-20.0, 0.0, 20.0], "pixel_size_angstrom": 0.8, "energy_ev": 3e5,
    }  # fmt: skip
    return TiltFocalSeries(**{**given, **more})


def opened(path: Path) -> Session:
    session = Session()
    session.series_read = load_series(path)
    session.series_path = path
    session.series = session.series_read
    return session


def run_of(session: Session) -> RunRecord:
    return RunRecord("ab12", ReconstructionConfig(), status="finished", source=session.source(),
                     series_name=session.series_name, series_mark=session.series_mark)  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"tilt_deg": [-20.0, 0.0, 20.5]}, {"images": series().images[:, :1]}],
    ids=["images", "tilts", "shape"],
)
def test_a_file_of_the_same_name_elsewhere_is_another_series(tmp_path: Path, change):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    first = opened(save_series(series(), tmp_path / "a" / "TS.h5"))
    record = run_of(first)
    assert is_of_open_series(first, record)
    other = opened(save_series(series(**change), tmp_path / "b" / "TS.h5"))
    assert other.series_name == record.series_name and not is_of_open_series(other, record)
    assert name_of_other(other, record) == f"another TS.h5, in {tmp_path / 'a'}"
    record.source = SeriesSource()
    assert name_of_other(other, record) == "another TS.h5"
    copy = opened(save_series(series(), tmp_path / "b" / "copy.h5"))
    assert is_of_open_series(copy, record) and name_of_other(copy, record) == "TS.h5"


@pytest.mark.parametrize(
    "given",
    [
        {"pixel_size_angstrom": 0.9},
        {"vacuum_intensity": 1.01},
        {"vacuum_intensity": 373.7},
        {"energy_ev": 2e5},
    ],
    ids=lambda given: "-".join(map(str, *given.items())),
)
def test_a_file_opened_again_with_a_value_completed_is_the_same_series(tmp_path: Path, given):
    path = save_series(series(), tmp_path / "TS.h5")
    session = opened(path)
    record, pixels = run_of(session), session.series.images
    session.series = load_series(path, **given)
    assert is_of_open_series(session, record)
    if "vacuum_intensity" in given:
        assert not np.allclose(session.series.images, pixels), "else this test says nothing"
    mended = opened(save_series(session.series, tmp_path / "mended.h5"))
    assert is_of_open_series(mended, record)


def test_a_level_of_each_image_makes_no_other_series():
    given = series()
    levels = np.random.default_rng(2).uniform(0.1, 900, (3, 2, 1, 1)).astype(np.float32)
    assert mark_of(given.replace(images=given.images / levels)) == mark_of(given)
    stretched = given.images * 1.02 - np.float32(0.02)  # of more contrast: not a matter of the level
    assert mark_of(given.replace(images=stretched)) != mark_of(given)


def test_the_open_file_read_otherwise_is_not_called_another(tmp_path: Path):
    """It told to open "another TS.h5", in the folder of the one that was open."""
    path = save_series(series(), tmp_path / "TS.h5")
    record = run_of(opened(path))
    save_series(series(tilt_deg=[-20.0, 0.0, 20.5]), path)
    session = opened(path)
    assert not is_of_open_series(session, record)
    assert name_of_other(session, record) == "TS.h5 as it was read then, with other images or tilts than now"


def test_images_without_a_level_have_a_mark():
    none = series(images=np.zeros((3, 2, 12, 12)))
    assert mark_of(none) == mark_of(none.replace(pixel_size_angstrom=2.0)) != mark_of(series())


def test_what_is_done_to_a_series_does_not_make_it_another():
    session = Session(series=series())
    record = run_of(session)
    session.apply(session.series.replace(images=session.series.images * 2), "Normalise")
    session.series = session.series.replace(tilt_deg=[-19.0, 0.0, 20.0])
    assert is_of_open_series(session, record) and run_of(session).series_mark == record.series_mark
    session.series = series(5)
    assert not is_of_open_series(session, record)
    session.series = None
    assert session.series_mark == "" and not is_of_open_series(session, record)


def test_a_run_without_a_mark_goes_by_its_name():
    session = Session(series=series(metadata={"name": "TS.h5"}))
    old = RunRecord("ab12", ReconstructionConfig(), series_name="TS.h5")
    assert is_of_open_series(session, old)
    session.series = series(metadata={"name": "other.h5"})
    assert not is_of_open_series(session, old)


def test_a_project_keeps_what_a_series_is_known_by(tmp_path: Path):
    """Its images were changed in the window: what a project has of them is not what was opened."""
    session = opened(save_series(series(), tmp_path / "TS.h5"))
    record = run_of(session)
    session.add_run(record)
    session.apply(session.series.replace(images=session.series.images**2), "Square")
    store = ProjectStore(tmp_path / "p.phaset3m")
    store.save(take_snapshot(session, made_of={}))
    loaded = ProjectStore(tmp_path / "p.phaset3m").load()
    assert loaded.project.series.mark == record.series_mark == loaded.runs[0].series_mark
    assert mark_of(loaded.series) != record.series_mark, "else this test says nothing"


def test_every_image_counts():
    given = series()
    for place in np.ndindex(3, 2):
        images = np.array(given.images)
        images[place] = images[place][::-1, ::-1]
        assert mark_of(given.replace(images=images)) != mark_of(given)
    assert mark_of(series()) == mark_of(given)
