"""What nobody should do in the middle of a run, with the real solver in real windows.

Nothing may crash, hang longer than two seconds, or leave a thread behind.
"""

from __future__ import annotations

import errno
import gc
import os
import shutil
import threading
import time

import numpy as np
import pytest

pytestmark = pytest.mark.gui
pytest.importorskip("napari")

from qtpy.QtCore import QEvent, Qt, QThreadPool  # noqa: E402
from qtpy.QtGui import QCloseEvent  # noqa: E402
from qtpy.QtWidgets import QApplication, QLabel  # noqa: E402

from napari_phaset3m.config import ReconstructionConfig  # noqa: E402
from napari_phaset3m.core.backend import cuda_problem  # noqa: E402
from napari_phaset3m.core.series import TiltFocalSeries  # noqa: E402
from napari_phaset3m.gui.layers.publisher import METADATA_KEY  # noqa: E402
from napari_phaset3m.gui.project import driver as project_driver  # noqa: E402
from napari_phaset3m.gui.project.driver import project_for  # noqa: E402
from napari_phaset3m.gui.runs.view import RunsView  # noqa: E402
from napari_phaset3m.gui.views import dock_of  # noqa: E402
from napari_phaset3m.gui.workspace import Workspace  # noqa: E402
from napari_phaset3m.io import atomic  # noqa: E402
from napari_phaset3m.project import ProjectStore  # noqa: E402
from napari_phaset3m.session import session_for  # noqa: E402

WAIT = 60_000  # the first run of a fresh checkout compiles
#: What counts as hanging, s; longer by the load where others work on the machine too.
HANG = 2.0 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def tiny_series(depth: float = 0.1) -> TiltFocalSeries:
    """A weak Gaussian blob seen at five tilts and two defoci, the same from everywhere."""
    y, x = np.indices((20, 20)) - 9.5
    blob = np.exp(-(x**2 + y**2) / 8)
    return TiltFocalSeries(
        images=np.stack([[1 - depth * blob, 1 - 2 * depth * blob]] * 5).astype(np.float32),
        tilt_deg=np.linspace(-40, 40, 5),
        pixel_size_angstrom=0.8,
        energy_ev=300e3,
        defocus_angstrom=np.array([300.0, 600.0]),
        spherical_aberration_angstrom=0.0,
        metadata={"name": "tiny"},
    )


class Window:
    """A viewer with a workspace and a series."""

    def __init__(self, make_napari_viewer, qtbot, **more) -> None:
        self._qtbot = qtbot
        self.viewer = make_napari_viewer()
        self.workspace = Workspace(self.viewer)
        self.viewer.window.add_dock_widget(self.workspace, name="Workspace (PhaseT3M)", area="right")
        self.session = session_for(self.viewer)
        self.session.device, self.session.series = "cpu", tiny_series(**more)
        self.workspace.show_step("Reconstruct")
        self.panel = self.workspace.panel("Reconstruct").panel

    def start(self, sweeps: int = 100_000) -> None:
        self.session.config = ReconstructionConfig(
            iterations=sweeps, holdout_fraction=0.0, tolerance=0.0, patience=sweeps, threads=1,
            constraints={"atomic_basis_sigma_angstrom": None},
        )  # fmt: skip
        self._qtbot.waitUntil(self.panel.start.isEnabled, timeout=WAIT)
        self.click(self.panel.start)
        assert self.session.active_run is not None

    def activate(self) -> None:
        """As a window manager does."""
        QApplication.sendEvent(self.viewer.window._qt_window, QEvent(QEvent.Type.WindowActivate))

    def until_running(self) -> None:
        seen = self.session
        self._qtbot.waitUntil(lambda: seen.progress is not None and seen.frame is not None, timeout=WAIT)

    def until_ended(self):
        self._qtbot.waitUntil(lambda: self.session.active_run is None, timeout=WAIT)
        return self.session.runs[-1] if self.session.runs else None

    def click(self, button) -> None:
        self._qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def goes_on(self) -> None:
        """The run makes headway within the time that counts as hanging."""
        sweep = self.session.progress.sweep
        self._qtbot.waitUntil(lambda: self.session.progress.sweep > sweep, timeout=round(1000 * HANG))

    def volumes(self) -> list:
        kept = self.viewer.layers
        return [la for la in kept if la.metadata.get(METADATA_KEY, {}).get("role") == "volume"]


@pytest.fixture
def window(make_napari_viewer, qtbot):
    made = Window(make_napari_viewer, qtbot)
    yield made
    if made.session.active_run is not None:
        made.session.attachments["driver"].stop()
    made.until_ended()


@pytest.fixture
def no_thread_left(qtbot):
    """All jobs are over at the end; threads of pools that stay are not counted."""
    before = set(threading.enumerate())
    yield
    gc.collect()
    pool = QThreadPool.globalInstance()
    qtbot.waitUntil(lambda: pool.activeThreadCount() == 0, timeout=round(1000 * HANG))
    # Qt's threads that have called Python are listed as dummies until Qt ends them.
    left = [t for t in threading.enumerate() if t not in before and not t.name.startswith("Dummy")]
    assert [t.name for t in left if not t.daemon] == []


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHASET3M_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(project_driver, "DELAY_MS", 50)
    # As on a small computer: two runs must not keep the saving of either waiting.
    pool = QThreadPool.globalInstance()
    before = pool.maxThreadCount()
    pool.setMaxThreadCount(2)
    yield
    pool.setMaxThreadCount(before)


def timed(action) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def test_closing_the_window_mid_run(no_thread_left, window):
    window.start()
    window.until_running()
    assert timed(window.viewer.close) < HANG
    assert timed(window.until_ended) < HANG
    assert window.session.runs[-1].status == "stopped"


def test_removing_layers_and_panels_mid_run(no_thread_left, window, qtbot):
    window.start()
    window.until_running()
    assert timed(window.viewer.layers.clear) < HANG
    window.goes_on()
    window.viewer.window.remove_dock_widget(window.workspace)
    window.workspace.deleteLater()
    qtbot.wait(50)
    window.goes_on()
    again = Workspace(window.viewer)
    window.viewer.window.add_dock_widget(again, name="Workspace (PhaseT3M)", area="right")
    assert again.step == "Reconstruct"
    window.click(again.panel("Reconstruct").panel.finish)
    assert timed(window.until_ended) < HANG
    record = window.session.runs[-1]
    assert record.status == "finished" and [la.data is record.volume for la in window.volumes()] == [True]


def test_changing_the_theme_mid_run(no_thread_left, window):
    window.start()
    window.until_running()
    for theme in ("light", "dark", "light"):
        assert timed(lambda name=theme: setattr(window.viewer, "theme", name)) < HANG
        window.goes_on()
    window.click(window.panel.finish)
    assert window.until_ended().status == "finished"


def test_live_views_survive_what_is_done_to_them(no_thread_left, own_cache, window, qtbot):
    """Slices and the tilt's images: layers deleted, theme changed, dock floated and closed, mid-run."""
    window.viewer.window._qt_window.show()
    qtbot.waitUntil(lambda: window.workspace._views is not None, timeout=WAIT)
    window.start()
    window.until_running()
    modes = window.panel.modes
    window.click(modes.buttons["Slices"])
    window.click(modes.tilt)
    window.goes_on()
    assert timed(window.viewer.layers.clear) < HANG
    window.click(modes.buttons["Surface"])
    window.viewer.theme = "light"
    dock = dock_of(window.workspace._views)
    for away in (True, False):
        dock.setFloating(away)
        qtbot.wait(100)
    dock.close()
    window.goes_on()
    window.workspace.show_views()
    window.click(modes.buttons["Projection"])
    window.goes_on()
    window.click(window.panel.finish)
    assert timed(window.until_ended) < HANG
    record = window.session.runs[-1]
    assert record.status == "finished" and [la.data is record.volume for la in window.volumes()] == [True]
    assert timed(window.viewer.close) < HANG
    qtbot.waitUntil(lambda: not [t for t in threading.enumerate() if "project" in t.name], timeout=WAIT)


@pytest.mark.parametrize("last", ["the first", "the other"])
def test_two_windows_run_at_once_and_do_not_mix(no_thread_left, window, make_napari_viewer, qtbot, last):
    other = Window(make_napari_viewer, qtbot, depth=0.02)
    # napari's own workers belong to the window that was activated last, whoever started them
    for each in (other, window) if last == "the first" else (window, other):
        each.activate()
    for each in (window, other):
        each.start()
        each.until_running()
    for each in (window, other):
        each.goes_on()
    assert timed(other.viewer.close) < HANG
    assert other.until_ended().status == "stopped"
    window.goes_on()
    window.click(window.panel.finish)
    record = window.until_ended()
    assert record.status == "finished" and len(window.session.runs) == len(other.session.runs) == 1
    assert [la.data is record.volume for la in window.volumes()] == [True]
    assert window.session.frame.run_id == record.run_id != other.session.runs[0].run_id


def test_napari_asks_about_the_runs_of_the_window_it_closes(window, make_napari_viewer, qtbot):
    other = Window(make_napari_viewer, qtbot)
    other.activate()
    window.start()
    window.until_running()
    asked = [each.viewer.window._task_status_manager.get_status() for each in (window, other)]
    assert asked == [["PhaseT3M: A reconstruction is going on"], []]
    window.click(window.panel.finish)
    window.until_ended()
    qtbot.waitUntil(lambda: not window.viewer.window._task_status_manager.is_busy(), timeout=WAIT)


class ByTheFrame(QCloseEvent):
    """A close event of the window manager's."""

    def spontaneous(self) -> bool:
        return True


def test_closing_by_the_frame_during_a_run_asks_once(window, qtbot, monkeypatch):
    """napari asked about its tasks, and then again whether to close a window that has layers."""
    from napari._qt.dialogs.confirm_close_dialog import ConfirmCloseDialog
    from napari.settings import get_settings

    asked, answers = [], [ConfirmCloseDialog.Rejected, ConfirmCloseDialog.Accepted]

    def answer(dialog):
        asked.append("\n".join(text.text() for text in dialog.findChildren(QLabel)))
        return answers.pop(0)

    monkeypatch.setattr(ConfirmCloseDialog, "exec_", answer)
    monkeypatch.setattr(get_settings().application, "confirm_close_window", True)
    main = window.viewer.window._qt_window
    main.show()
    qtbot.waitUntil(main.isVisible, timeout=WAIT)
    window.start()
    window.until_running()
    assert len(window.viewer.layers) > 0
    QApplication.sendEvent(main, ByTheFrame())
    assert len(asked) == 1 and "PhaseT3M: A reconstruction is going on" in asked[0]
    assert main.isVisible()
    window.goes_on()
    gone = []
    main.destroyed.connect(lambda *_: gone.append(True))
    QApplication.sendEvent(main, ByTheFrame())
    qtbot.waitUntil(lambda: bool(gone), timeout=WAIT)
    assert len(asked) == 2 and not answers
    assert window.until_ended().status == "stopped"
    window.viewer.window._teardown()
    del window.viewer.window._qt_window  # Qt has deleted it: the fixture cannot close it again


def test_two_projects_are_saved_each_with_its_own_run(
    no_thread_left, own_cache, window, make_napari_viewer, qtbot, tmp_path
):
    both = (window, Window(make_napari_viewer, qtbot, depth=0.02))
    projects = [project_for(each.session, each.viewer) for each in both]
    folders = [tmp_path / f"{name}.phaset3m" for name in ("one", "two")]
    for each, project, folder in zip(both, projects, folders, strict=True):
        project.watch_window(each.viewer.window._qt_window)  # as a workspace that is shown does
        each.start()
        each.until_running()
        project.save_as(folder)  # in the middle of a run
    for each, project in zip(both, projects, strict=True):
        qtbot.waitUntil(lambda one=project: not one.working and not one.dirty, timeout=WAIT)
        assert not project.read_only and not project.error
        each.goes_on()
    projects[1].open(folders[0])  # refused: its own run goes on, and the other window has it open
    assert projects[1].folder == folders[1] and both[1].session.active_run is not None
    records = []
    for each, project in zip(both, projects, strict=True):
        each.click(each.panel.finish)
        records.append(each.until_ended())
        qtbot.waitUntil(lambda one=project: not one.working and not one.dirty, timeout=WAIT)
        assert timed(each.viewer.close) < HANG
    for each, record, folder in zip(both, records, folders, strict=True):
        qtbot.waitUntil(lambda place=folder: not (place / "lock.json").exists(), timeout=WAIT)
        kept = ProjectStore(folder).load().runs
        assert [run.run_id for run in kept] == [record.run_id] and record.status == "finished"
        np.testing.assert_array_equal(kept[0].volume, record.volume)
        assert each.session.runs[0].run_id == record.run_id


@pytest.mark.skipif(cuda_problem() is None, reason="there is a GPU")
def test_no_gpu_is_one_line_and_the_cpu_still_works(no_thread_left, window, qtbot):
    window.session.device = "cuda"
    window.start(sweeps=1)
    assert timed(window.until_ended) < HANG
    told = window.panel.error.text()
    assert window.session.runs[-1].status == "failed" and told.startswith("Failed: ")
    assert "\n" not in told and "Traceback" not in told and ("GPU" in told or "CUDA" in told), told
    window.session.device = "cpu"
    window.start(sweeps=1)
    assert window.until_ended().status == "finished"


@pytest.mark.parametrize("trouble", ["gone", "full"])
def test_disk_that_goes_while_saving(no_thread_left, window, qtbot, tmp_path, monkeypatch, trouble):
    window.start(sweeps=1)
    record = window.until_ended()
    runs = RunsView(window.session)
    qtbot.addWidget(runs)
    said = []
    monkeypatch.setattr(runs, "say", said.append)
    folder = tmp_path / "disk"
    folder.mkdir()
    (folder / "old.mrc").write_bytes(b"as it was")
    real = atomic._sync_tree

    def fails(path):
        if trouble == "gone":
            shutil.rmtree(folder)
            real(path)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic, "_sync_tree", fails)
    assert timed(lambda: runs.save(record, folder / "old.mrc")) < HANG
    qtbot.waitUntil(lambda: len(said) > 1, timeout=round(1000 * HANG))
    assert said[-1].startswith("Not saved: ") and "old.mrc" in said[-1] and "\n" not in said[-1]
    assert ("No space left" if trouble == "full" else "No such file") in said[-1]
    if trouble == "full":
        assert [p.name for p in folder.iterdir()] == ["old.mrc"]
        assert (folder / "old.mrc").read_bytes() == b"as it was"


@pytest.mark.slow
def test_twenty_runs_in_a_row_keep_memory_flat(no_thread_left, window, capsys):
    import psutil

    me, used, threads = psutil.Process(), [], []
    for _ in range(25):
        window.start(sweeps=5)
        assert window.until_ended().status == "finished"
        window.session.remove_run(window.session.runs[-1].run_id)
        window.viewer.layers.clear()
        gc.collect()
        used.append(me.memory_info().rss / 1e6)
        threads.append(me.num_threads())
    with capsys.disabled():
        print(f"\nMB after each run: {[round(n) for n in used]}; threads {threads}")
    assert max(used[5:]) < 1.05 * used[4] and max(threads[5:]) <= threads[4] + 2
