"""Memory of a simulation, before it starts."""

from __future__ import annotations

import os

from napari_phaset3m.errors import ResourceError
from napari_phaset3m.io.limits import available_memory
from napari_phaset3m.simulate.config import SimulationConfig
from napari_phaset3m.simulate.imaging import Sampling

# Measured as the peak above an idle process: 1.1 to 1.2 GB at 320 pixels (forecast 1.3),
# 0.32 GB at 160 pixels with two threads of 1408 x 1408 samples (forecast 0.37).
#: Bytes per sample of a thread's waves, transfer, propagator and temporary arrays.
_WAVE_BYTES = 88
#: Bytes per voxel of the true potential: its spectrum, the transform back, and the result.
_TRUTH_BYTES = 40
#: Bytes per pixel of an image without and with the arrays that counting needs.
_IMAGE_BYTES, _COUNTED_BYTES = 4, 24


def simulation_threads(config: SimulationConfig) -> int:
    """Threads that work at once."""
    asked = config.numerics.threads
    n_tilt = len(config.acquisition.tilts_deg)
    return min((os.cpu_count() or 1) if asked == "auto" else asked, n_tilt)


def simulation_bytes(config: SimulationConfig, sampling: Sampling) -> int:
    """Peak memory of a simulation, from sizes alone."""
    acquisition = config.acquisition
    images = len(acquisition.tilts_deg) * len(acquisition.defocus_angstrom) * sampling.image_px**2
    exposed = images * (_IMAGE_BYTES if acquisition.dose_per_image is None else _COUNTED_BYTES)
    samples = sampling.fine.nx * sampling.fine.ny
    waves = simulation_threads(config) * samples * _WAVE_BYTES
    truth = sampling.image_px**3 * _TRUTH_BYTES
    return images * _IMAGE_BYTES + max(waves, exposed, truth)


def check_memory(config: SimulationConfig, sampling: Sampling) -> None:
    """Refuse a simulation that would not fit.

    Raises
    ------
    ResourceError
        With the settings that would make it fit.
    """
    needed, free = simulation_bytes(config, sampling), available_memory()
    if needed > free:
        border, cause = (sampling.box_px - sampling.image_px) // 2, ""
        if border > sampling.image_px:
            why = ", as defocus and Cs move light" if config.numerics.padding_px == "auto" else ""
            cause = f" with a border of {border} (padding_px{why})"
        raise ResourceError(
            f"image_size_px: {sampling.image_px} pixels{cause} need {needed / 2**30:.3g} GiB, but "
            f"{free / 2**30:.1f} GiB are free; use smaller images (--image-size), fewer --threads "
            "or less --supersampling"
        )
