"""The window's "System…": what the command line tells, to copy."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.gui
pytest.importorskip("qtpy.QtWidgets")
pytest.importorskip("napari")

from napari.components import ViewerModel  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402

from napari_phaset3m.core import system  # noqa: E402
from napari_phaset3m.gui.canvas import opengl  # noqa: E402
from napari_phaset3m.gui.layers.publisher import LayerPublisher  # noqa: E402
from napari_phaset3m.gui.reconstruct.pictures import PictureFeed  # noqa: E402
from napari_phaset3m.gui.system_dialog import show_system  # noqa: E402
from napari_phaset3m.jobs import RunControl  # noqa: E402
from napari_phaset3m.session import Session  # noqa: E402


def test_it_tells_and_copies_what_doctor_prints(qtbot, capsys, monkeypatch):
    from napari_phaset3m.cli import main

    found = system._found
    monkeypatch.setattr(system, "_found", lambda name: name != "dask" and found(name))
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out.rstrip("\n")
    assert "\nMissing      dask: " in printed and "pip install" in printed
    dialog = show_system(ViewerModel())
    qtbot.addWidget(dialog)
    assert not dialog.copy.isEnabled(), "nothing to copy yet"
    qtbot.waitUntil(dialog.copy.isEnabled, timeout=10_000)
    shown = dialog.text.toPlainText()
    kept = [line for line in shown.splitlines() if not line.startswith("OpenGL ")]
    assert "\n".join(kept) == printed and len(shown.splitlines()) == len(kept) + 1
    dialog.copy.click()
    assert QApplication.clipboard().text() == shown


@pytest.mark.parametrize(
    ("name", "voxels", "words"),
    [
        ("llvmpipe (LLVM 15.0.6, 256 bits)", 128, "in software"),
        ("NVIDIA RTX A4000/PCIe/SSE2", 256, "NVIDIA RTX A4000/PCIe/SSE2"),
        ("", 256, "none found"),
    ],
)
def test_pictures_are_coarser_where_the_processor_paints(monkeypatch, name, voxels, words):
    monkeypatch.setattr(opengl, "renderer", lambda: name)
    feed = PictureFeed(Session(), LayerPublisher(ViewerModel()))
    control = RunControl()
    feed.begin(control)
    assert control.preview_max_voxels() == voxels
    assert words in opengl.opengl_words()
