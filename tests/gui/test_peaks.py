from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("qtpy")
from qtpy.QtCore import Qt

from napari_phaset3m.analyse.fourier import log_power
from napari_phaset3m.errors import DataError
from napari_phaset3m.gui.fourier import peaks_view
from napari_phaset3m.gui.fourier.peak_table import COLUMNS, PeakTable, peak_name
from napari_phaset3m.gui.fourier.view import FourierView
from napari_phaset3m.jobs.frames import power_limits
from napari_phaset3m.jobs.messages import PreviewFrame
from napari_phaset3m.session import RunRecord, Session

pytestmark = pytest.mark.gui
WAIT = 60_000
N, VOXEL = 32, 0.5
#: A plane wave with this frequency, in steps of the transform: (z, y, x).
WAVE = (3, -5, 7)


def row(h, k, l, frequency_zyx, **more):  # noqa: E741
    z, y, x = frequency_zyx
    values = {
        "h": h, "k": k, "l": l, "family": "{422}", "snr": 8.0,
        "d_angstrom": 1 / np.linalg.norm(frequency_zyx),
        "found": True, "in_wedge": None, "deep_in_wedge": None, "phase_agreement": None, "phase_agreed": None,
        "qx_per_angstrom": x, "qy_per_angstrom": y, "qz_per_angstrom": z,
    }  # fmt: skip
    return {**values, **more}


class FakeReport:
    def __init__(self, rows):
        self._rows = rows

    def rows(self):
        return self._rows

    def statement(self):
        return "{422} at 1.65 Å, SNR 8, 10 of 12 found"


def frequency(index):
    return tuple(i / (N * VOXEL) for i in index)


@pytest.fixture
def view(qtbot):
    """A Fourier view of a volume that is one plane wave, so that its power is one pair of points."""
    session = Session()
    z, y, x = np.indices((N, N, N))
    phase = 2 * np.pi * (WAVE[0] * z + WAVE[1] * y + WAVE[2] * x) / N
    volume = np.cos(phase).astype(np.float32)
    power = log_power(volume)
    widget = FourierView(session)
    qtbot.addWidget(widget)
    widget.resize(700, 260)
    widget.show()
    session.frame = PreviewFrame("a", 0, volume, power, VOXEL, (0, 1), power_limits(power), final=True)
    qtbot.waitUntil(lambda: widget.canvas is not None and widget._shown is not None, timeout=WAIT)
    widget.peaks_button.setChecked(True)
    yield widget
    widget.release()


@pytest.mark.parametrize(
    ("name", "cut", "middle"), [("kx–ky", 0, (2, 1)), ("kx–kz", 1, (2, 0)), ("ky–kz", 2, (1, 0))]
)
def test_click_flies_to_the_peak_in_its_plane(qtbot, view, name, cut, middle):
    peak = frequency(WAVE)
    view.peaks.show_report(FakeReport([row(1, -1, 2, peak), row(0, 0, 4, frequency((0, 0, 2)))]))
    view.view.setCurrentText(name)
    canvas, table = view.canvas, view.peaks.table
    before = canvas.plane().max()
    index = next(i for i in range(2) if table.model().index(i, 0).data() == "1 −1 2")
    qtbot.mouseClick(
        table.viewport(),
        Qt.MouseButton.LeftButton,
        pos=table.visualRect(table.model().index(index, 0)).center(),
    )
    np.testing.assert_allclose(canvas.middle(), [peak[axis] for axis in middle], atol=1e-6)
    assert canvas.depth == pytest.approx(peak[cut])
    # the wave's power is in this plane and in no central one
    assert canvas.plane().max() > before + 3
    assert canvas.marks.mark.visible and canvas.marks.mark_label.text.startswith("1 −1 2")
    assert not canvas.marks.rings.visible
    view.view.setCurrentText("3D")
    assert not canvas.marks.mark.visible and canvas.marks.rings.visible


def test_fly_in_3d_and_back(view):
    view.peaks.wanted.emit(frequency(WAVE), "here")
    np.testing.assert_allclose(view.canvas.middle(), frequency(WAVE[::-1]), atol=1e-6)
    picture = view.canvas.screenshot()[..., :3].astype(int)
    height, width = picture.shape[:2]
    around = picture[height // 2 - 12 : height // 2 + 12, width // 2 - 12 : width // 2 + 12]
    assert around.max() > 150, "the peak is in the middle of the picture"
    view.view.setCurrentText("kx–ky")
    assert view.canvas.depth == 0


def test_cells_say_what_was_not_measured():
    unknown = row(4, -2, 2, (0.1, 0.2, 0.3))
    assert peak_name(unknown) == "4 −2 2"
    assert [c.text(unknown) for c in COLUMNS[3:]] == ["not compared", "not known", "yes"]
    known = row(4, 2, 2, (0.1, 0.2, 0.3), phase_agreement=-0.4, phase_agreed=False, in_wedge=True)
    assert [c.text(known) for c in COLUMNS[3:]] == ["−0.40", "missing", "no"], "height is not enough"


def test_table_sorts_by_number_not_by_text(qtbot):
    table = PeakTable()
    qtbot.addWidget(table)
    table.set_rows([row(1, 0, 0, (0, 0, k)) for k in (0.05, 0.5, 0.1)])
    assert [table.model().index(i, 1).data() for i in range(3)] == ["20.000", "10.000", "2.000"]
    table.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    assert table.model().index(0, 1).data() == "2.000"


def test_finds_peaks_of_the_newest_volume(qtbot, monkeypatch):
    session = Session()
    view = peaks_view.PeaksView(session)
    qtbot.addWidget(view)
    assert not view.find.isEnabled() and "no finished volume" in view.find.toolTip()
    volume = np.zeros((8, 8, 8), np.float32)
    record = RunRecord("a", session.config, status="finished", volume=volume, voxel_size_angstrom=0.5)
    session.add_run(record)
    asked = []

    def find(*args):
        asked.append(args)
        return FakeReport([row(2, 2, 0, (0.1, 0.1, 0.0))])

    monkeypatch.setattr(peaks_view, "find_peaks", find)
    view.find.click()
    qtbot.waitUntil(lambda: view.report is not None, timeout=WAIT)
    assert asked[0][0] is volume and asked[0][1] == 0.5
    assert view.table.model().rowCount() == 1 and "{422}" in view.says.full_text()

    def fail(*args):
        raise DataError("the volume is constant")

    monkeypatch.setattr(peaks_view, "find_peaks", fail)
    view.find.click()
    qtbot.waitUntil(lambda: "constant" in view.says.full_text(), timeout=WAIT)
    assert view.find.isEnabled()
