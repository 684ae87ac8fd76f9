"""Picture of docs/optimise_gui.md: Cs searched in two rounds, and everything refined, in the real window.

xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python resources/optimise_picture.py docs/images
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from workspace_pictures import SIZE, _grab, _notification, _wait, take_pictures

SERIES = Path(__file__).resolve().parents[2] / "shared" / "data" / "co3o4" / "co3o4_perturbed_dev.h5"


def main() -> None:
    take_pictures(__doc__, _take)


def _take(output: Path, _own: Path) -> None:
    from qtpy.QtTest import QTest

    from napari_phaset3m.gui.launch import open_workspace
    from napari_phaset3m.gui.tour import note_tour_offered
    from napari_phaset3m.session import session_for

    note_tour_offered()
    viewer = open_workspace(SERIES, run=False)
    window, session = viewer.window._qt_window, session_for(viewer)
    window.setGeometry(0, 0, *SIZE)
    _wait(lambda: session.series is not None)
    session.device = "cpu"
    workspace = session.attachments["workspace"]()
    workspace.show_step("Microscope")
    step = workspace.panel("Microscope")
    step.tabs.setCurrentIndex(1)
    panel: Any = step.optimise
    _wait(panel.start.isEnabled)
    panel.start.click()
    _wait(lambda: panel.work.driver.busy)
    _wait(lambda: not panel.work.driver.busy, 3600)
    view = panel.view()
    for note in window.findChildren(_notification()):
        note.close()
    view.which.setCurrentIndex(view.which.count() - 1)
    QTest.qWait(2000)
    print(panel.bar.note.text())
    _grab(output / "optimise.png")
    viewer.close()


if __name__ == "__main__":
    main()
