"""Take the pictures of docs/tutorial_prepare.md, and of gold beads, from the real window.

    xvfb-run -a -s "-screen 0 1366x768x24 +extension GLX" python resources/tutorial_pictures.py

The raw files are made of ``../shared/data/co3o4`` in a temporary folder: a plain MRC stack with a ``.rawtlt``
of co3o4_perturbed_dev_dose200, and movies of co3o4_carbon_dev with a drift of 5.8 px injected. The beads
(docs/alignment.md) are those of tests/prepare/align/test_beads.py.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from qtpy.QtTest import QTest

from window_pictures import click, rest, until

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "co3o4"
SIZE = (1366, 768)
PARTS = ("series", "prepare", "align", "microscope", "motion", "beads")
MOVIE_TILTS = (30, 33, 36)


def write_stack(folder: Path) -> Path:
    """Write a focal tilt series as a plain stack: foci of a tilt in a row, angles beside it."""
    from napari_phaset3m import load_series

    series = load_series(DATA / "co3o4_perturbed_dev_dose200.h5")
    path = folder / "ts_01.mrc"
    with mrcfile.new(path) as file:
        file.set_data(series.images.reshape(-1, *series.image_shape).astype(np.float32))
        file.voxel_size = series.pixel_size_angstrom
    angles = np.repeat(series.tilt_deg, series.n_focus)
    path.with_suffix(".rawtlt").write_text("".join(f"{angle:.2f}\n" for angle in angles), encoding="utf-8")
    return path


def drifting(folder: Path) -> Any:
    """Three movies of 20 frames with 2 e/px, and their plain sums as a series."""
    from scipy.ndimage import shift, zoom

    from napari_phaset3m import TiltFocalSeries, load_series

    series = load_series(DATA / "co3o4_carbon_dev.h5")
    rng, time = np.random.default_rng(5), np.linspace(0, 1, 20)
    track = np.stack((3 * time**0.6, -5 * time**0.7), 1)
    sums, movies = [], []
    for number, tilt in enumerate(MOVIE_TILTS):
        still = np.clip(zoom(series.images[tilt, 0], 3, order=1), 0, None)
        moved = (shift(still, step * (1 + 0.3 * number), order=1, mode="wrap") for step in track)
        frames = np.array([rng.poisson(2 * frame) for frame in moved], np.int16)
        path = folder / f"movie_{number}.mrc"
        with mrcfile.new(path) as file:
            file.set_data(frames)
            file.voxel_size = series.pixel_size_angstrom / 3
        sums.append(frames.sum(0))
        movies.append([{"path": str(path)}])
    return TiltFocalSeries(
        images=np.array(sums, np.float32)[:, None] / 40, tilt_deg=series.tilt_deg[list(MOVIE_TILTS)],
        pixel_size_angstrom=series.pixel_size_angstrom / 3, energy_ev=3e5, defocus_angstrom=[1100.0],
        spherical_aberration_angstrom=2.3e7, metadata={"name": "movies", "movies": movies},
    )  # fmt: skip


def beads() -> Any:
    """31 images with 12 beads, displaced by 4 px, about an axis at 1.7°."""
    from napari_phaset3m import TiltFocalSeries

    sys.path.insert(0, str(ROOT / "tests" / "prepare" / "align"))
    import test_beads as simulated

    images = simulated.images(simulated.project(*simulated.truth(n_bead=12)))
    return TiltFocalSeries(
        images=images[:, None], tilt_deg=simulated.TILTS, pixel_size_angstrom=10.0, energy_ev=3e5,
        metadata={"name": "beads"},
    )  # fmt: skip


class Tutorial:
    """The window on its way through the tutorial."""

    def __init__(self, output: Path, folder: Path) -> None:
        from napari_phaset3m.gui.launch import open_workspace
        from napari_phaset3m.gui.tour import note_tour_offered
        from napari_phaset3m.session import session_for

        note_tour_offered()
        self._output, self._folder = output, folder
        self.viewer = open_workspace(run=False)
        self.session = session_for(self.viewer)
        self.window = self.viewer.window._qt_window
        self.window.setGeometry(0, 0, *SIZE)
        self.workspace = self.session.attachments["workspace"]()
        rest(2)

    def step(self, name: str) -> Any:
        """Click a step in the guide; its panel."""
        from napari_phaset3m.gui.workspace import PANELS

        click(self.workspace.guide.buttons[[step for step, *_ in PANELS].index(name)])
        rest(1)
        return self.workspace.panel(name)

    def shoot(self, name: str) -> None:
        """Keep the window as it is on the screen."""
        from napari._qt.dialogs.qt_notification import NapariQtNotification

        for told in self.window.findChildren(NapariQtNotification):
            told.close()
        self.viewer.reset_view()
        rest(1.5)
        assert self.window.screen().grabWindow(0, 0, 0, *SIZE).save(str(self._output / f"{name}.png"))

    def series(self) -> None:
        """Import the stack, then type what its files do not state."""
        from napari_phaset3m.gui.importing.dialog import open_import

        dialog = open_import(self.viewer, [write_stack(self._folder)])
        until(lambda: not dialog.work.looking)
        rest(1)
        _type(dialog.whole.rows["energy_ev"].edit, "300")
        _type(dialog.whole.rows["spherical_aberration_angstrom"].edit, "2.3")
        click(dialog.size_box.crop)
        rest(1)
        place = (dialog.geometry().x(), dialog.geometry().y(), dialog.width(), dialog.height())
        dialog.screen().grabWindow(0, *place).save(str(self._output / "import.png"))
        click(dialog.size_box.crop)
        while dialog.questions.buttons:
            click(dialog.questions.buttons[0])
        dialog.work.target = self._folder / "out.toml"
        rest(0.3)
        click(dialog.go)
        until(lambda: self.session.series is not None and not dialog.work.busy)
        form = self.workspace.panel("Series").form
        _type(form.rows["defocus_angstrom"].edit, "90 / 170 / 270")
        _type(form.rows["dose_per_image"].edit, "200")
        self.workspace.panel("Series").tabs.setCurrentIndex(1)
        self.shoot("tutorial_series")

    def prepare(self) -> None:
        """Spikes and normalisation, then a look at denoising."""
        panel = self.step("Prepare")
        for name in ("outliers", "normalise"):
            click(panel.rows[name].tick)
        click(panel.run)
        until(lambda: not panel.driver.busy)
        click(panel.rows["denoise"].heading)
        rest(6)
        self.shoot("prepare")
        click(panel.rows["denoise"].heading)

    def align(self) -> None:
        """Align with the defaults, accept, and compare with a re-projection."""
        panel = self.step("Align")
        rest(1)
        self.shoot("align_before")
        click(panel.run)
        until(lambda: not panel.work.driver.busy)
        self.shoot("align_after")
        print("align:", panel.bar.note.text())
        click(panel.ends.accept)
        panel.check.model.setCurrentIndex(1)
        click(panel.check.predict)
        until(lambda: not panel.work.driver.busy)
        panel.view().page.setCurrentIndex(2)
        self.shoot("align_reproject")

    def microscope(self) -> None:
        """Fit the defocus of the particle on carbon."""
        from napari_phaset3m.gui.series.loader import loader_for

        loader_for(self.session).load(DATA / "co3o4_carbon_dev.h5")
        until(lambda: self.session.series is not None and self.session.series.n_tilt == 66)
        panel = self.step("Microscope")
        rest(1)
        click(panel.fit)
        until(lambda: not panel.work.driver.busy)
        if panel.next.isEnabled():
            click(panel.next)
        self.shoot("microscope")

    def motion(self) -> None:
        """Correct the movies."""
        self.session.series = drifting(self._folder)
        self.session.shown_image = (1, 0)
        panel = self.step("Prepare")
        click(panel.rows["motion"].tick)
        click(panel.run)
        until(lambda: not panel.driver.busy)
        print("motion:", panel.bar.note.text())
        self.shoot("motion")

    def beads(self) -> None:
        """Align images with twelve gold beads by these alone."""
        self.session.series = beads()
        panel = self.step("Align")
        rest(1)
        panel.stages.auto.click()
        ticks = panel.stages.ticks
        for name in ("beads", *(other for other in ticks if other != "beads")):
            if ticks[name].isChecked() != (name == "beads"):
                ticks[name].click()
        click(panel.run)
        until(lambda: not panel.work.driver.busy)
        print("beads:", panel.bar.note.text())
        self.shoot("align_beads")


def _type(edit: Any, text: str) -> None:
    edit.setFocus()
    edit.selectAll()
    QTest.keyClicks(edit, text)
    edit.editingFinished.emit()
    rest(0.3)


def main() -> None:
    """Take them all, or some (``series`` is where ``prepare`` and ``align`` begin)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    warnings.filterwarnings("ignore")  # napari shows them on its canvas
    own = tempfile.mkdtemp()  # nothing of the user's own settings or projects is touched, or seen
    os.environ |= {"XDG_CONFIG_HOME": own, "NAPARI_CONFIG": f"{own}/napari.yaml", "PHASET3M_CACHE": own}
    tutorial = Tutorial(options.output, Path(own))
    for part in options.only:
        if (
            part in ("motion", "beads") and len(options.only) > 1
        ):  # a series of its own, in a window of its own
            tutorial.viewer.close()
            tutorial = Tutorial(options.output, Path(own))
        getattr(tutorial, part)()
    tutorial.viewer.close()


if __name__ == "__main__":
    main()
