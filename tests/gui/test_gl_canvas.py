"""A vispy canvas ends with its OpenGL context, and goes without turning the event loop."""

from __future__ import annotations

import logging

import numpy as np
import pytest

pytest.importorskip("qtpy")
from qtpy.compat import isalive
from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QVBoxLayout, QWidget

from napari_phaset3m.gui.canvas.gl_canvas import discard, new_canvas

pytestmark = pytest.mark.gui


class Owner(QObject):
    def __init__(self) -> None:
        super().__init__()
        self.lost = 0

    def on_lost(self) -> None:
        self.lost += 1


def test_a_second_context_ends_the_canvas_and_is_told_once(qtbot):
    owner = Owner()
    canvas = new_canvas(owner.on_lost)
    qtbot.addWidget(canvas.native)
    canvas.native.show()
    qtbot.waitExposed(canvas.native)
    first = canvas.native._vispy_canvas
    canvas.events.initialize()
    if first is canvas and canvas.native._vispy_canvas is not None:
        canvas.events.initialize()  # the window was shown without a context so far
    assert canvas.native._vispy_canvas is None
    canvas.events.initialize()
    qtbot.waitUntil(lambda: owner.lost == 1, timeout=5000)
    qtbot.wait(20)
    assert owner.lost == 1


def test_discarding_turns_no_event_loop_and_may_be_done_twice(qtbot):
    owner, came = Owner(), []
    canvas = new_canvas(owner.on_lost)
    canvas.native.show()
    qtbot.wait(50)
    QTimer.singleShot(0, lambda: came.append(True))
    discard(canvas)
    discard(canvas)
    assert not came and isalive(canvas.native) and canvas.native.isHidden()
    qtbot.waitUntil(lambda: not isalive(canvas.native), timeout=5000)
    discard(canvas)


def test_a_dock_that_floats_never_draws_what_is_gone(qtbot, caplog):
    from vispy.scene.visuals import Image

    class Holder(QWidget):
        def __init__(self) -> None:
            super().__init__()
            QVBoxLayout(self)
            self.canvas = None
            self.build()

        def build(self) -> None:
            old, self.canvas = self.canvas, new_canvas(self.build)
            if old is not None:
                discard(old)
            view = self.canvas.central_widget.add_view()
            Image(np.ones((8, 8), np.float32), parent=view.scene)
            self.layout().addWidget(self.canvas.native)

    window, dock, holder = QMainWindow(), QDockWidget(), Holder()
    qtbot.addWidget(window)
    dock.setWidget(holder)
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
    window.show()
    caplog.set_level(logging.WARNING, "vispy")
    for floating in (True, False, True, False):
        qtbot.wait(60)
        dock.setFloating(floating)
        qtbot.wait(60)
    assert holder.canvas.native._vispy_canvas is holder.canvas
    assert not [record.getMessage() for record in caplog.records if record.name.startswith("vispy")]


def test_labels_of_a_narrow_transform_are_short_and_nothing_is_cut(qtbot):
    from napari_phaset3m.gui.analyse.fourier3d import NARROW_PX, Fourier3D

    owner = Owner()
    canvas = Fourier3D(owner.on_lost)
    canvas.widget.resize(NARROW_PX + 200, 240)
    qtbot.addWidget(canvas.widget)
    canvas.widget.show()
    qtbot.waitExposed(canvas.widget)
    power = np.random.default_rng(0).random((24, 24, 24)).astype(np.float32)
    canvas.show(power, 0.5, (0.0, 1.0))
    canvas.set_tilt_range((-60.0, 60.0))
    assert all("1/Å" in text for text in canvas.marks.labels.text) and not canvas.wedge.centred
    canvas.widget.resize(NARROW_PX - 100, 240)
    qtbot.waitUntil(lambda: canvas.wedge.centred, timeout=5000)
    assert canvas.marks.labels.text and not any("1/Å" in text for text in canvas.marks.labels.text)
    assert canvas.wedge.label.anchors[0] == "center" and canvas.wedge.label.pos[0][0] == 0
    canvas.close()
