"""Series for the tests of preparation."""

from __future__ import annotations

import numpy as np

from napari_phaset3m import TiltFocalSeries


def make(images, **fields) -> TiltFocalSeries:
    images = np.asarray(images, np.float32)
    values = {
        "tilt_deg": np.linspace(-60, 60, len(images)),
        "pixel_size_angstrom": 0.8,
        "energy_ev": 300e3,
    }
    return TiltFocalSeries(images=images, **(values | fields))


def poisson(mean, per_pixel, shape=(9, 2), seed=0, **fields) -> TiltFocalSeries:
    """Counts around ``mean`` (ny, nx), scaled to intensity; dose as stated in the series."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(np.broadcast_to(mean, (*shape, *np.shape(mean))) * per_pixel)
    fields = {"pixel_size_angstrom": 0.5, "dose_per_image": per_pixel / 0.25} | fields
    return make(counts / per_pixel, metadata={"scale": per_pixel, "counts": True}, **fields)
