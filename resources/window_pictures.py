"""Take the pictures of most panels in the docs from the real window, driven with the mouse.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python resources/window_pictures.py S.h5

The docs have them of ``../shared/data/co3o4/co3o4_dev.h5``.
Reconstructs the series with SIRT (Wiener correction) and PhaseT3M, makes a mask and uses it, computes halves
with their control and every topic, clicks a peak, and compares both. :data:`SHOWN` says which of the pictures
the docs have; ``--all FOLDER`` keeps every one.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_phaset3m.config import ReconstructionConfig

#: Picture -> size of the window in which the docs have it.
SHOWN = {
    "series": "1366x768", "reconstruct": "1366x768", "mask": "1366x768", "analyse": "1600x1000",
    "compare": "1366x768", "compare_peaks": "1366x768",
}  # fmt: skip
#: Parts that need both results.
LATER = ("mask", "analyse", "compare")
PARTS = ("series", "reconstruct", *LATER)


def until(done: Callable[[], Any], seconds: float = 900) -> None:
    """Run the event loop until something is the case."""
    app, end = QApplication.instance(), time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("the window did not get there in time")
        app.processEvents()
        time.sleep(0.002)


def rest(seconds: float = 1.0) -> None:
    """Let the event loop run."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, seconds + 60)


def click(button: Any) -> None:
    """Press a button with the mouse."""
    assert button.isEnabled(), f"{button.text()}: {button.toolTip()}"
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    rest(0.3)


class Photographer:
    """The window, and where its pictures go."""

    def __init__(self, series: Path, sizes: list[str], folder: Path, everything: Path | None) -> None:
        from napari_phaset3m.gui.launch import open_workspace
        from napari_phaset3m.gui.tour import note_tour_offered
        from napari_phaset3m.session import session_for

        note_tour_offered()
        self._sizes, self._folder, self._all = sizes, folder, everything
        self.viewer = open_workspace(series, config=ReconstructionConfig(iterations=20), run=False)
        self.session = session_for(self.viewer)
        self.window = self.viewer.window._qt_window
        self.workspace = next(w for w in self.viewer.window.dock_widgets.values() if hasattr(w, "guide"))
        until(lambda: self.session.series is not None)

    def step(self, name: str) -> Any:
        """Click a step in the guide; its panel."""
        from napari_phaset3m.gui.workspace import PANELS

        click(self.workspace.guide.buttons[[step for step, *_ in PANELS].index(name)])
        return self.workspace.panel(name)

    def shoot(self, name: str, *, home: bool = False, of: Any = None) -> None:
        """Save the window (or a dock) as it is on the screen, at each size; ``home`` frames it anew."""
        from napari._qt.dialogs.qt_notification import NapariQtNotification

        for size in self._sizes:
            width, height = (int(n) for n in size.split("x"))
            self.window.resize(width, height)
            self.window.move(0, 0)
            rest(0.5)
            self._list_all_layers()
            for told in self.window.findChildren(NapariQtNotification):
                told.close()
            if home:
                self.viewer.reset_view()
            rest(1.0)
            place = (0, 0, width, height) if of is None else of.geometry().getRect()
            picture = self.window.screen().grabWindow(0, *place)
            if SHOWN.get(name) == size:
                picture.save(str(self._folder / f"{name}.png"))
            if self._all is not None:
                picture.save(str(self._all / f"{name}_{size}.png"))

    def _list_all_layers(self) -> None:
        """Give the layer list the room that napari's controls leave: a taller layer's may have taken it."""
        docks = [getattr(self.viewer.window._qt_viewer, f"dockLayer{part}") for part in ("Controls", "List")]
        self.window.resizeDocks(docks, [100, self.window.height()], Qt.Orientation.Vertical)

    def series(self) -> None:
        """The step Series as it is after opening."""
        self.step("Series")
        self.shoot("series", home=True)

    def reconstruct(self, config: ReconstructionConfig, *, shoot: bool = False) -> None:
        """Press Start and wait for the end; photograph the run under way."""
        panel = self.step("Reconstruct").panel
        self.session.config = config
        rest(1.0)
        until(lambda: panel.start.isEnabled())
        count = len(self.session.runs)
        click(panel.start)
        if shoot:
            until(lambda: len(self.session.runs) > count and len(self.session.runs[-1].sweeps) >= 4)
            self.shoot("reconstruct")
        until(lambda: len(self.session.runs) > count and self.session.active_run is None)

    def mask(self) -> None:
        """Make the mask that is suggested, look at it in a slice, and use it for analysis."""
        panel = self.step("Mask")
        until(lambda: panel.ui.analyse.isEnabled())
        click(panel.ui.analyse)
        until(lambda: self.session.analysis_mask is not None)
        self.shoot("mask_3d", home=True)
        self.viewer.dims.ndisplay = 2
        self.shoot("mask", home=True)
        self.viewer.dims.ndisplay = 3
        self.viewer.reset_view()

    def analyse(self) -> None:
        """Halves with their control, every topic, and a click on a peak."""
        panel = self.step("Analyse")
        menu = panel.ui.choices.halves.menu()
        panel._refresh_menu()
        by_name = {action.text(): action for action in menu.actions()}
        by_name["With a control without priors"].setChecked(True)
        by_name["Compute odd and even tilts"].trigger()
        until(lambda: panel.job.progress is not None and panel.job.progress.half == 1)
        self.shoot("halves")
        until(lambda: not panel.job.busy and "fsc" in panel.work.outcomes and not panel.work.busy)
        click(panel.ui.all)
        until(lambda: not panel.work.busy)
        for key, row in panel.ui.rows.items():
            if row.done and key != "fsc":
                click(row.run)
                self.shoot(f"topic_{key}")
        click(panel.ui.rows["fourier"].run)
        self._click_peak()
        click(panel.ui.rows["fsc"].run)
        self.shoot("analyse", home=True)

    def _click_peak(self) -> None:
        from napari_phaset3m.gui.analyse.fourier3d import FourierPage

        table = next(iter(self.window.findChildren(FourierPage))).table
        rest(1.0)
        place = table.visualRect(table.model().index(3, 1)).center()
        QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        self.shoot("peak_clicked")

    def compare(self) -> None:
        """Both runs in the window Compare: every layout, slice and surface."""
        from napari_phaset3m.gui.compare.dock import open_compare
        from napari_phaset3m.gui.views import dock_of

        view = open_compare(self.viewer, [f"run:{record.run_id}" for record in self.session.runs])
        dock = dock_of(view)
        dock.resize(1100, 690)  # as on a screen of 768 px
        dock.move(40, 24)
        until(lambda: view.set.numbers)
        for layout in ("Difference", "Blink", "Side by side"):
            view.controls.layouts.setCurrentText(layout)
            self.shoot(f"compare_{layout.split()[0].lower()}", of=dock)
        view.controls.view.setCurrentText("Surface")
        self.shoot("compare", of=dock)
        self._compare_peaks(view, dock)

    def _compare_peaks(self, view: Any, dock: Any) -> None:
        """The list of peaks, one of them clicked, and a slice through it."""
        click(view.alignment.peaks)
        table = view.peaks.table
        until(lambda: table.model().rowCount() > 0)
        view.controls.view.setCurrentText("x–z slice")
        rest(1.0)
        place = table.visualRect(table.model().index(8, 1)).center()
        QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        self.shoot("compare_peaks", of=dock)


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("series", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images"))
    parser.add_argument("--sizes", nargs="+", default=["1366x768", "1600x1000"])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--all", type=Path, help="Folder for the pictures that are not in the docs")
    options = parser.parse_args()
    if options.all is not None:
        options.all.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")  # napari shows them on its canvas
    own = tempfile.mkdtemp()  # nothing of the user's own settings or projects is touched, or seen
    os.environ |= {"XDG_CONFIG_HOME": own, "NAPARI_CONFIG": f"{own}/napari.yaml", "PHASET3M_CACHE": own}
    camera = Photographer(options.series, options.sizes, options.output, options.all)
    if "series" in options.only:
        camera.series()
    later = [part for part in LATER if part in options.only]
    if later:
        camera.reconstruct(ReconstructionConfig(method="sirt", iterations=30, ctf_correction="wiener"))
    if later or "reconstruct" in options.only:
        camera.reconstruct(ReconstructionConfig(iterations=20), shoot="reconstruct" in options.only)
    for part in later:
        getattr(camera, part)()
    camera.viewer.close()


if __name__ == "__main__":
    main()
