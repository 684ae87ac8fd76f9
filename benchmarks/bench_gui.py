"""Longest time that the plugin holds napari's main thread during a real run.

Every slot, timer and event handler of ``napari_phaset3m.gui`` that Qt, psygnal or
napari calls in the main thread is timed, outermost calls only, with everything that
napari does inside it. The limit is for the time while the run is under way, from the
start of its worker to its end; what pressing Start costs before is given apart, and so
is painting of the two OpenGL canvases, which with software OpenGL depends on the machine.

The user also feels what no slot of ours is: a timer of 10 ms beats in the main thread, and
the longest pauses between two beats are told with what the threads did meanwhile. A thread
of its own samples their stacks every 5 ms for this. Processor times within a pause tell
computing from waiting: where the main thread had little and the process much, another thread
held the interpreter's lock or the cores; where both had little, the machine was busy.
With ``--edge 256`` the sample's images are repeated to fill so many pixels, and the live views are gone
through while the run lasts: transform, surface, slices with their cross-hair dragged, current tilt.

Needs a display: ``xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python
benchmarks/bench_gui.py``.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import inspect
import os
import pkgutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from common import RESULTS, machine, print_table, write
from gui_pauses import Beat, Sampler, beat, pauses

LIMIT_MS = 100.0
SERIES = Path(__file__).parents[1] / "src" / "napari_phaset3m" / "data" / "co3o4_sample.h5"


class Stopwatch:
    """Wall and processor time of outermost calls in the main thread, by name."""

    def __init__(self, apart: Stopwatch | None = None) -> None:
        self.apart, self.total = apart, (0.0, 0.0)
        self.calls: dict[tuple[str, str], list[tuple[float, float]]] = {}
        self.recording = False
        #: What is going on; calls are kept apart by it.
        self.phase = ""
        self._depth = 0
        self._main = threading.main_thread().ident

    def wrap(self, function: Callable[..., Any], name: str, *, nested: bool = False) -> Callable[..., Any]:
        """Return the function with its outermost calls (any call when ``nested``) timed."""
        code = function.__code__
        takes = None if code.co_flags & inspect.CO_VARARGS else code.co_argcount

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            args = args[:takes]  # signals offer more than a slot takes
            mine = threading.get_ident() == self._main
            if not mine or not self.recording or (self._depth and not nested):
                return function(*args, **kwargs)
            self._depth += 1
            entry = (self.phase, name)
            begun, busy, before = time.perf_counter(), time.thread_time(), self._apart()
            try:
                return function(*args, **kwargs)
            finally:
                self._depth -= 1
                after = self._apart()
                took = (
                    time.perf_counter() - begun - (after[0] - before[0]),
                    time.thread_time() - busy - (after[1] - before[1]),
                )
                if not self._depth:
                    self.total = (self.total[0] + took[0], self.total[1] + took[1])
                self.calls.setdefault(entry, []).append(took)

        return timed

    def _apart(self) -> tuple[float, float]:
        return (0.0, 0.0) if self.apart is None else self.apart.total

    def worst(self, phase: str) -> list[dict[str, Any]]:
        """Return longest call, most processor time of a call, and count of each name; longest first."""
        rows = []
        for (when, name), calls in self.calls.items():
            if when != phase:
                continue
            wall, busy = (max(column) for column in zip(*calls, strict=True))
            rows.append(
                {
                    "slot": name,
                    "longest_ms": round(1000 * wall, 2),
                    "processor_ms": round(1000 * busy, 2),
                    "calls": len(calls),
                }
            )
        return sorted(rows, key=lambda row: -row["longest_ms"])


def instrument(slots: Stopwatch, paint: Stopwatch) -> None:
    """Time all methods and functions of the gui package, and the painting of canvases."""
    import napari_phaset3m.gui as package

    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for owner in [v for v in vars(module).values() if isinstance(v, type)]:
            if owner.__module__ != module.__name__:
                continue
            for name, member in list(vars(owner).items()):
                if inspect.isfunction(member) and name[:2] != "__":
                    setattr(owner, name, slots.wrap(member, f"{info.name}.{owner.__name__}.{name}"))
    import napari._vispy  # noqa: F401  (tells vispy which Qt this is)
    from vispy.app.backends import _qt

    backend = _qt.CanvasBackendDesktop
    backend.paintGL = paint.wrap(backend.paintGL, "painting an OpenGL canvas", nested=True)


def until(done: Callable[[], bool], seconds: float) -> None:
    """Run the event loop until something is the case."""
    from qtpy.QtWidgets import QApplication

    app, end = QApplication.instance(), time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("the window did not get there in time")
        app.processEvents()
        time.sleep(0.001)


def ready_panel(viewer: Any, session: Any) -> Any:
    """Wait for the series, go to the step Reconstruct, and return its panel ready to start."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    until(lambda: session.series is not None, 60)
    workspace = next(w for w in viewer.window.dock_widgets.values() if hasattr(w, "guide"))
    QTest.mouseClick(workspace.guide.buttons[4], Qt.MouseButton.LeftButton)
    panel = workspace.panel("Reconstruct").panel
    until(lambda: panel.start.isEnabled() and "voxels" in panel.forecast.text(), 60)
    return panel


def enlarge(session: Any, edge: int) -> None:
    """Repeat the images until they are `edge` pixels wide."""
    images = session.series.images
    side = [(0, max(0, edge - n)) for n in images.shape[-2:]]
    session.series = session.series.replace(images=np.pad(images, [(0, 0), (0, 0), *side], mode="wrap"))


def look_around(viewer: Any, panel: Any, seconds: float) -> None:
    """Go through the live views by mouse, each for a while."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    def click(button: Any) -> None:
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        stay(seconds)

    def stay(for_seconds: float) -> None:
        end = time.monotonic() + for_seconds
        until(lambda: time.monotonic() > end, for_seconds + 60)

    session = panel._session
    until(lambda: session.frame is not None, 300)
    stay(seconds)
    buttons = panel.modes.buttons
    click(buttons["Surface"])
    click(buttons["Slices"])
    slices = session.attachments["view Slices"]()
    for place in np.linspace(-20, 20, 40):
        slices.pictures._move({0: place / 2, 2: place})
        stay(0.1)
    click(panel.modes.tilt)
    stay(2 * seconds)
    click(buttons["Projection"])


def drive(sweeps: int, edge: int, slots: Stopwatch, paint: Stopwatch) -> dict[str, Any]:
    """Open the workspace, run the sample, and return the facts of the run."""
    from qtpy.QtCore import Qt, QTimer
    from qtpy.QtTest import QTest

    from napari_phaset3m import ReconstructionConfig
    from napari_phaset3m.gui.launch import open_workspace
    from napari_phaset3m.session import session_for

    viewer = open_workspace(SERIES, config=ReconstructionConfig(iterations=sweeps), run=False)
    session = session_for(viewer)
    until(lambda: session.series is not None, 60)
    if edge:
        enlarge(session, edge)

    panel = ready_panel(viewer, session)
    pressed = time.monotonic()
    frames: list[tuple[float, int, int]] = []
    session.events.frame.connect(
        lambda frame: frames.append(
            (time.monotonic(), frame.sweep, session.progress.sweep if session.progress else 0)
        )
    )
    beats: list[Beat] = []
    sampler, heart = Sampler(), QTimer()
    heart.timeout.connect(lambda: beats.append(beat(slots.phase)))
    heart.start(10)
    sampler.start()
    slots.recording = paint.recording = True
    slots.phase = paint.phase = "start"
    QTest.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    until(lambda: panel._driver._worker is not None, 60)
    slots.phase = paint.phase = "run"
    if edge:
        look_around(viewer, panel, 10.0)
        panel._driver.finish()
    until(lambda: session.active_run is None, 600)
    slots.recording = paint.recording = False
    heart.stop()
    sampler.end()
    viewer.close()
    return summary(session.runs[-1], frames, pressed) | {"longest_pauses": pauses(beats, sampler)}


def summary(record: Any, frames: list[tuple[float, int, int]], pressed: float) -> dict[str, Any]:
    """Return the facts of a run from its record and its pictures."""
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(frames)]
    return {
        "status": record.status,
        "sweeps": len(record.sweeps),
        "seconds": round(record.seconds, 2),
        "pictures": len(frames),
        "seconds_to_first_picture": round(frames[0][0] - pressed, 2) if frames else None,
        "longest_between_pictures_s": round(max(gaps), 2) if gaps else None,
        "pictures_behind_panel_sweeps": max((p - s for _, s, p in frames), default=0),
    }


def main() -> int:
    """Run, print, write the result; 1 when a slot is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=30)
    parser.add_argument("--edge", type=int, default=0, help="pixels; looks around while it runs")
    parser.add_argument("--cold", action="store_true", help="compile the kernels anew, as on a first start")
    options = parser.parse_args()
    sweeps = options.sweeps
    if options.cold:
        os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="phaset3m-cold-")
    about = machine()
    paint = Stopwatch()
    slots = Stopwatch(apart=paint)
    instrument(slots, paint)
    facts = drive(sweeps, options.edge, slots, paint)
    start, worst = slots.worst("start"), slots.worst("run")
    painted = paint.worst("run")
    longest = worst[0]["longest_ms"] if worst else 0.0
    result = {
        "machine": about,
        "compiled_kernels_cached": not options.cold,
        "run": facts,
        "limit_ms": LIMIT_MS,
        "longest_slot_ms": longest,
        "within_limit": longest <= LIMIT_MS,
        "slots": worst[:15],
        "pressing_start": start,
        "painting": painted,
    }
    name = f"gui-{options.edge}" if options.edge else "gui"
    write(f"{name}-cold" if options.cold else name, result)
    tell(facts, {"while running": worst[:15], "pressing start": start, "apart": painted})
    print(f"load {about['load_before']:.1f}", f"-> {RESULTS}", sep="\n")
    return 0 if longest <= LIMIT_MS else 1


def tell(facts: dict[str, Any], tables: dict[str, list[dict[str, Any]]]) -> None:
    """Print the slots of each part, the pauses and the facts of a run."""
    columns = ("slot", "longest_ms", "processor_ms", "calls")
    for title, rows in tables.items():
        print_table([(title, *columns[1:]), *(tuple(str(row[c]) for c in columns) for row in rows)])
    for pause in facts["longest_pauses"]:
        print(*(f"  {key}: {value}" for key, value in pause.items()), sep="\n", end="\n\n")
    print({key: value for key, value in facts.items() if key != "longest_pauses"})


if __name__ == "__main__":
    raise SystemExit(main())
