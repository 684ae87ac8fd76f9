"""Pictures of the windows Figure, Film and System for the docs, taken on a display (or under Xvfb).

xvfb-run -a -s "-screen 0 1366x768x24 +extension GLX" python resources/paper_pictures.py docs/images
"""

from __future__ import annotations

from pathlib import Path

from workspace_pictures import _grab, _measure, _notification, _run, _wait, take_pictures

SIZE = (1366, 768)


def main() -> None:
    take_pictures(__doc__, _take)


def _take(output: Path, _own: Path) -> None:
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    from napari_phaset3m.gui.launch import open_workspace
    from napari_phaset3m.gui.system_dialog import show_system
    from napari_phaset3m.gui.tour import note_tour_offered
    from napari_phaset3m.presets import preset_config
    from napari_phaset3m.sample import sample_path
    from napari_phaset3m.session import session_for

    config = preset_config("quick")
    note_tour_offered()
    viewer = open_workspace(sample_path(), run=False, config=config)
    window, session = viewer.window._qt_window, session_for(viewer)
    window.setGeometry(0, 0, *SIZE)
    _wait(lambda: session.series is not None)
    session.device = "cpu"
    workspace = session.attachments["workspace"]()
    # slow enough for a picture of most sweeps
    _run(session, workspace, preset_config("nanoparticle"))
    _measure(session, viewer, workspace)
    workspace.show_step("Reconstruct")
    tabs = workspace._views.tabs
    tabs.setCurrentIndex([tabs.tabText(i) for i in range(tabs.count())].index("Runs"))
    for note in window.findChildren(_notification()):
        note.close()
    runs = tabs.currentWidget()
    QTest.qWait(800)
    runs.figure_button.click()
    _shown(session, "figure", output / "figure_window.png")
    runs.film_button.click()
    dialog = session.attachments["film dialog"]()
    dialog.kind.setCurrentIndex(dialog.kind.findData("sweeps"))
    _shown(session, "film", output / "film_window.png")
    system = show_system(viewer)
    _wait(system.copy.isEnabled)
    _of(system, output / "system.png")
    viewer.close()
    QApplication.processEvents()


def _shown(session, name: str, path: Path) -> None:
    from qtpy.QtTest import QTest

    dialog = session.attachments[f"{name} dialog"]()
    drawn: list[object] = []
    dialog.work.previewed.connect(drawn.append)
    _wait(lambda: bool(drawn))
    QTest.qWait(300)
    _of(dialog, path)
    dialog.close()


def _of(dialog, path: Path) -> None:
    corner = dialog.mapToGlobal(dialog.rect().topLeft())
    _grab(path, (corner.x(), corner.y(), dialog.width(), dialog.height()))


if __name__ == "__main__":
    main()
