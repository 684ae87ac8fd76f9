"""What can be done with the selected runs, and why not."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from napari_phaset3m.gui.compare.set import MOST
from napari_phaset3m.gui.runs.row import row_of
from napari_phaset3m.gui.steps.driver import step_driver_for
from napari_phaset3m.gui.widgets.binding import format_bytes
from napari_phaset3m.series_identity import is_of_open_series, name_of_other

if TYPE_CHECKING:
    from napari_phaset3m.project.store import ProjectStore
    from napari_phaset3m.session import RunRecord, Session

#: So many runs are named when they are deleted together.
_NAMED = 6
#: What can be done with a run: name on the button, and what it does.
BUTTONS = {
    "show": ("Show", "Bring the volume back into the viewer"),
    "settings": ("Use settings", "Put this run's settings into the Reconstruct panel"),
    "again": ("Run again", "With the same settings and mask, on the series as it is now"),
    "compare": ("Compare…", "Side by side with linked views; the older run is the reference"),
    "made": ("How made…", "All that led to this volume, as text, command and Python"),
    "figure": ("Figure…", "For a paper: slices, transforms, surface, power spectrum, FSC"),
    "film": ("Film…", "A turn, slices one by one, or how it came about sweep by sweep"),
    "save": ("Export…", "Save the volume as MRC, TIFF, HDF5 or OME-Zarr, with its record"),
    "remove": ("Delete…", "Delete runs and their volumes; layers stay"),
}


def why_not(session: Session, several: list[RunRecord]) -> dict[str, str]:
    """For each of :data:`BUTTONS` why it can do nothing with these runs; empty when it can."""
    record = several[0] if len(several) == 1 else None
    reason = no_volume = "Select one run" if several else "Select a run first"
    if record is not None:
        reason = ""
        no_volume = "" if record.volume is not None else "This run has no full-size volume"
    picture = no_volume or ("" if session.attachments.get("driver") is not None else "There is no viewer")
    busy = "The run is under way" if any(found.active for found in several) else ""
    return {
        "show": no_volume, "settings": reason, "again": reason or why_not_again(session, record),
        "compare": _why_not_compare(session, several), "made": reason or busy,
        "figure": picture, "film": picture, "save": no_volume,
        "remove": ("" if several else reason) or busy,
    }  # fmt: skip


def why_not_again(session: Session, record: RunRecord | None) -> str:
    """Why a run cannot be run again now; empty when it can."""
    if record is None or session.attachments.get("driver") is None:
        return "There is no viewer to run in"
    if not is_of_open_series(session, record):
        return f"Open its series first: {name_of_other(session, record) or 'it has no name'}"
    if session.active_run is not None:
        return "A run is under way"
    steps = step_driver_for(session)
    return f"{steps.title} is running" if steps.busy else ""


def delete_question(session: Session, records: list[RunRecord]) -> str:
    """What is asked before runs are deleted."""
    what = "this run" if len(records) == 1 else f"these {len(records)} runs"
    project = session.attachments.get("project")
    store = None if project is None else project.store
    lines = [_told(record, store) for record in records[:_NAMED]]
    if len(records) > _NAMED:
        lines.append(f"and {len(records) - _NAMED} more")
    folder = None if project is None else project.folder
    where = f" from the project {folder.name} too" if folder is not None else ""
    whose = "Its volume is" if len(records) == 1 else "Their volumes are"
    return f"Delete {what}? {whose} deleted{where}; this cannot be undone.\n\n" + "\n".join(lines)


def _told(record: RunRecord, store: ProjectStore | None) -> str:
    """Name, date and size of a run: ``SIRT · a.h5, 2026-11-29 19:40, 34 MB on disk``."""
    name = row_of(record)[1].replace("\n", " · ")
    when = datetime.fromtimestamp(record.started_at).strftime("%Y-%m-%d %H:%M")
    on_disk = 0 if store is None else store.runs.bytes_of(record.run_id)
    if on_disk:
        size = f"{format_bytes(on_disk)} on disk"
    elif record.volume is not None:
        size = f"{format_bytes(record.volume.nbytes)} in memory, not on disk"
    else:
        size = "no volume"
    return f"{name}, {when}, {size}"


def _why_not_compare(session: Session, several: list[RunRecord]) -> str:
    if len(several) > MOST:
        return f"At most {MOST} volumes can be compared"
    if session.attachments.get("driver") is None:
        return "There is no viewer to compare in"
    return ""
