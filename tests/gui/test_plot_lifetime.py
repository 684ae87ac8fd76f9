"""The Python half of a plot must not die before its C++ half, and neither may stay for ever."""

from __future__ import annotations

import gc
from weakref import ref

import numpy as np
import pytest

pytestmark = pytest.mark.gui
pg = pytest.importorskip("pyqtgraph")

from qtpy.compat import isalive  # noqa: E402
from qtpy.QtCore import QCoreApplication, QEvent  # noqa: E402
from qtpy.QtWidgets import QVBoxLayout, QWidget  # noqa: E402

from napari_phaset3m.gui.analyse.curves import Curve, CurvePlot  # noqa: E402
from napari_phaset3m.gui.analyse.plot import CurveView  # noqa: E402
from napari_phaset3m.gui.analyse.slices import SlicesView  # noqa: E402
from napari_phaset3m.gui.plots.error_curve import ErrorPlot  # noqa: E402
from napari_phaset3m.gui.widgets import binding  # noqa: E402
from napari_phaset3m.session import Session  # noqa: E402


def a_plot() -> CurvePlot:
    x = np.linspace(0.01, 1, 20)
    curves = (Curve("one", x, x), Curve("two", x, x**2, 1, "dash"))
    return CurvePlot(
        curves=curves, xlabel="", ylabel="", frequency=True, levels=((0.143, "0.143"),),
        marks=((0.4, "{422}"),), regions=((0.1, 0.2),), y_range=(0.0, 1.0),
    )  # fmt: skip


def delete_now() -> None:
    """What an event loop does when it comes round."""
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()


def watched(view: CurveView):
    """(list that fills when Qt deletes the scene, weak references to the view box and to every line)"""
    plot = view.widgets[0].findChild(pg.PlotWidget)
    lines = [item for item in plot.scene().items() if isinstance(item, pg.InfiniteLine)]
    assert len(lines) == 4  # the level, the mark and the edges of the region
    deleted: list[bool] = []
    plot.scene().destroyed.connect(lambda *_: deleted.append(True))
    return deleted, ref(plot.getViewBox()), [ref(line) for line in lines]


@pytest.mark.parametrize("how", ["drawn again", "window deleted"])
def test_lines_have_their_view_box_until_qt_deletes_them(qtbot, how):
    host = QWidget()
    QVBoxLayout(host).addWidget(view := CurveView())
    host.show()
    view.show_plots([a_plot()])
    qtbot.wait(20)
    deleted, box, lines = watched(view)
    if how == "drawn again":
        view.show_plots([a_plot()])
    else:
        host.deleteLater()
        del host, view
    gc.collect()
    assert not deleted
    # this is where a line failed: asked for its rectangle by Qt with the view box collected
    assert box() is not None and all(line().getViewBox() is box() for line in lines)
    for line in lines:
        line().viewTransformChanged()
        line().boundingRect()
    delete_now()
    assert deleted
    qtbot.wait(20)
    delete_now()  # what held the slots goes one round later
    assert box() is None and all(line() is None for line in lines)


@pytest.mark.parametrize("make", [lambda: ErrorPlot(Session()).plot, lambda: SlicesView().graphics])
def test_every_view_of_pyqtgraph_outlives_its_c_half_only(qtbot, make):
    graphics = make()  # the parent is a temporary: the C++ half is deleted with it
    gc.collect()
    assert not isalive(graphics)
    assert not any(graphics is kept for kept, _ in binding._LIVING.values())


def test_numbers_below_one_stay_what_they_are_when_an_axis_is_styled_again(qtbot):
    import pyqtgraph

    from napari_phaset3m.gui.widgets.binding import plain_numbers

    plot = pyqtgraph.PlotWidget()
    qtbot.addWidget(plot)
    axis = plot.getAxis("bottom")
    for _ in range(2):  # the second time with a range, as after a change of the theme
        plain_numbers(axis)
        axis.setLabel("spatial frequency (1/Å)")
        plot.setXRange(0, 0.9)
    plain_numbers(axis)
    assert axis.autoSIPrefixScale == 1.0 and axis.tickStrings([0.2], axis.autoSIPrefixScale, 0.2) == ["0.2"]
