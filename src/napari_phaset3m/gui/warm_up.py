"""Imports what the steps need while the user is still choosing a file."""

from __future__ import annotations

import logging
from importlib import import_module

from qtpy.QtCore import QObject

from napari_phaset3m.gui.worker import in_background

#: Engine modules that take long to import (no Qt in them).
MODULES = ("prepare.steps", "prepare.checks", "prepare.align.api", "prepare.ctf.api", "io.importing")
log = logging.getLogger(__name__)


class WarmUp(QObject):
    """Imports in a worker thread, once in a process."""

    _begun = False

    def start(self) -> None:
        """Begin, unless it was begun before."""
        if not WarmUp._begun:
            WarmUp._begun = True
            in_background(_import, self._on_done, self._on_failed)

    def _on_done(self, count: int) -> None:
        log.debug("%d modules imported", count)

    def _on_failed(self, error: Exception) -> None:
        raise error


def _import() -> int:
    return len([import_module(f"napari_phaset3m.{name}") for name in MODULES])
