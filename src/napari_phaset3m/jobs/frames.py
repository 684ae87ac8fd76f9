"""What a window shows of a volume, worked out where the run computes: frames, limits, transforms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from napari_phaset3m.jobs.messages import PreviewFrame
from napari_phaset3m.reconstruct.events import Finished, Preview

#: Longest edge of a volume whose Fourier transform is shown, voxels: while running and at the end.
FOURIER_LIVE_VOXELS = 128
FOURIER_MAX_VOXELS = 256


def final_frame(event: Finished, run_id: str) -> PreviewFrame:
    """The full-size volume of a finished run, ready to be shown."""
    sweep = event.sweeps[-1].sweep if event.sweeps else 0
    return replace(make_frame(event, run_id, sweep, fourier=True), final=True, unit=event.unit)


def make_frame(event: Any, run_id: str, sweep: int, *, fourier: bool) -> PreviewFrame:
    """A frame with everything that is costly to work out for display.

    ``event`` has ``volume`` and ``voxel_size_angstrom``: a preview, an end, the record of a run.
    """
    longest = FOURIER_LIVE_VOXELS if isinstance(event, Preview) else FOURIER_MAX_VOXELS
    power = shown_power(event.volume, longest) if fourier else None
    return PreviewFrame(
        run_id,
        sweep,
        event.volume,
        power,
        event.voxel_size_angstrom,
        display_limits(event.volume),
        (0.0, 1.0) if power is None else power_limits(power),
    )


def shown_power(volume: np.ndarray, longest: int = FOURIER_MAX_VOXELS) -> np.ndarray:
    """Log power of the central part of a volume, at most ``longest`` voxels along an edge.

    Cropping keeps the frequencies up to Nyquist, which binning would lose.
    """
    from napari_phaset3m.analyse.fourier import log_power

    centre = tuple(slice((n - min(n, longest)) // 2, (n + min(n, longest)) // 2) for n in volume.shape)
    power: np.ndarray = log_power(volume[centre])
    return power


def display_limits(volume: np.ndarray) -> tuple[float, float]:
    """Low (0 where nothing is negative) and the 99.95th percentile, from a thinned copy."""
    low, high = np.percentile(_thinned(volume), (1.0, 99.95))
    low = 0.0 if low > -0.05 * abs(high) else float(low)
    return (low, float(high)) if high > low else (low, low + 1e-6)


def power_limits(power: np.ndarray) -> tuple[float, float]:
    """Low above the diffuse background and high below the strongest peaks."""
    low, high = (float(v) for v in np.percentile(_thinned(power), (60.0, 99.99)))
    return (low, high) if high > low else (low, low + 1e-6)


def _thinned(volume: np.ndarray) -> np.ndarray:
    stride = max(1, round(float(volume.size / 500_000) ** (1 / 3)))
    return volume[::stride, ::stride, ::stride]
