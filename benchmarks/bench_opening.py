"""How long the window is held where something new is shown: an import, another series, a first mask.

As ``bench_steps.py`` tells it: a timer of 5 ms beats in the main thread, and the longest time between two
beats from the action until the window is at rest is what the user feels. An import of a stack (loaded in the
background, then opened), a file opened in place of it, and back, and the suggested mask of a volume: each is
done twice, as the first time makes what the second finds. Told are the main thread's processor time of the
longest hold, what of that was painting of the OpenGL canvases, and the sum of all holds over 20 ms.

Needs a display: ``xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python
benchmarks/bench_opening.py``.
``--edge 512`` repeats the sample's images to so many pixels; ``--profile NAME`` prints where the first of an
action spends its time.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from bench_gui import LIMIT_MS, SERIES, until
from bench_steps import Beats, opened, row_of
from common import machine, print_table, write

ACTIONS = ("import", "series", "mask")


def raw_stack(folder: Path, edge: int) -> Path:
    """The sample's first focus as a raw stack of so many pixels, with its tilts beside it."""
    import mrcfile

    from napari_phaset3m.io.series import load_series

    series = load_series(SERIES)
    images = series.images[:, 0]
    wide = [(0, 0), *((0, max(0, edge - n)) for n in images.shape[1:])]
    with mrcfile.new(folder / "raw.mrc") as mrc:
        mrc.set_data(1000 * np.pad(images, wide, mode="wrap"))
        mrc.set_image_stack()
        mrc.voxel_size = series.pixel_size_angstrom
    (folder / "raw.rawtlt").write_text("".join(f"{tilt}\n" for tilt in series.tilt_deg))
    return folder / "raw.mrc"


def rest(seconds: float) -> None:
    """Let the event loop run."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, seconds + 60)


class Actions:
    """What is done in the window."""

    def __init__(self, viewer: Any, workspace: Any, stack: Path) -> None:
        from napari_phaset3m.gui.importing.work import import_work_for
        from napari_phaset3m.session import session_for

        self.viewer, self.workspace, self.stack = viewer, workspace, stack
        self.session = session_for(viewer)
        self.work = import_work_for(self.session)

    def prepare(self, name: str) -> None:
        """What must be there before, and is not measured."""
        if name == "import":
            self.work.look([self.stack])
            until(lambda: not self.work.looking, 60)
            asked = [question.field for question in self.work.plan.questions]
            told = self.work.edit(asked, energy_ev=3e5, tilt_axis_angle_deg=0.0) or self.work.why_not()
            if told:
                raise RuntimeError(told)
        elif name == "mask":
            if not self.session.runs:
                self._run()
            self._click("Analyse")
            rest(3.0)
            work = self.session.attachments.get("mask work")
            if work is not None:  # as a first one
                work.set_steps(())
                work.set_source(None)
                work.publisher.remove("mask")

    def do(self, name: str) -> Callable[[], bool]:
        """Begin; what tells that it is done."""
        before = self.session.series
        if name == "import":
            self.work.start()
            return lambda: self.session.series is not before and not self.work.busy
        if name == "series":
            from napari_phaset3m.gui.series.loader import loader_for

            loader_for(self.session).load(SERIES)
            return lambda: self.session.series is not before
        self._click("Mask")
        return lambda: any(layer.name == "Mask" for layer in self.viewer.layers)

    def _click(self, step: str) -> None:
        next(b for b in self.workspace.guide.buttons if b.text().endswith(step)).click()

    def _run(self) -> None:
        from napari_phaset3m.gui.reconstruct.driver import driver_for

        config = self.session.config
        self.session.config = config.model_copy(update={"method": "sirt", "iterations": 3})
        driver_for(self.session, self.viewer).start()
        until(lambda: bool(self.session.runs) and self.session.active_run is None, 300)


def act(actions: Actions, name: str, beats: Beats, profile: cProfile.Profile | None) -> dict[str, Any]:
    """Do one, wait until the window is at rest; return its longest hold."""
    actions.prepare(name)
    rest(2.0)
    gc.collect()
    beats.note()
    since = len(beats.all) - 1
    if profile is not None:
        profile.enable()
    done = actions.do(name)
    until(done, 20)
    rest(1.5)
    if profile is not None:
        profile.disable()
    return row_of(name, beats.holds(since))


def main() -> int:
    """Act, print, write the result; 1 when something holds the window for longer than the limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--edge", type=int, default=96)
    parser.add_argument("--profile", choices=ACTIONS)
    options = parser.parse_args()
    about, own = machine(), Path(tempfile.mkdtemp())
    viewer, workspace, beats = opened(own)
    actions = Actions(viewer, workspace, raw_stack(own, options.edge))
    rows = []
    for visit in ("first", "again"):
        for name in ACTIONS:
            profiled = (name, visit) == (options.profile, "first")
            profile = cProfile.Profile(time.thread_time) if profiled else None
            rows.append({"visit": visit, **act(actions, name, beats, profile)})
            if profile is not None:
                pstats.Stats(profile).sort_stats("cumulative").print_stats(110)
    viewer.close()
    worst = max(row["longest_hold_processor_ms"] for row in rows)
    print_table([tuple(rows[0]), *(tuple(str(cell) for cell in row.values()) for row in rows)])
    if not options.profile:
        facts = {"machine": about, "limit_ms": LIMIT_MS, "edge_px": options.edge, "actions": rows}
        print(f"load {about['load_before']:.1f}", f"-> {write(f'opening-{options.edge}', facts)}", sep="\n")
    return 0 if worst <= LIMIT_MS else 1


if __name__ == "__main__":
    raise SystemExit(main())
