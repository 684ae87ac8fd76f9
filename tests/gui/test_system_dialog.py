"""The window's "System…": what the command line tells, to copy."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.gui]
pytest.importorskip("qtpy.QtWidgets")
pytest.importorskip("napari")

from napari.components import ViewerModel  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402

from napari_phaset3m.core import system  # noqa: E402
from napari_phaset3m.gui.system_dialog import show_system  # noqa: E402


def test_it_tells_and_copies_what_doctor_prints(qtbot, capsys, monkeypatch):
    from napari_phaset3m.cli import main

    found = system._found
    monkeypatch.setattr(system, "_found", lambda name: name != "dask" and found(name))
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out.rstrip("\n")
    assert "missing       dask: " in printed and "pip install" in printed
    dialog = show_system(ViewerModel())
    qtbot.addWidget(dialog)
    assert not dialog.copy.isEnabled(), "nothing to copy yet"
    qtbot.waitUntil(dialog.copy.isEnabled, timeout=10_000)
    assert dialog.text.toPlainText() == printed
    dialog.copy.click()
    assert QApplication.clipboard().text() == printed
