"""Series and microscope travel to other processes whole, and arrive as immutable as they left."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.series import TiltFocalSeries


@pytest.fixture
def series() -> TiltFocalSeries:
    rng = np.random.default_rng(0)
    return TiltFocalSeries(
        images=rng.random((3, 2, 5, 4)).astype(np.float32), tilt_deg=np.array([-9.0, 0.5, 9.0]),
        pixel_size_angstrom=0.52, energy_ev=3e5, defocus_angstrom=np.array([500.0, 900.0]),
        aberrations={"C12": 40.0, "phi12": 0.3}, used=rng.random((3, 2)) > 0.5,
        metadata={"notes": ("a", "b"), "scale": np.ones((3, 2))},
    )  # fmt: skip


@pytest.mark.parametrize("how", [pickle.HIGHEST_PROTOCOL, 2, "copy", "deepcopy"])
def test_series_arrives_whole_and_frozen(series: TiltFocalSeries, how: int | str) -> None:
    if isinstance(how, int):
        back = pickle.loads(pickle.dumps(series, protocol=how))
    else:
        back = getattr(copy, how)(series)
    for item in fields(TiltFocalSeries):
        here, there = getattr(series, item.name), getattr(back, item.name)
        if isinstance(here, np.ndarray):
            np.testing.assert_array_equal(here, there)
            assert there.dtype == here.dtype and not there.flags.writeable, item.name
        elif item.name != "metadata":
            assert here == there, item.name
    assert back.metadata["notes"] == ("a", "b")
    with pytest.raises(TypeError):
        back.aberrations["C12"] = 0.0
    with pytest.raises(TypeError):
        back.metadata["notes"] = ()
    with pytest.raises(FrozenInstanceError):
        back.energy_ev = 1.0
    with pytest.raises(ValueError, match="read-only"):
        back.images[0, 0, 0, 0] = 2.0


def test_images_travel_out_of_band(series: TiltFocalSeries) -> None:
    """What dask relies on to send a big series without copying it into the message."""
    buffers: list[pickle.PickleBuffer] = []
    message = pickle.dumps(series, protocol=5, buffer_callback=buffers.append)
    assert sum(b.raw().nbytes for b in buffers) >= series.images.nbytes
    back = pickle.loads(message, buffers=buffers)
    assert np.shares_memory(back.images, series.images)


def test_microscope_arrives_equal_and_frozen() -> None:
    scope = Microscope(3e5, 1.2e7, 30.0, 1e-4, {"C12": 40.0}, ((0.0, 1.0), (1.0, 0.4)))
    back = pickle.loads(pickle.dumps(scope))
    assert back == scope and back.coefficients(500.0) == scope.coefficients(500.0)
    with pytest.raises(TypeError):
        back.aberrations["C12"] = 0.0
    with pytest.raises(FrozenInstanceError):
        back.energy_ev = 1.0
