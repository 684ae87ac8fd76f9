"""Drop-down lists say what they hold, however narrow they are."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytest.importorskip("qtpy")
from qtpy.QtCore import QEvent, QPoint
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QToolTip

from napari_phaset3m.gui.widgets.choice_box import ChoiceBox

LONG = "PhaseT3M · co3o4_dev_dose200 · run 12 (finished early)"
GUI = Path(__file__).resolve().parents[2] / "src" / "napari_phaset3m" / "gui"


@pytest.fixture
def box(qtbot):
    made = ChoiceBox()
    made.addItems([LONG, "SIRT"])
    made.setToolTip("Volume to look at")
    qtbot.addWidget(made)
    made.setFixedWidth(160)
    made.show()
    return made


def tip_of(box, monkeypatch):
    told = []
    monkeypatch.setattr(QToolTip, "showText", lambda place, text, *rest: told.append(text))
    box.event(QHelpEvent(QEvent.Type.ToolTip, QPoint(5, 5), QPoint(5, 5)))
    return told


def test_a_long_name_keeps_both_ends_and_the_tooltip_has_all_of_it(box, monkeypatch):
    shown = box.shown_text()
    assert "…" in shown and shown.startswith(LONG[:4]) and shown.endswith(LONG[-4:])
    assert tip_of(box, monkeypatch) == [f"{LONG}\n\nVolume to look at"]


def test_a_name_that_fits_is_as_it_is(box, monkeypatch):
    box.setCurrentIndex(1)
    assert box.shown_text() == "SIRT"
    box.setFixedWidth(800)
    box.setCurrentIndex(0)
    assert box.shown_text() == LONG


def test_without_a_choice_the_placeholder_is_drawn(box):
    box.setPlaceholderText("No volume yet")
    box.setCurrentIndex(-1)
    assert box.shown_text() == "No volume yet"


def test_the_list_is_as_wide_as_its_longest_entry(box, qtbot):
    box.showPopup()
    assert box.view().minimumWidth() >= box.fontMetrics().horizontalAdvance(LONG)
    box.hidePopup()


def test_all_lists_of_the_program_are_of_this_kind():
    found = subprocess.run(
        ["grep", "-rlE", r"QComboBox\(\)", str(GUI)], capture_output=True, text=True, check=False
    ).stdout
    assert found == ""
