"""The Optimise tab on data of known truth: how long it holds the main thread, and what it looks like.

Opens the real window on a series, goes to step Microscope, tab Optimise, presses Start, and times every slot
of the plugin until the search ends, as ``bench_gui.py`` does for a reconstruction. Pictures of the window are
saved while it searches and at the end. Needs a display: ``xvfb-run -a -s "-screen 0 1600x1000x24
+extension GLX" python benchmarks/bench_optimise_window.py --pictures FOLDER``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from bench_gui import LIMIT_MS, Stopwatch, instrument, until
from bench_optimise import DATA, NAME
from common import RESULTS, machine, print_table, write
from gui_pauses import Beat, Sampler, beat, pauses

#: A laptop's window.
SMALL = (1366, 768)


def opened(series: Path, size: tuple[int, int]) -> tuple[Any, Any, Any]:
    """Viewer, session and panel, at the tab Optimise."""
    from napari.settings import get_settings
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    from napari_phaset3m.gui.launch import open_workspace
    from napari_phaset3m.gui.tour import note_tour_offered
    from napari_phaset3m.gui.widgets.notes import Notes
    from napari_phaset3m.session import session_for

    get_settings().application.gui_notification_level = "error"  # PyQt5's end is not what pictures are about
    note_tour_offered()
    viewer = open_workspace(series, run=False)
    viewer.window._qt_window.resize(*size)
    session = session_for(viewer)
    until(lambda: session.series is not None, 60)
    workspace = next(w for w in viewer.window.dock_widgets.values() if hasattr(w, "guide"))
    for notes in workspace.findChildren(Notes):
        notes.clear()  # of what other windows left
    QTest.mouseClick(workspace.guide.buttons[3], Qt.MouseButton.LeftButton)
    whole = workspace.panel("Microscope")
    until(lambda: whole is not None and whole.isVisible(), 30)
    whole.tabs.setCurrentIndex(1)
    until(lambda: whole.optimise.start.isVisible(), 30)
    return viewer, session, whole.optimise


def picture(viewer: Any, path: Path | None) -> None:
    """Save the window as it is."""
    if path is not None:
        wait(0.7)
        viewer.window._qt_window.grab().save(str(path))


def wait(seconds: float) -> None:
    """Let the window go on for a while."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, seconds + 30)


def drive(options: Any, slots: Stopwatch, paint: Stopwatch) -> dict[str, Any]:
    """Search in the window, and return the facts of it."""
    from qtpy.QtCore import Qt, QTimer
    from qtpy.QtTest import QTest

    viewer, session, panel = opened(options.series, options.size)
    work, folder = panel.work, options.pictures
    beats: list[Beat] = []
    sampler, heart = Sampler(), QTimer()
    heart.timeout.connect(lambda: beats.append(beat(slots.phase)))
    heart.start(10)
    sampler.start()
    slots.recording = paint.recording = True
    slots.phase = paint.phase = "run"
    begun = time.monotonic()
    QTest.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    until(lambda: work.driver.busy, 60)
    until(lambda: (bool(work.rounds) and len(work.rounds[0].trials) > 9) or not work.driver.busy, 3000)
    picture(viewer, folder and folder / "optimise_running.png")
    until(lambda: not work.driver.busy, 3000)
    took = time.monotonic() - begun
    wait(1.0)
    slots.recording = paint.recording = False
    slots.phase = paint.phase = ""
    heart.stop()
    sampler.end()
    view = panel.view()
    for index, name in enumerate(("found", "images", "shifts")):
        view.right.setCurrentIndex(index)
        view.right.activated.emit(index)
        wait(2.0)
        picture(viewer, folder and folder / f"optimise_{name}.png")
    viewer.window._qt_window.resize(*SMALL)
    picture(viewer, folder and folder / "optimise_small.png")
    viewer.window._qt_window.resize(*options.size)
    press_all(viewer, session, panel, folder)
    facts = {"seconds": round(took, 1), "trials": sum(len(now.trials) for now in work.rounds)}
    viewer.close()
    return facts | {"longest_pauses": pauses(beats, sampler)}


def press_all(viewer: Any, session: Any, panel: Any, folder: Path | None) -> None:
    """Press what is pressed after a search: apply, compare, show the volume, take back."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    before = session.series
    for button in (panel.apply, panel.comparison.heading, panel.volume):
        if button.isEnabled():
            QTest.mouseClick(button, Qt.MouseButton.LeftButton)
            wait(1.0)
    assert session.series is panel.work.found
    picture(viewer, folder and folder / "optimise_applied.png")
    QTest.mouseClick(panel.revert, Qt.MouseButton.LeftButton)
    assert session.series is before


def main() -> int:
    """Run, print, write the result; 1 when a slot is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=Path, default=DATA / f"{NAME}.h5")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the window")
    parser.add_argument("--size", type=lambda text: tuple(map(int, text.split("x"))), default=(1600, 1000))
    options = parser.parse_args()
    about, paint = machine(), Stopwatch()
    slots = Stopwatch(apart=paint)
    instrument(slots, paint)
    facts = drive(options, slots, paint)
    worst = slots.worst("run")
    longest = worst[0]["longest_ms"] if worst else 0.0
    result = {
        "machine": about, "run": facts, "limit_ms": LIMIT_MS, "longest_slot_ms": longest, "slots": worst[:15],
        "painting": paint.worst("run"),
    }  # fmt: skip
    write("optimise-window", result)
    columns = ("slot", "longest_ms", "processor_ms", "calls")
    print_table(
        [columns, *(tuple(str(row[c]) for c in columns) for row in [*worst[:15], *result["painting"]])]
    )
    for pause in facts["longest_pauses"]:
        print(*(f"  {key}: {value}" for key, value in pause.items()), sep="\n", end="\n\n")
    print({k: v for k, v in facts.items() if k != "longest_pauses"}, about["load_before"], RESULTS)
    return 0 if longest <= LIMIT_MS else 1


if __name__ == "__main__":
    raise SystemExit(main())
