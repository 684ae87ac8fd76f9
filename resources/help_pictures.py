"""Draw docs/images/watch.png and tour.png from the real window: tilts dropped one by one, and the tour.

usage: xvfb-run -s "-screen 0 1500x900x24" python resources/help_pictures.py [-o docs/images]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_phaset3m import load_series
from napari_phaset3m.sample import sample_path

ROOT = Path(__file__).resolve().parents[1]


def pump(seconds: float) -> None:
    """Let the window live for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def drop(folder: Path) -> None:
    """Write 30 tilts as a microscope does, one that is cut off, and one of a blank screen."""
    series = load_series(sample_path("hiv"))
    for number, tilt in enumerate(np.argsort(np.abs(series.tilt_deg), kind="stable")[:30]):
        path = folder / f"TS_07_{number:03d}_{series.tilt_deg[tilt]:+.1f}.mrc"
        with mrcfile.new(path) as file:
            file.set_data(series.images[tilt, 0])
            file.voxel_size = series.pixel_size_angstrom
        pump(0.1)
    (folder / "TS_07_031_+48.0.mrc").write_bytes(path.read_bytes()[:50_000])
    with mrcfile.new(folder / "TS_07_030_-48.0.mrc") as file:
        file.set_data(np.ones(series.image_shape, np.float32))
        file.voxel_size = series.pixel_size_angstrom


def main() -> None:
    """Draw both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "images")
    output = parser.parse_args().output
    own = tempfile.mkdtemp()  # nothing of the user's own settings or projects is touched, or seen
    os.environ |= {"XDG_CONFIG_HOME": own, "NAPARI_CONFIG": f"{own}/napari.yaml", "PHASET3M_CACHE": own}
    _take(output)


def _take(output: Path) -> None:
    from napari.settings import get_settings

    from napari_phaset3m.gui.launch import open_workspace
    from napari_phaset3m.gui.tour import note_tour_offered, tour_command, tour_of
    from napari_phaset3m.session import session_for

    get_settings().application.gui_notification_level = "error"
    note_tour_offered()
    viewer = open_workspace(run=False)
    viewer.window.resize(1500, 900)
    pump(3)
    _watch(viewer, output)
    viewer.layers.clear()
    viewer.dims.ndisplay = 2
    tour_command(viewer)
    tour = tour_of(session_for(viewer))
    pump(1)
    tour.do.click()
    while session_for(viewer).series is None:
        pump(0.1)
    pump(3)
    QApplication.primaryScreen().grabWindow(0).save(str(output / "tour.png"))
    viewer.close()


def _watch(viewer: Any, output: Path) -> None:
    """A folder that is watched while files drop into it."""
    from napari_phaset3m.gui.watch.dialog import open_watch

    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "TS_07"
        folder.mkdir()
        dialog = open_watch(viewer, folder)
        dialog.resize(540, 560)  # wide enough for what is said of each file
        dialog.move(0, 120)
        dialog.fields["energy_ev"].setText("300")
        dialog.work.set_config(interval_seconds=0.3, settle_seconds=0.5)
        dialog.go.click()
        drop(folder)
        while dialog.work.quick is None or dialog.work.quick.n_tilt < 30:
            pump(0.2)
        dialog.table.scrollToBottom()
        pump(2)
        QApplication.primaryScreen().grabWindow(0).save(str(output / "watch.png"))
        dialog.work.stop()
        dialog.close()
        pump(1)


if __name__ == "__main__":
    main()
