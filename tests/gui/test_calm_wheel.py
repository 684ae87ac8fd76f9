"""Scrolling a panel changes nothing that lies below the mouse.

Qt hands an ignored wheel event of a real mouse on to the parent (a sent one it does not), so being ignored is
what scrolls the panel.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

pytestmark = pytest.mark.gui
napari_components = pytest.importorskip("napari.components")

sys.path.insert(0, str(Path(__file__).parent))
from _steps import noisy_series  # noqa: E402

from napari_phaset3m.gui.align.panel import AlignPanel  # noqa: E402
from napari_phaset3m.gui.microscope.panel import MicroscopePanel  # noqa: E402
from napari_phaset3m.gui.prepare.panel import PreparePanel  # noqa: E402


def turn_wheel(widget) -> bool:
    """Whether the widget kept it to itself."""
    middle = QPointF(widget.rect().center())
    event = QWheelEvent(
        middle, QPointF(widget.mapToGlobal(widget.rect().center())), QPoint(), QPoint(0, -120),
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(widget, event)
    return bool(event.isAccepted())


@pytest.fixture
def panel_of(qtbot):
    viewers = []

    def made(kind):
        viewers.append(napari_components.ViewerModel())
        panel = kind(viewers[-1])
        qtbot.addWidget(panel)
        panel._session.series = noisy_series(n=64)
        panel.resize(panel.width(), 300)
        panel.show()
        return panel

    return made


def test_the_wheel_changes_no_alignment(panel_of):
    panel = panel_of(AlignPanel)
    for box, value in ((panel.move_.angle, 0.0), (panel.check.smooth, 1.0)):
        assert not turn_wheel(box) and box.value() == value and not box.hasFocus()
    assert not turn_wheel(panel.check.mode)
    assert panel.check.mode.currentIndex() == 0 and panel.work.draft is None


def test_what_has_been_clicked_answers_the_wheel(qtbot, panel_of):
    panel = panel_of(AlignPanel)
    panel.activateWindow()
    panel.check.smooth.setFocus()
    qtbot.waitUntil(panel.check.smooth.hasFocus)
    assert turn_wheel(panel.check.smooth) and panel.check.smooth.value() == 0.5


def test_settings_that_are_unfolded_later_are_calm_as_well(panel_of):
    panel = panel_of(PreparePanel)
    panel.rows["bin"].heading.click()
    factor = panel.rows["bin"].form.editors["factor"].widget
    assert not turn_wheel(factor)
    assert factor.value() == panel.work.configs["bin"].factor == 2


def test_the_wheel_changes_no_defocus(panel_of):
    panel = panel_of(MicroscopePanel)
    panel.defocus.setEnabled(True)  # as it is after a fit
    value = panel.defocus.value()
    assert not turn_wheel(panel.defocus) and panel.defocus.value() == value
