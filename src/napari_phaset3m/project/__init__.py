"""Projects: everything of a window as one folder, ``NAME.phaset3m/``; no Qt in here.

==================  =========================================================
``project.json``    what is where; written last, so it names only what is there
``series/``         images that are in no other file, named by their digest
``runs/ID/``        ``run.json``, and volume, mask and record as ``reconstruct`` writes them
``masks/``          the masks in use, with their recipes
``layers/``         layers of the user's own
``lock.json``       who has it open
==================  =========================================================
"""

from __future__ import annotations

from napari_phaset3m.project.lock import Holder, ProjectLock
from napari_phaset3m.project.model import ProjectFile, SeriesEntry
from napari_phaset3m.project.snapshot import LayerData, Snapshot, take_snapshot
from napari_phaset3m.project.store import Loaded, ProjectStore, Saved

__all__ = [
    "Holder",
    "LayerData",
    "Loaded",
    "ProjectFile",
    "ProjectLock",
    "ProjectStore",
    "Saved",
    "SeriesEntry",
    "Snapshot",
    "take_snapshot",
]
