"""What the GUI tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def tour_is_known(qapp) -> None:
    """The first workspace of all does not offer the tour; the test of the tour asks for it."""
    from napari_phaset3m.gui.tour import note_tour_offered

    note_tour_offered()


@pytest.fixture(scope="session", autouse=True)
def workers_end_before_the_application(qapp) -> Iterator[None]:
    """Wait for worker threads at the end, as napari does when it quits.

    One that outlives the application finds its signals deleted and, with PyQt6, aborts the process.
    """
    yield
    from qtpy.QtCore import QThreadPool

    assert QThreadPool.globalInstance().waitForDone(60_000), "a worker thread goes on after the last test"
