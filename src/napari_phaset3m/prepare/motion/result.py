"""What motion correction found, and what it made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_phaset3m.prepare.motion.field import Field


@dataclass(frozen=True, slots=True, eq=False)
class MotionResult:
    """A corrected movie.

    Attributes
    ----------
    image : ndarray
        `(ny, nx)` float32: sum of the used frames along the drift (counts stay counts).
    uncorrected : ndarray
        `(ny, nx)` float32: plain sum of all frames, gain applied.
    shifts_px : ndarray
        `(n, 2)` (y, x) whole-frame drift: a feature at p of the image is at p + shift in the frame.
    error_px : ndarray
        `(n, 2)` its standard deviation; infinite: not measured (all: nothing in view to align by, and
        the frames were summed as they are).
    measured_px : ndarray
        `(n, 2)` before smoothing.
    used : ndarray
        `(n,)` bool: frames in the sum.
    field : Field
        Local drift on top.
    bad_pixels : int
        Replaced in each frame.
    snr : ndarray
        Signal over noise power in one frame, against radius (rings of 1 / side of what was aligned).
    pixel_size_angstrom : float or None
    notes : tuple of str
        How the movie was read, and what was held back.
    """

    image: np.ndarray
    uncorrected: np.ndarray
    shifts_px: np.ndarray
    error_px: np.ndarray
    measured_px: np.ndarray
    used: np.ndarray
    field: Field
    bad_pixels: int
    snr: np.ndarray
    pixel_size_angstrom: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def drift_px(self) -> np.ndarray:
        """`(n, 2)` (y, x): way of the specimen since the first frame, as a microscopist plots it."""
        return np.asarray(self.shifts_px - self.shifts_px[0])

    @property
    def drift_angstrom(self) -> np.ndarray | None:
        """`(n, 2)`: the same in angstrom, where the pixel is known."""
        return None if self.pixel_size_angstrom is None else self.drift_px * self.pixel_size_angstrom

    @property
    def residual_px(self) -> float:
        """Root mean square distance of the measured shifts from the track that was used."""
        gap = (self.measured_px - self.shifts_px)[self.used]
        return float(np.sqrt(((gap - gap.mean(axis=0)) ** 2).sum(axis=1).mean()))

    def told(self) -> dict[str, Any]:
        """The figures, for the history and for --json."""
        way = np.hypot(*np.diff(self.shifts_px, axis=0).T)
        known = self.error_px[np.isfinite(self.error_px)]
        found: dict[str, Any] = {
            "n_frames": len(self.used),
            "frames_left_out": np.flatnonzero(~self.used).tolist(),
            "bad_pixels": self.bad_pixels,
            "drift_found": bool(known.size),
            "drift_total_px": float(np.hypot(*(self.shifts_px[-1] - self.shifts_px[0]))),
            "drift_path_px": float(way.sum()),
            "shift_error_px": float(known.mean()) if known.size else None,
            "residual_px": self.residual_px,
            "local_drift_px": self.field.rms,
            "local_residual_px": self.field.residual,
        }
        if self.notes:
            found["notes"] = list(self.notes)
        if self.pixel_size_angstrom is not None:
            found["drift_total_angstrom"] = found["drift_total_px"] * self.pixel_size_angstrom
        return found

    def as_dict(self) -> dict[str, Any]:
        """All but the images, in plain types."""
        record = self.told() | {
            "shifts_px": self.shifts_px.tolist(),
            "measured_px": self.measured_px.tolist(),
            "error_px": self.error_px.tolist(),
            "drift_px": self.drift_px.tolist(),
            "local_coefficients_px": self.field.coefficients.tolist() if self.field.significant else None,
        }
        drift = self.drift_angstrom
        if drift is not None:
            record["drift_angstrom"] = drift.tolist()
        return record
