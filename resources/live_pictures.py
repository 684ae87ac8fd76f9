"""Pictures of the live view for docs/gui.md, taken of the real window during a real run, on a display.

xvfb-run -a -s "-screen 0 1366x768x24 +extension GLX" python resources/live_pictures.py docs/images
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from workspace_pictures import _grab, _notification, _wait, take_pictures

SIZE = (1366, 768)


def main() -> None:
    take_pictures(__doc__, _take)


def _take(output: Path, _own: Path) -> None:
    from qtpy.QtTest import QTest

    from napari_phaset3m.config import ReconstructionConfig
    from napari_phaset3m.gui.launch import open_workspace
    from napari_phaset3m.gui.reconstruct.driver import driver_for
    from napari_phaset3m.gui.tour import note_tour_offered
    from napari_phaset3m.sample import sample_path
    from napari_phaset3m.session import session_for

    note_tour_offered()
    viewer = open_workspace(sample_path(), run=False, config=ReconstructionConfig(iterations=900))
    window, session = viewer.window._qt_window, session_for(viewer)
    window.setGeometry(0, 0, *SIZE)
    _wait(lambda: session.series is not None)
    session.device = "cpu"
    workspace = session.attachments["workspace"]()
    workspace.show_step("Reconstruct")
    modes = workspace.panel("Reconstruct").panel.modes
    driver = driver_for(session, viewer)
    driver.start()
    _wait(lambda: session.frame is not None and session.frame.sweep > 40)
    for note in window.findChildren(_notification()):
        note.close()
    modes.buttons["Slices"].click()
    QTest.qWait(8000)
    _grab(output / "live_slices.png")
    modes.buttons["Surface"].click()
    modes.tilt.click()
    QTest.qWait(8000)
    _grab(output / "live_tilt.png")
    driver.stop()
    _wait(lambda: not driver.busy)
    viewer.close()


if __name__ == "__main__":
    main()
