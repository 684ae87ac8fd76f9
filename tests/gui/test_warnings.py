"""What napari says about PyQt5 fails no test, also where a worker thread has exchanged the filters."""

from __future__ import annotations

import threading
import warnings

import pytest

pytestmark = pytest.mark.gui
theme = pytest.importorskip("napari.utils.theme")

inside, leave = threading.Event(), threading.Event()


def stay() -> None:
    with warnings.catch_warnings():
        inside.set()
        leave.wait(30)


worker = threading.Thread(target=stay)


def test_a_worker_enters_catch_warnings():
    worker.start()
    assert inside.wait(30)


def test_filters_that_a_worker_brings_back_are_those_of_every_test():
    leave.set()
    worker.join(30)  # the filters are now those of the test before, without this one's marks
    assert theme.get_system_theme() in ("dark", "light")
    with pytest.raises(UserWarning, match="a warning of ours"):
        warnings.warn("a warning of ours", UserWarning, stacklevel=1)
