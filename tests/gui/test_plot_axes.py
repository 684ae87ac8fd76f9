"""Axes of the error plot: whole sweeps, and labels that tell values apart within a decade."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pg = pytest.importorskip("pyqtgraph")
from napari_phaset3m.gui.plots.axes import LogAxis, SweepAxis  # noqa: E402


def test_no_tick_lies_between_two_sweeps(qtbot):
    axis = SweepAxis("bottom")
    for last in (2, 4, 7, 30, 400):
        values = [v for _, level in axis.tickValues(1, last, 600) for v in level]
        assert len(values) >= 2 and all(v == round(v) for v in values), (last, values)


@pytest.mark.parametrize(("least", "most"), [(0.74, 0.96), (0.99, 1.0), (0.02, 0.11), (1.5e-4, 4e-4)])
def test_less_than_a_decade_has_its_own_labels(qtbot, least, most):
    axis = LogAxis("left")
    axis.setLogMode(y=True)
    levels = axis.tickValues(np.log10(least), np.log10(most), 180)
    values = [v for _, level in levels for v in level]
    told = [text for gap, level in levels for text in axis.tickStrings(level, 1.0, gap)]
    assert len(told) >= 3 and len(set(told)) == len(told)
    for value, text in zip(values, told, strict=True):
        assert 0.999 * least <= 10**value <= 1.001 * most and float(text) == pytest.approx(
            10**value, rel=1e-3
        )


@pytest.mark.parametrize(
    ("low", "high", "size", "labels"),
    [(-4, 0, 180, ["0.0001", "0.001", "0.01", "0.1", "1"]),
     (-1.6, 0.1, 140, ["0.05", "0.1", "0.2", "0.5", "1"]),  # the missing wedge, in a window of 768 px
     (0.5, 2.2, 140, ["5", "10", "20", "50", "100"]),
     (-12, 0, 120, ["1e-12", "1e-10", "1e-08", "1e-06", "0.0001", "0.01", "1"])],
)  # fmt: skip
def test_labels_of_decades_have_room(qtbot, low, high, size, labels):
    axis = LogAxis("left")
    axis.setLogMode(y=True)
    levels = axis.tickValues(low, high, size)
    places = [v for _, level in levels for v in level]
    assert [text for gap, level in levels for text in axis.tickStrings(level, 1.0, gap)] == labels
    assert min(np.diff(sorted(places))) * size / (high - low) >= 18


def test_a_legend_that_is_too_long_goes_on_in_a_second_line(qtbot):
    from napari_phaset3m.gui.plots.tilt_plot import TiltCurve, TiltPlot

    plot, x = TiltPlot("defocus (nm)"), np.linspace(-60, 60, 5)
    qtbot.addWidget(plot)
    names = ("series", "focus 1", "focus 2", "focus 3", "doubtful", "by hand")
    plot.show_curves([TiltCurve(name, x, x, None, n, n) for n, name in enumerate(names)])
    plot.show()
    heights = []
    for width in (900, 300):
        plot.resize(width, 200)
        qtbot.waitUntil(lambda: plot.legend.height() >= plot.legend.heightForWidth(plot.legend.width()))
        heights.append(plot.legend.height())
    assert heights[1] > 1.5 * heights[0]


def test_logarithmic_curves_of_the_analysis_have_that_axis(qtbot):
    from napari_phaset3m.gui.analyse.curves import Curve, CurvePlot
    from napari_phaset3m.gui.analyse.plot import CurveView

    view, x = CurveView(), np.linspace(0.01, 0.06, 30)
    qtbot.addWidget(view)
    curve = Curve("ratio", x, np.geomspace(1.0, 0.03, 30))
    view.show_plots(
        [CurvePlot(curves=(curve,), xlabel="frequency", ylabel="ratio", log_y=flag) for flag in (True, False)]
    )
    axes = [widget.getAxis("left") for widget in view.widgets]
    assert [isinstance(axis, LogAxis) for axis in axes] == [True, False]


def cut_off(view) -> list[str]:
    """Names of axes and legends that are not seen from end to end, and plots too small to be read."""
    from qtpy.QtWidgets import QLabel

    found = []
    for widget in (widget for widget in view.widgets if widget.isVisible()):
        plot = widget if isinstance(widget, pg.PlotWidget) else widget.findChild(pg.PlotWidget)
        for side in ("left", "bottom"):
            name = plot.getAxis(side).label
            place = name.mapRectToScene(name.boundingRect()).toAlignedRect()
            margin = round(name.document().documentMargin())
            if not plot.rect().contains(place.adjusted(margin, margin, -margin, -margin)):
                found.append(f"{name.toPlainText()}: {place} in {plot.rect()}")
        for legend in widget.findChildren(QLabel):
            if legend.width() < legend.minimumSizeHint().width() - 1:
                found.append(f"legend: {legend.width()}")
        if plot.getViewBox().width() < 100:
            found.append(f"plot: {plot.getViewBox().width()}")
    return found


def test_plots_that_have_no_room_beside_each_other_are_shown_one_at_a_time(qtbot):
    """435 x 215 px is what a window of 1366 x 768 leaves; there "to beam (°" was cut."""
    from napari_phaset3m.gui.analyse.curves import Curve, CurvePlot
    from napari_phaset3m.gui.analyse.plot import CurveView

    k = np.linspace(0.01, 0.96, 40)
    names = ("corrected", "masked", "no mask", "random phases", "without priors", "half-bit")
    fsc = CurvePlot(
        curves=tuple(Curve(name, k, np.exp(-(i + 1) * k), i) for i, name in enumerate(names)),
        xlabel="frequency (1/Å)", ylabel="FSC", frequency=True, levels=((0.5, "0.5"), (0.143, "0.143")),
        marks=((0.9, "1.04 Å or better at 0.143"),), band=(k, 0.1 + 0 * k), y_range=(-0.15, 1.05),
        title="All",
    )  # fmt: skip
    points = Curve("measured", np.array([1.0, 45, 89]), np.array([0.2, 0.5, 0.9]), symbol="o")
    cones = CurvePlot(
        curves=(points, replace(points, name="missing wedge")), xlabel="angle to beam (°)",
        ylabel="Å at FSC 0.143", resolution_y=True, y_range=(0, 1.0), title="Cones",
    )  # fmt: skip
    view = CurveView()
    qtbot.addWidget(view)
    view.show_plots([fsc, replace(fsc, title="Wedge"), cones])
    view.resize(435, 215)
    view.show()
    qtbot.waitExposed(view)
    assert [view.tabs.tabText(i) for i in range(3)] == ["All", "Wedge", "Cones"] and view.tabs.isVisible()
    for chosen in range(3):
        view.tabs.setCurrentIndex(chosen)
        qtbot.wait(50)
        assert [widget.isVisible() for widget in view.widgets] == [i == chosen for i in range(3)]
        assert not cut_off(view)
    view.show_plots([fsc, replace(fsc, title="Wedge"), cones])
    assert view.tabs.currentIndex() == 2 and view.widgets[2].isVisible(), "computed again: the same one"
    view.resize(900, 215)
    qtbot.wait(50)
    assert not view.tabs.isVisible() and not cut_off(view)
    view.resize(435, 215)
    qtbot.wait(50)
    view.show_plots([replace(cones, title="")])
    assert not view.tabs.isVisible() and view.widgets[0].isVisible(), "one has all the room"
