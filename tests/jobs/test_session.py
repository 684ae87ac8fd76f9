from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.session import RunRecord, Session, session_for


class Viewer:
    """Anything weakly referable."""


def test_one_session_per_viewer_that_dies_with_it():
    one, two = Viewer(), Viewer()
    session = session_for(one)
    assert session_for(one) is session and session_for(two) is not session
    gone = weakref.ref(session)
    del one, session
    gc.collect()
    assert gone() is None


def test_changes_are_announced_once():
    session, seen = Session(), []
    session.events.config.connect(lambda: seen.append("config"))
    session.events.mask.connect(lambda: seen.append("mask"))
    session.config = ReconstructionConfig(method="sirt")
    session.config = ReconstructionConfig(method="sirt")
    session.mask = np.zeros(3)
    session.mask = np.zeros(3)
    assert seen == ["config", "mask", "mask"]


def test_runs_are_announced_and_active_ones_stay():
    session, seen = Session(), []
    session.run_added.connect(lambda r: seen.append(("added", r.run_id)))
    session.run_changed.connect(lambda r: seen.append((r.status, r.run_id)))
    session.run_removed.connect(lambda r: seen.append(("removed", r.run_id)))
    session.add_run(RunRecord("a", session.config))
    session.remove_run("a")
    session.update_run("a", status="finished")
    session.remove_run("a")
    assert seen == [("added", "a"), ("finished", "a"), ("removed", "a")]
    assert session.update_run("a", status="failed") is None
    session.add_run(RunRecord("b", session.config))
    with pytest.raises(AttributeError, match="colour"):
        session.update_run("b", colour=1)
