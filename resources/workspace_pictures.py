"""Pictures of docs/workspace.md, taken of the real window on a display (or under Xvfb).

xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python resources/workspace_pictures.py docs/images
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

SIZE = (1600, 1000)


def main() -> None:
    take_pictures(__doc__, _take)


def take_pictures(what: str | None, take: Callable[[Path, Path], None]) -> None:
    """Command line of a script that takes pictures: ``take(output, folder of its own settings)``."""
    given = argparse.ArgumentParser(description=what)
    given.add_argument("output", type=Path)
    output = given.parse_args().output
    own = tempfile.mkdtemp()  # nothing of the user's own settings or projects is touched
    os.environ |= {"XDG_CONFIG_HOME": own, "NAPARI_CONFIG": f"{own}/napari.yaml", "PHASET3M_CACHE": own}
    take(output, Path(own))


def _wait(until: Callable[[], bool], seconds: int = 600) -> None:
    from qtpy.QtTest import QTest

    for _ in range(20 * seconds):
        if until():
            return
        QTest.qWait(50)
    raise SystemExit("timed out")


def _take(output: Path, own: Path) -> None:
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    from napari_phaset3m.gui.launch import open_workspace
    from napari_phaset3m.gui.tour import note_tour_offered
    from napari_phaset3m.presets import preset_config
    from napari_phaset3m.sample import sample_path
    from napari_phaset3m.session import session_for

    note_tour_offered()
    viewer = open_workspace(sample_path(), run=False, config=preset_config("quick"))
    window, session = viewer.window._qt_window, session_for(viewer)
    window.setGeometry(0, 0, *SIZE)
    _wait(lambda: session.series is not None)
    session.device = "cpu"
    workspace = session.attachments["workspace"]()
    _run(session, workspace, preset_config("quick"))
    _run(session, workspace, preset_config("nanoparticle"))
    _measure(session, viewer, workspace)
    workspace.project.save_as(own / "Co3O4.phaset3m")
    _wait(lambda: workspace.project.folder is not None and not workspace.project.working)
    viewer.layers["SIRT · co3o4_sample"].visible = False
    workspace.show_step("Reconstruct")
    tabs = workspace._views.tabs
    tabs.setCurrentIndex([tabs.tabText(i) for i in range(tabs.count())].index("Runs"))
    for note in window.findChildren(_notification()):
        note.close()
    QTest.qWait(1500)
    _grab(output / "workspace.png")
    views = workspace._views
    corner = views.mapToGlobal(views.rect().topLeft())
    _grab(output / "runs.png", (corner.x(), corner.y(), views.width(), views.height()))
    bar = workspace.bar
    bar.menu.popup(bar.button.mapToGlobal(bar.button.rect().bottomLeft()))
    QTest.qWait(500)
    corner = workspace.mapToGlobal(workspace.rect().topLeft())
    _grab(output / "projects.png", (corner.x(), corner.y(), workspace.width(), 420))
    bar.menu.hide()
    viewer.close()
    QApplication.processEvents()


def _run(session, workspace, config) -> None:
    from napari_phaset3m.gui.reconstruct.driver import driver_for

    session.config = config
    driver = driver_for(session, workspace._viewer)
    driver.start()
    _wait(lambda: not driver.busy)


def _measure(session, viewer, workspace) -> None:
    """Halves of tilts of the newest run, and their correlation."""
    from napari_phaset3m.gui.analyse.halves import halves_job_of
    from napari_phaset3m.gui.analyse.work import work_of
    from napari_phaset3m.gui.mask.sources import sources

    work = work_of(session, viewer)
    work.choose(source=sources(session, viewer)[0])
    halves_job_of(session, work).start("tilts")
    _wait(lambda: session.runs[-1].resolution is not None)


def _notification() -> type:
    from napari._qt.dialogs.qt_notification import NapariQtNotification

    return NapariQtNotification


def _grab(path: Path, part: tuple[int, int, int, int] | None = None) -> None:
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    QTest.qWait(300)
    screen = QApplication.primaryScreen()
    picture = screen.grabWindow(0) if part is None else screen.grabWindow(0, *part)
    picture.save(str(path))
    print(path)


if __name__ == "__main__":
    main()
