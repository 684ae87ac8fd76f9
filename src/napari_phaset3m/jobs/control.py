"""The token through which a driver steers a run from another thread."""

from __future__ import annotations

import time
from threading import Condition

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.errors import DataError
from napari_phaset3m.reconstruct.volumes import check_proportions


class RunControl:
    """Pause, resume, stop, finish now, previews and mask of one run; thread-safe.

    Satisfies :class:`napari_phaset3m.reconstruct.events.Control`. Stop wins over
    finish, and both end a pause.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._paused = self._stopped = self._finish = False
        self._preview = 0
        self._fourier = False
        self._preview_not_before = 0.0
        self._mask: np.ndarray | None = None
        self._shape: tuple[int, int, int] | None = None

    def pause(self) -> None:
        """Hold after the step that is being computed (no effect once ending)."""
        with self._changed:
            self._paused = not (self._stopped or self._finish)
            self._changed.notify_all()

    def resume(self) -> None:
        """Go on after :meth:`pause`."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def stop(self) -> None:
        """End as soon as possible without a result."""
        with self._changed:
            self._stopped, self._paused = True, False
            self._changed.notify_all()

    def finish(self) -> None:
        """End after the step that is being computed and keep the volume."""
        with self._changed:
            self._finish, self._paused = True, False
            self._changed.notify_all()

    @property
    def paused(self) -> bool:
        """Whether a pause is asked for."""
        with self._changed:
            return self._paused

    @property
    def stopped(self) -> bool:
        """Whether a stop is asked for."""
        with self._changed:
            return self._stopped

    def finish_requested(self) -> bool:
        """Whether the solver should end after this step and keep the volume."""
        with self._changed:
            return self._finish

    def wait_while_paused(self, timeout: float) -> bool:
        """Sleep until resumed, stopped or finished; True when still paused after ``timeout`` s."""
        with self._changed:
            self._changed.wait_for(lambda: not self._paused, timeout)
            return self._paused

    def wait_for_stop(self, timeout: float) -> bool:
        """Sleep up to ``timeout`` s; True as soon as a stop is asked for."""
        with self._changed:
            return self._changed.wait_for(lambda: self._stopped, timeout)

    def request_preview(self, max_voxels: int, *, fourier: bool = False) -> None:
        """Ask for one preview; the latest request wins.

        Parameters
        ----------
        max_voxels : int
            Longest edge of the preview, voxels; 0 withdraws the request.
        fourier : bool
            Also compute its log-power Fourier transform.
        """
        with self._changed:
            self._preview, self._fourier = max(0, int(max_voxels)), fourier

    def preview_max_voxels(self) -> int:
        """Longest edge (voxels) of a preview wanted now; 0 when none is wanted."""
        with self._changed:
            return self._preview if time.monotonic() >= self._preview_not_before else 0

    def preview_delivered(self, pause_seconds: float = 0.0) -> bool:
        """Settle the open request, and allow none for ``pause_seconds``.

        Returns
        -------
        bool
            Whether the request asked for the Fourier transform as well.
        """
        with self._changed:
            self._preview = 0
            self._preview_not_before = time.monotonic() + pause_seconds
            return self._fourier

    def set_mask(self, mask: np.ndarray | None) -> None:
        """Use this mask `(nz, ny, nx)`, 0..1, from the next sweep on; None: no mask any more.

        Raises
        ------
        DataError
            It is not in 0..1, is empty, or is of another box than the run's volume.
        """
        with self._changed:
            if mask is not None:
                check_mask(mask, self._shape)
            self._mask = np.empty(0, REAL) if mask is None else mask

    def expect_masks_of(self, shape: tuple[int, int, int]) -> None:
        """Tell the shape (nz, ny, nx) of the run's volume, so that a wrong mask is refused when it is set.

        Raises
        ------
        DataError
            The one that is set already does not fit.
        """
        with self._changed:
            self._shape = shape
            if self._mask is not None and self._mask.size:
                check_mask(self._mask, shape)

    def mask(self) -> np.ndarray | None:
        """The mask set last, once (empty: none any more); None when there is no newer one."""
        with self._changed:
            mask, self._mask = self._mask, None
            return mask


def check_mask(mask: np.ndarray, shape: tuple[int, int, int] | None = None) -> None:
    """Refuse what cannot be the mask of a run whose volume has a shape (nz, ny, nx).

    Raises
    ------
    DataError
    """
    if mask.ndim != 3:
        raise DataError(f"has {mask.ndim} axes, but (z, y, x) are needed", field="mask")
    low, high = float(mask.min(initial=0)), float(mask.max(initial=0))
    if not (low >= 0 and 0 < high <= 1):
        problem = f"has values from {low:g} to {high:g}; they must lie in 0..1, some above 0"
        raise DataError(problem, field="mask")
    if shape is not None:
        check_proportions(mask.shape, shape, "mask")
