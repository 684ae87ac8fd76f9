"""The session's series can be taken back step by step, within a bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m import series_history
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.series_history import SeriesHistory
from napari_phaset3m.session import Session


def make_series(value: float = 1.0, n: int = 32) -> TiltFocalSeries:
    return TiltFocalSeries(
        images=np.full((3, 1, n, n), value, np.float32), tilt_deg=[-10, 0, 10],
        pixel_size_angstrom=1.0, energy_ev=2e5, defocus_angstrom=[900.0],
    )  # fmt: skip


def names(session: Session) -> list[str]:
    return [state.name for state in session.history.states]


def test_steps_and_edits_are_undone_and_redone():
    session = Session()
    first = session.series = make_series()
    stepped = make_series(2.0)
    session.apply(stepped, "Outliers")
    session.series = edited = stepped.replace(tilt_deg=[-11, 0, 10])
    assert names(session) == ["Opened", "Outliers", "Tilt angles edited"]
    session.undo()
    assert session.series is stepped
    session.undo()
    assert session.series is first and not session.history.can_undo
    session.undo()
    assert session.series is first
    session.redo()
    session.redo()
    assert session.series is edited and not session.history.can_redo
    session.go_to(0)
    session.apply(make_series(3.0), "Taper")
    assert names(session) == ["Opened", "Taper"], "what was undone is forgotten by a new step"


def test_another_file_begins_anew():
    session = Session()
    session.series = make_series()
    session.series = session.series.replace(energy_ev=1e5)
    other = make_series(5.0)
    session.series_read = other
    session.series = other
    assert names(session) == ["Opened"] and session.history.current.series is other
    session.series = None
    assert names(session) == [] and not session.history.can_undo


def test_nudges_in_a_row_are_one_step():
    session = Session()
    session.series = make_series()
    for shift in (0.1, 0.2, 0.3):
        session.apply(session.series.replace(shifts_px=np.full((3, 1, 2), shift)), "Shift", merge="nudge")
    assert names(session) == ["Opened", "Shift"] and session.series.shifts_px[0, 0, 0] == 0.3
    session.undo()
    assert session.series.shifts_px[0, 0, 0] == 0


def test_memory_is_bounded_and_shared():
    history = SeriesHistory(max_bytes=2 * 3 * 32 * 32 * 4)
    series = make_series()
    history.begin(series)
    for angle in range(20):
        history.add(series.replace(tilt_deg=[-angle, 0, 10]), "Tilt angles edited")
    assert len(history.states) == 21 and history.kept_bytes() == 3 * 32 * 32 * 4
    for value in range(2, 6):
        history.add(make_series(value), f"step {value}")
    assert [state.name for state in history.states] == ["step 4", "step 5"]
    assert history.kept_bytes() <= history.max_bytes and history.current.name == "step 5"
    history.add(make_series(9.0, n=200), "too large")
    assert [state.name for state in history.states] == ["too large"], "the one in use always stays"
    with pytest.raises(IndexError):
        history.go_to(3)


def test_allowance_comes_from_the_free_memory(monkeypatch):
    one = 3 * 32 * 32 * 4
    monkeypatch.setattr(series_history, "MAX_BYTES", one)
    monkeypatch.setattr(series_history, "available_memory", lambda: 6 * one)
    history = SeriesHistory()
    history.begin(make_series())
    for value in range(2, 9):
        history.add(make_series(value), f"step {value}")
    # 30 % of 6 free and some 3 to 4 kept: two or three of them
    assert 2 <= len(history.states) <= 3 and history.current.name == "step 8"
