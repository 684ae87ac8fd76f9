"""Imports (and compiles) what the steps need while the user is still choosing a file."""

from __future__ import annotations

import logging
from importlib import import_module

import numpy as np
from qtpy.QtCore import QObject, QTimer

from napari_phaset3m.gui.worker import in_background

#: Engine modules that take long to import (no Qt in them): in a worker thread.
MODULES = (
    "prepare.steps", "prepare.predictions", "prepare.align.api", "prepare.align.formats", "prepare.ctf.api",
    "io.importing", "optimise.auto", "optimise.gradient", "optimise.look", "presets",
    "analyse.masks", "analyse.halves", "jobs.halves", "report.write",
)  # fmt: skip
#: Modules of the panels, each after those that it needs: in the window's thread, one at a time.
PANEL_MODULES = (
    "widgets.model_form", "steps.job_bar", "steps.image_nav", "prepare.rows", "prepare.panel",
    "align.check", "align.work", "align.panel", "microscope.ctf_work", "microscope.ctf_view",
    "optimise.table", "optimise.view", "optimise.panel", "microscope.panel", "reconstruct.form",
    "reconstruct.panel", "mask.panel", "analyse.view", "analyse.panel",
)  # fmt: skip
#: Between two of them the window answers, milliseconds.
PAUSE_MS = 20
log = logging.getLogger(__name__)


class WarmUp(QObject):
    """Imports in a worker thread and in pauses of the window, once in a process."""

    _begun = False

    def start(self) -> None:
        """Begin, unless it was begun before."""
        if not WarmUp._begun:
            WarmUp._begun = True
            in_background(_import, self._on_done, self._on_failed)

    def _on_done(self, count: int) -> None:
        log.debug("%d modules imported", count)
        self._left = list(PANEL_MODULES)
        self._timer = QTimer(self)
        self._timer.setInterval(PAUSE_MS)
        self._timer.timeout.connect(self._next)
        self._timer.start()

    def _next(self) -> None:
        import_module(f"napari_phaset3m.gui.{self._left.pop(0)}")
        if not self._left:
            self._timer.stop()

    def _on_failed(self, error: Exception) -> None:
        raise error


def _import() -> int:
    count = len([import_module(f"napari_phaset3m.{name}") for name in MODULES])
    _warm_labels()
    return count


def _warm_labels() -> None:
    """What the first mask on a canvas waits for: pandas, numba's loop for its colours, and vispy's dashes."""
    from napari_phaset3m.gui.mask.layer import labels_of, mask_colours

    import_module("pandas")
    # Of the polygon that napari adds to each labels layer; vispy keeps the patterns it has worked out.
    import_module("vispy.visuals.line.dash_atlas").DashAtlas()
    mask_colours(edge=True).map(labels_of(np.zeros((1, 1, 1), np.float32)))
