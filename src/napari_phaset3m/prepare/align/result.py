"""What an alignment gives back besides the series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.tilt_axis import TiltAxis


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage changed and what that bought.

    Attributes
    ----------
    name : str
    rms_change_px : float
        Length of the change of the used images' shifts, root mean square.
    error_before, error_after : float
        Part of the images' power that volumes of the other images do not predict.
    information_before, information_after : float
        What those volumes tell of an image, nats (see :class:`.work.Judged`); it decides
        whether a stage is kept.
    seconds : float
    kept : bool
        False: the images were predicted no better afterwards, and the stage was undone.
    told : mapping
        What the stage found besides the alignment, plain numbers by name; :mod:`.words` puts it in words.
    """

    name: str
    rms_change_px: float
    error_before: float
    error_after: float
    information_before: float
    information_after: float
    seconds: float
    kept: bool
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class AlignResult:
    """An alignment and how it came about.

    Attributes
    ----------
    alignment : Alignment
        Of the images that were given; residual and shift_error_px are filled in.
    stages : tuple of StageResult
    error_map : ndarray or None
        `(n_tilt, n_focus, m, m)` float32 misfit of each image over trial shifts (y, x), where
        the grid search ran.
    error_map_px : ndarray or None
        `(m,)` trial shifts of the map along either axis, pixels from where it was then.
    optics : dict or None
        What the stage "optics" put into the series, where it was kept: ``spherical_aberration_angstrom``,
        ``astigmatism_angstrom`` and ``astigmatism_azimuth_deg`` (C12, from +x towards +y).
    axis : TiltAxis or None
        Where the tilt axis runs in the given images.
    local_px : ndarray or None
        Where the stage "local" was kept: the field that goes with the alignment into
        :func:`.apply.apply`.
    reference_note : str
        What was decided about the volumes that predict the images; empty where it is as usual.
    reference_tried : bool
        Whether volumes that may be negative were tried, and not ruled out by a setting.
    """

    alignment: Alignment
    stages: tuple[StageResult, ...]
    error_map: np.ndarray | None = None
    error_map_px: np.ndarray | None = None
    optics: dict[str, float] | None = None
    axis: TiltAxis | None = None
    local_px: np.ndarray | None = None
    reference_note: str = ""
    reference_tried: bool = False

    def summary(self) -> dict[str, Any]:
        """Plain numbers for a record: the worst and the mean of what a person would look at."""
        found, used = self.alignment, self.alignment.used
        assert found.shift_error_px is not None and found.residual is not None
        error, residual = found.shift_error_px[used], found.residual[used]
        told: dict[str, Any] = {
            "shift_rms_px": float(np.sqrt((found.shifts_px[used] ** 2).sum(-1).mean())),
            "shift_error_px": _mean(error),
            "residual_mean": _mean(residual),
            "residual_worst": float(np.nanmax(residual)) if np.isfinite(residual).any() else None,
            "n_used": int(used.sum()),
            "reference_tried": self.reference_tried,
        }
        if self.axis is not None:
            told |= self.axis.told()
        if self.optics is not None:
            told["optics"] = dict(self.optics)
        if self.reference_note:
            told["reference_note"] = self.reference_note
        return told


def _mean(values: np.ndarray) -> float | None:
    return float(np.nanmean(values)) if np.isfinite(values).any() else None
