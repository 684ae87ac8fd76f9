"""Longest time that Mask, Analyse and Compare hold napari's main thread, with the real solver.

A person's way through the steps: reconstruct the sample, make a mask and use it, compute odd and even tilts
with their control from the Halves menu, compute and show every topic, click a peak, open Compare. Slots are
timed as in ``bench_gui.py``; painting of OpenGL canvases apart. Where the machine is shared, the processor
time of the main thread tells more than the time that passed. ``--pictures DIR`` saves the window at each
station. Needs a display: ``xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python
benchmarks/bench_analyse.py``.
"""

from __future__ import annotations

import argparse
import gc
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from bench_gui import LIMIT_MS, SERIES, Stopwatch, instrument, ready_panel, until
from common import RESULTS, machine, print_table, write
from gui_pauses import Beat, Sampler, beat, pauses

Shoot = Callable[[str], None]


class Trip:
    """One way through the steps in one window."""

    def __init__(self, options: argparse.Namespace, slots: Stopwatch, paint: Stopwatch) -> None:
        from qtpy.QtCore import QTimer

        from napari_phaset3m import ReconstructionConfig
        from napari_phaset3m.gui.launch import open_workspace
        from napari_phaset3m.session import session_for

        self.options, self.slots, self.paint = options, slots, paint
        config = ReconstructionConfig(iterations=options.sweeps)
        self.viewer = open_workspace(options.series, config=config, run=False)
        self.window = self.viewer.window._qt_window
        self.window.resize(*options.size)
        self.session = session_for(self.viewer)
        self.said: dict[str, list[str]] = {}
        self._beats: list[Beat] = []
        #: Processor time of each full garbage collection in the main thread, ms; they fall into any slot.
        self.collections: list[float] = []
        self._collecting = 0.0
        self._sampler, self._heart = Sampler(), QTimer()
        self._heart.timeout.connect(self._on_beat)

    def watch(self) -> None:
        """Note from now on how long the event loop does not come round."""
        self._heart.start(10)
        gc.callbacks.append(self._on_collection)
        self._sampler.start()

    def _on_collection(self, phase: str, about: dict[str, int]) -> None:
        if about["generation"] == 2 and threading.current_thread() is threading.main_thread():
            if phase == "stop":
                self.collections.append(round(1000 * (time.thread_time() - self._collecting), 1))
            self._collecting = time.thread_time()

    def _on_beat(self) -> None:
        self._beats.append(beat(self.slots.phase if self.slots.recording else ""))

    def end(self) -> list[dict[str, Any]]:
        """Pauses of the event loop within a phase, the longest three, and what the threads did."""
        gc.callbacks.remove(self._on_collection)
        self._heart.stop()
        self._sampler.end()
        return pauses(self._beats, self._sampler)

    def step(self, name: str) -> Any:
        """Click a step in the guide; its panel."""
        from napari_phaset3m.gui.workspace import PANELS

        workspace = next(w for w in self.viewer.window.dock_widgets.values() if hasattr(w, "guide"))
        self.click(workspace.guide.buttons[[step for step, *_ in PANELS].index(name)])
        self.idle(0.3)
        return workspace.panel(name)

    def click(self, button: Any) -> None:
        """Press a button with the mouse."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        assert button.isEnabled(), f"{button.text()}: {button.toolTip()}"
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def idle(self, seconds: float) -> None:
        """Let the event loop run."""
        end = time.monotonic() + seconds
        until(lambda: time.monotonic() > end, seconds + 60)

    def phase(self, name: str) -> None:
        """Call what follows by a name."""
        self.slots.phase = self.paint.phase = name
        self.slots.recording = self.paint.recording = bool(name)

    def shoot(self, name: str) -> None:
        """Save a picture of the window."""
        if self.options.pictures is not None:
            self.slots.recording = self.paint.recording = False
            self.idle(0.8)
            self.window.grab()  # what was never painted
            self.window.screen().grabWindow(self.window.winId()).save(
                str(self.options.pictures / f"{name}.png")
            )
            self.phase(self.slots.phase)

    def reconstruct(self, method: str | None = None) -> None:
        """Run the solver to the end."""
        panel = ready_panel(self.viewer, self.session)
        if method is not None:
            self.session.config = self.session.config.model_copy(update={"method": method})
            until(lambda: panel.start.isEnabled(), 60)
        count = len(self.session.runs)
        self.click(panel.start)
        until(lambda: len(self.session.runs) > count and self.session.active_run is None, 900)

    def enlarge(self, edge: int) -> None:
        """Continue the results periodically to a cube of so many voxels, as further runs of the window."""
        for record in list(self.session.runs):
            wide = [(0, max(0, edge - n)) for n in record.volume.shape]
            volume = np.pad(record.volume, wide, mode="wrap")
            self.session.add_run(replace(record, run_id=f"{record.run_id}_{edge}", volume=volume))

    def mask(self) -> None:
        """Make the suggested mask and use it for analysis."""
        panel = self.step("Mask")
        self.idle(1.0)
        self.phase("mask")
        until(lambda: panel.ui.analyse.isEnabled(), 120)
        self.click(panel.ui.analyse)
        until(lambda: self.session.analysis_mask is not None, 60)
        self.shoot("mask")

    def halves(self, panel: Any) -> None:
        """Both halves and their control, from the menu."""
        self.phase("halves")
        menu = panel.ui.choices.halves.menu()
        panel._refresh_menu()
        by_name = {action.text(): action for action in menu.actions()}
        by_name["With a control without priors"].setChecked(True)
        by_name["Compute odd and even tilts"].trigger()
        heard = self.said.setdefault("halves", [])
        shot = False

        def done() -> bool:
            nonlocal shot
            if panel.job.message and (not heard or heard[-1] != panel.job.message):
                heard.append(panel.job.message)
            if not shot and panel.job.progress is not None and panel.job.progress.half == 1:
                shot = True
                self.shoot("halves_running")
            return not panel.job.busy and "fsc" in panel.work.outcomes and not panel.work.busy

        until(done, 3600)
        self.click(panel.ui.rows["fsc"].run)  # Show
        self.shoot("fsc")

    def topics(self, panel: Any) -> None:
        """Every topic: computed, then shown."""
        self.phase("compute all")
        self.click(panel.ui.all)
        until(lambda: not panel.work.busy, 900)
        for key, row in panel.ui.rows.items():
            self.phase(f"show {key}")
            if row.done:
                self.click(row.run)
                self.idle(0.5)
                self.shoot(f"topic_{key}")
            self.said[key] = [row.text.text()]
        self.click(panel.ui.rows["fourier"].run)
        self.idle(0.5)
        self.phase("peaks")
        view = self._fourier_page()
        if view is not None:
            view.table.selectRow(3)
            self.idle(0.5)
            self.shoot("peak_clicked")

    def _fourier_page(self) -> Any:
        from napari_phaset3m.gui.analyse.fourier3d import FourierPage

        return next(iter(self.window.findChildren(FourierPage)), None)

    def compare(self) -> None:
        """Open Compare with the runs there are."""
        from napari_phaset3m.gui.compare.dock import open_compare

        self.phase("compare")
        begun = time.monotonic()
        view = open_compare(self.viewer, [f"run:{record.run_id}" for record in self.session.runs[:-3:-1]])
        until(lambda: bool(view.set.numbers), 300)
        self.said["compare"] = [view.numbers.text(), f"after {time.monotonic() - begun:.0f} s"]
        self.idle(1.0)
        self.shoot("compare")


def asked() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--series", type=Path, default=SERIES)
    parser.add_argument("--sweeps", type=int, default=10)
    parser.add_argument("--size", type=int, nargs=2, default=(1600, 1000))
    parser.add_argument("--edge", type=int, help="Measure on cubes of so many voxels (without halves)")
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
    return options


def main() -> int:
    """Run, print, write the result; 1 when a slot computes for longer than the limit."""
    options = asked()
    about, paint = machine(), Stopwatch()
    slots = Stopwatch(apart=paint)
    instrument(slots, paint)
    trip = Trip(options, slots, paint)
    trip.reconstruct("sirt")
    trip.reconstruct("multislice")
    if options.edge:
        trip.enlarge(options.edge)
    trip.watch()
    trip.mask()
    panel = trip.step("Analyse")
    if not options.edge:
        trip.halves(panel)
    trip.topics(panel)
    trip.compare()
    phases = list(dict.fromkeys(phase for phase, _ in slots.calls))
    trip.phase("")
    trip.viewer.close()
    rows = [{"phase": p, **row} for p in phases for row in slots.worst(p)[:4]]
    busiest = max((row["processor_ms"] for p in phases for row in slots.worst(p)), default=0.0)
    rows.sort(key=lambda row: -row["longest_ms"])
    longest = rows[0]["longest_ms"] if rows else 0.0
    write(f"analyse-{options.edge}" if options.edge else "analyse", {
        "machine": about, "limit_ms": LIMIT_MS, "longest_slot_ms": longest,
        "longest_processor_ms": busiest,
        "within_limit": longest <= LIMIT_MS, "within_limit_processor": busiest <= LIMIT_MS,
        "longest_pauses": trip.end(), "full_collections_ms": trip.collections,
        "slots": rows[:25], "painting": [{"phase": p, **r} for p in phases for r in paint.worst(p)],
        "said": trip.said,
    })  # fmt: skip
    columns = ("phase", "slot", "longest_ms", "processor_ms", "calls")
    print_table([columns, *(tuple(str(row[c]) for c in columns) for row in rows[:25])])
    print(*(f"{key}: {' | '.join(told)}" for key, told in trip.said.items()), f"-> {RESULTS}", sep="\n")
    return 0 if busiest <= LIMIT_MS else 1


if __name__ == "__main__":
    raise SystemExit(main())
