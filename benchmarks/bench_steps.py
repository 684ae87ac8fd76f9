"""How long opening a step of the workspace holds the window.

With the sample loaded each step is clicked in turn, the page *Optimise* of step Microscope, and *Import…*.
A timer of 5 ms beats in the main thread. Between two beats the window answers nothing; the longest such
hold from the click until the step is at rest is what the user feels. Told are the main thread's processor
time of it, what of that was painting of the OpenGL canvases (with software OpenGL it depends on the
machine), and the sum of all holds over 20 ms. Everything is opened twice: made, and shown again.

Needs a display: ``xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/bench_steps.py``.
``--profile STEP`` prints where the first opening of one step spends its time.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import os
import pstats
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QApplication, QDialog

from bench_gui import LIMIT_MS, SERIES, Stopwatch, until
from common import machine, print_table, write

#: In the order in which they are clicked; Series is shown first by itself.
STEPS = ("Prepare", "Align", "Microscope", "Optimise", "Reconstruct", "Mask", "Analyse", "Series", "Import…")
#: A step is at rest when nothing held the window for so long, seconds.
REST = 1.0


class Beats:
    """Processor time of the main thread between the beats of a timer."""

    def __init__(self, paint: Stopwatch) -> None:
        from qtpy.QtCore import QTimer

        self._paint = paint
        self.all: list[tuple[float, float, float]] = []
        self.timer = QTimer()
        self.timer.timeout.connect(self.note)
        self.timer.start(5)

    def note(self) -> None:
        """Note the clock, the processor time and the painting so far."""
        self.all.append((time.monotonic(), time.thread_time(), self._paint.total[1]))

    def holds(self, since: int) -> list[tuple[float, float, float]]:
        """Clock, processor and painting time in ms of each time between two beats."""
        return [
            tuple(1000 * (b - a) for a, b in zip(*pair, strict=True)) for pair in pairwise(self.all[since:])
        ]  # type: ignore[misc]


def open_one(workspace: Any, step: str, beats: Beats) -> dict[str, Any]:
    """Click a step, wait until it is at rest; return its longest hold."""
    button, place = _target(workspace, step)
    gc.collect()
    beats.note()
    since = len(beats.all) - 1
    QTest.mouseClick(button, Qt.MouseButton.LeftButton, pos=place)
    begun = time.monotonic()
    until(lambda: time.monotonic() > begun + REST, 60)
    holds = beats.holds(since)
    for dialog in QApplication.topLevelWidgets():
        if isinstance(dialog, QDialog):
            dialog.close()
    return row_of(step, holds)


def row_of(step: str, holds: list[tuple[float, float, float]]) -> dict[str, Any]:
    """A row of the table: the longest hold by processor time, and all."""
    wall, busy, painting = max(holds, key=lambda hold: hold[1])
    return {
        "step": step,
        "longest_hold_processor_ms": round(busy, 1),
        "painting_of_it_ms": round(painting, 1),
        "by_the_clock_ms": round(wall, 1),
        "all_holds_processor_ms": round(sum(hold[1] for hold in holds if hold[1] > 20), 1),
    }


def _target(workspace: Any, step: str) -> tuple[Any, QPoint]:
    """What is clicked, and where in it."""
    if step == "Optimise":
        tabs = workspace.panel("Microscope").tabs
        return tabs, tabs.tabRect(1).center()
    if step == "Import…":
        panel = workspace.panel("Series")
        buttons = [b for b in panel.findChildren(QAbstractButton) if b.text() == step and b.isVisible()]
        return buttons[0], buttons[0].rect().center()
    button = next(b for b in workspace.guide.buttons if b.text().endswith(step))
    return button, button.rect().center()


def opened(own: Path) -> tuple[Any, Any, Beats]:
    """A window with the sample, everything imported that is imported in advance.

    It keeps its settings in the folder ``own``: nothing of the user's settings or projects is touched.
    """
    config = {"XDG_CONFIG_HOME": own, "NAPARI_CONFIG": own / "napari.yaml", "PHASET3M_CACHE": own}
    os.environ |= {name: str(path) for name, path in config.items()}
    paint = Stopwatch()
    import napari._vispy  # noqa: F401  (tells vispy which Qt this is)
    from vispy.app.backends import _qt

    backend = _qt.CanvasBackendDesktop
    backend.paintGL = paint.wrap(backend.paintGL, "painting an OpenGL canvas", nested=True)
    from napari_phaset3m.gui.launch import open_workspace
    from napari_phaset3m.gui.tour import note_tour_offered
    from napari_phaset3m.session import session_for

    note_tour_offered()
    viewer = open_workspace(SERIES, run=False)
    viewer.window._qt_window.setGeometry(0, 0, 1366, 768)
    session = session_for(viewer)
    until(lambda: session.series is not None, 60)
    workspace = session.attachments["workspace"]()
    begun = time.monotonic()
    until(lambda: time.monotonic() > begun + 12, 90)
    begun = time.monotonic()
    until(lambda: time.monotonic() > begun + 2, 60)
    paint.recording = True
    return viewer, workspace, Beats(paint)


def visit_all(workspace: Any, beats: Beats, profiled: str | None) -> list[dict[str, Any]]:
    """Open everything twice; print where the first opening of one spends its time."""
    rows = []
    for visit in ("made", "shown again"):
        for step in STEPS:
            profile = cProfile.Profile(time.thread_time)
            if (step, visit) == (profiled, "made"):
                profile.enable()
            rows.append({"visit": visit, **open_one(workspace, step, beats)})
            profile.disable()
            if (step, visit) == (profiled, "made"):
                pstats.Stats(profile).sort_stats("cumulative").print_stats(70)
    return rows


def main() -> int:
    """Open, print, write the result; 1 when something holds the window for longer than the limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", choices=STEPS)
    options = parser.parse_args()
    about, own = machine(), Path(tempfile.mkdtemp())
    viewer, workspace, beats = opened(own)
    rows = visit_all(workspace, beats, options.profile)
    viewer.close()
    worst = max(row["longest_hold_processor_ms"] for row in rows)
    print_table([tuple(rows[0]), *(tuple(str(cell) for cell in row.values()) for row in rows)])
    if not options.profile:
        facts = {"machine": about, "limit_ms": LIMIT_MS, "within_limit": worst <= LIMIT_MS, "steps": rows}
        print(f"load {about['load_before']:.1f}", f"-> {write('steps', facts)}", sep="\n")
    return 0 if worst <= LIMIT_MS else 1


if __name__ == "__main__":
    raise SystemExit(main())
