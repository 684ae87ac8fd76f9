"""What the live pictures cost: the solver, on and off in turn within one run, and napari's main thread.

A series of weak random images (256³ voxels as given) is run in the workspace, in 3D and with the Fourier
view open. Live pictures are switched on for one sweep and off for the next. Compared are medians of the
wall time of a sweep, and of the processor time that it takes outside the main thread, which another program
on the machine disturbs less; the sweep after the start, which compiles, is left out. Processor time of the
main thread is told apart. Software OpenGL paints in threads of its own, which count as "outside" too: what
the solver's thread itself spends on a picture is timed where it is made, and told as its share of the run:
the rest that follows a picture passes in sweeps without pictures as well.
Slots are timed as in ``bench_gui``.
Needs a display: ``xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/bench_live.py``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from bench_gui import LIMIT_MS, Stopwatch, instrument, ready_panel, until
from common import RESULTS, machine, print_table, write
from napari_phaset3m import ReconstructionConfig, TiltFocalSeries


def series_of(n: int, tilts: int) -> TiltFocalSeries:
    """Weak random images: time does not depend on what they show."""
    images = 1 + 0.02 * np.random.default_rng(0).standard_normal((tilts, 1, n, n), dtype=np.float32)
    return TiltFocalSeries(
        images=images, tilt_deg=np.linspace(-60, 60, tilts), pixel_size_angstrom=0.5, energy_ev=300e3,
        defocus_angstrom=[900.0], spherical_aberration_angstrom=2.3e7, metadata={"name": "random"},
    )  # fmt: skip


def time_pictures(costs: list[float]) -> None:
    """Note what each picture takes from the solver's thread, seconds."""
    from napari_phaset3m.jobs import runner

    made = runner.deliver_preview

    def timed(event: Any, *rest: Any) -> None:
        begun = time.monotonic()
        made(event, *rest)
        costs.append(event.seconds + time.monotonic() - begun)

    runner.deliver_preview = timed


class Meter:
    """Notes the times of each sweep, and switches the live pictures for the next one."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.rows: list[dict[str, Any]] = []
        self.frames = self._seen = 0
        session.events.frame.connect(self._on_frame)
        session.run_changed.connect(self._on_run)
        self._last = self._now()

    def _on_frame(self, *_: object) -> None:
        self.frames += 1

    def _now(self) -> tuple[float, float]:
        return time.process_time() - time.thread_time(), time.thread_time()

    def _on_run(self, record: Any) -> None:
        if len(record.sweeps) <= self._seen:
            return
        self._seen = len(record.sweeps)
        others, main = self._now()
        self.rows.append(
            {
                "live": self._session.live,
                "wall_s": record.sweeps[-1].seconds,
                "solver_processor_s": others - self._last[0],
                "main_thread_processor_s": main - self._last[1],
                "pictures": self.frames,
            }
        )
        self.frames, self._last = 0, (others, main)
        self._session.live = self._session.watch_fourier = self._seen % 2 == 0


def drive(options: argparse.Namespace, slots: Stopwatch, paint: Stopwatch) -> list[dict[str, Any]]:
    """Run, and return what was noted of each sweep."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    from napari_phaset3m.gui.launch import open_workspace
    from napari_phaset3m.gui.tour import note_tour_offered
    from napari_phaset3m.session import session_for

    note_tour_offered()
    config = ReconstructionConfig(
        method=options.method, iterations=options.sweeps, holdout_fraction=0.0, tolerance=0.0,
        patience=options.sweeps, padding_px=0, threads=options.threads,
        slices=options.slices if options.method == "multislice" else "auto",
    )  # fmt: skip
    viewer = open_workspace(None, config=config, run=False)
    session = session_for(viewer)
    session.device, session.series = "cpu", series_of(options.size, options.tilts)
    panel = ready_panel(viewer, session)
    for button in (panel.modes.buttons[options.view], *([panel.modes.tilt] if options.tilt else [])):
        if not button.isChecked():
            QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    meter = Meter(session)
    slots.recording = paint.recording = True
    slots.phase = paint.phase = "start"
    QTest.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    until(lambda: panel._driver._worker is not None, 60)
    slots.phase = paint.phase = "run"
    until(lambda: session.active_run is None, options.patience)
    slots.recording = paint.recording = False
    viewer.close()
    return meter.rows


def ratios(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of both halves of the sweeps, and their ratio on : off."""
    found: dict[str, Any] = {}
    for key in ("wall_s", "solver_processor_s", "main_thread_processor_s"):
        on, off = (statistics.median(r[key] for r in rows if r["live"] is live) for live in (True, False))
        found[key] = {"on": round(on, 3), "off": round(off, 3), "ratio": round(on / off, 4) if off else None}
    return found


def asked() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--tilts", type=int, default=32)
    parser.add_argument("--slices", type=int, default=16)
    parser.add_argument("--sweeps", type=int, default=25)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--method", default="multislice")
    parser.add_argument("--view", choices=("Projection", "Surface", "Slices"), default="Projection")
    parser.add_argument("--tilt", action="store_true", help="show the current tilt as well")
    parser.add_argument("--patience", type=float, default=3000)
    return parser.parse_args()


def main() -> int:
    """Run, print, write the result; 1 when a slot or the cost is over its limit."""
    options = asked()
    about = machine()
    paint = Stopwatch()
    slots = Stopwatch(apart=paint)
    instrument(slots, paint)
    pictures_s: list[float] = []
    time_pictures(pictures_s)
    rows = drive(options, slots, paint)[1:]
    worst, painted = slots.worst("run"), paint.worst("run")
    cost = ratios(rows)
    pictures = sum(row["pictures"] for row in rows)
    # The rest after a picture, a multiple of its cost, passes in sweeps without pictures as well.
    all_s = sum(row["wall_s"] for row in rows)
    share = sum(pictures_s[1:]) / all_s  # the first picture falls into the sweep that is left out
    result = {
        "machine": about, "options": vars(options), "sweeps": rows, "cost": cost, "pictures_s": pictures_s,
        "share_of_the_run": share, "slots": worst[:15], "painting": painted,
        "pressing_start": slots.worst("start")[:5],
    }  # fmt: skip
    name = "live" if options.view == "Projection" else f"live-{options.view.lower()}"
    write(f"{name}-tilt" if options.tilt else name, result)
    columns = ("slot", "longest_ms", "processor_ms", "calls")
    for title, some in (("while running", worst[:12]), ("apart", painted)):
        print_table([(title, *columns[1:]), *(tuple(str(row[c]) for c in columns) for row in some)])
    took = [round(seconds, 2) for seconds in pictures_s]
    told = f"making them took {took} s, {100 * share:.1f} % of the run"
    print(
        *cost.items(), f"{pictures} pictures in {len(rows)} sweeps", told,
        f"load {about['load_before']:.1f}", f"-> {RESULTS}", sep="\n",
    )  # fmt: skip
    return 0 if worst[0]["longest_ms"] <= LIMIT_MS and share <= 0.03 else 1


if __name__ == "__main__":
    raise SystemExit(main())
