"""Images that hold nothing are refused; threads, workspaces and the order of tilts are as told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_phaset3m.config import ConstraintConfig, ReconstructionConfig
from napari_phaset3m.core.backend import resolve_device
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.reconstruct.api import iterate
from napari_phaset3m.reconstruct.constraints import Butterworth, TotalVariation
from napari_phaset3m.reconstruct.events import Started
from napari_phaset3m.reconstruct.inputs import check_images
from napari_phaset3m.reconstruct.methods.linear import LinearMethod
from napari_phaset3m.reconstruct.methods.multislice import MultisliceMethod
from napari_phaset3m.reconstruct.solver import tilt_order
from napari_phaset3m.reconstruct.stage import Stage

N, N_TILT = 12, 8
FREE = ConstraintConfig(atomic_basis_sigma_angstrom=None)


def series(**changes: Any) -> TiltFocalSeries:
    made = TiltFocalSeries(
        images=1 - 0.1 * np.random.default_rng(0).random((N_TILT, 2, N, N)),
        tilt_deg=np.array([0.0, 10, -10, 20, -20, 30, -30, 40]),  # dose-symmetric
        pixel_size_angstrom=1.0,
        energy_ev=3e5,
        defocus_angstrom=np.array([300.0, 600.0]),
        spherical_aberration_angstrom=1e7,
    )
    return made.replace(**changes)


def config(**changes: Any) -> ReconstructionConfig:
    given = {"iterations": 1, "padding_px": 0, "threads": 2, "constraints": FREE}
    return ReconstructionConfig(**{**given, **changes})


def stage(**changes: Any) -> Stage:
    made = Stage(series(), config(**changes), resolve_device("cpu"), None)
    made.solver.close()
    return made


def test_images_of_which_none_is_used_are_told_as_that():
    """They were told to be constant."""
    with pytest.raises(DataError, match="mask: uses no image"):
        check_images(series(used=False))


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_an_image_without_intensity_is_refused_by_name(value: float) -> None:
    images = series().images.copy()
    images[3, 1] = value
    with pytest.raises(DataError, match="tilt_series: image 1 of tilt 3 has a mean intensity"):
        next(iterate(series(images=images), config(), device="cpu"))
    used = np.ones((N_TILT, 2), bool)
    used[3, 1] = False
    assert check_images(series(images=images, used=used)) == ()


def test_a_constant_series_is_refused_and_a_blank_image_is_not() -> None:
    with pytest.raises(DataError, match="every image is constant"):
        next(iterate(series(images=np.ones((N_TILT, 2, N, N))), config(), device="cpu"))
    images = series().images.copy()
    images[0, 0] = 1
    assert check_images(series(images=images)) == ()


def test_negative_intensities_are_told() -> None:
    images = series().images.copy()
    images[2, 0, 5, 5] = images[4, 1, 0, 0] = -0.25
    events = iterate(series(images=images), config(), device="cpu")
    started = next(e for e in events if isinstance(e, Started))
    assert "2 images have negative intensities (down to -0.25); they count as 0" in started.notes
    events.close()  # type: ignore[attr-defined]


def test_a_workspace_for_each_tilt_in_flight_and_no_more() -> None:
    made = stage(threads=6, subset_size=3)
    assert isinstance(made.method, MultisliceMethod) and len(made.method._slots) == 3
    made = stage(threads=2, subset_size=3)
    assert isinstance(made.method, MultisliceMethod) and len(made.method._slots) == 2
    linear = stage(threads=6, subset_size=3, method="sirt").method
    assert isinstance(linear, LinearMethod) and linear.threads == 6


def test_filters_and_basis_take_the_threads_they_are_given() -> None:
    limits = ConstraintConfig(tv_weight=0.1, lowpass_angstrom=3.0, atomic_basis_sigma_angstrom=0.9)
    made = stage(threads=3, constraints=limits)
    assert made.solver.basis is not None and made.solver.basis.threads == 3
    kinds = {type(c): c for c in made.constraints}
    for kind in (TotalVariation, Butterworth):
        assert kinds[kind].threads == 3  # type: ignore[attr-defined]


def test_a_filter_does_not_depend_on_its_threads() -> None:
    volume = np.random.default_rng(1).random((1, 8, 9, 10)).astype(np.float32)
    made = []
    for threads in (1, 3, None):
        copy = volume.copy()
        Butterworth(1.0, 3.0, threads=threads).apply(copy, 0)
        made.append(copy)
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[0], made[2])


def test_golden_steps_are_steps_of_angle_also_when_the_file_is_dose_symmetric() -> None:
    made = stage(tilt_order="golden")
    angles = series().tilt_deg[tilt_order(config(tilt_order="golden"), made.solver.tilts, 0)]
    ranks = np.argsort(np.argsort(angles))
    # Ranks of a golden sequence: successive ones are never neighbours, so no two angles are.
    assert np.abs(np.diff(ranks)).min() >= 2
    assert sorted(made.solver.tilts) == list(range(N_TILT))
    assert list(stage(tilt_order="given").solver.tilts) == list(range(N_TILT))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"method": "multislice"}, "method: multislice retrieves a phase, and dark field shows none"),
        ({"method": "singleslice"}, "method: singleslice retrieves a phase"),
        ({"method": "sirt", "ctf_correction": "phase_flip"}, "ctf_correction: is phase_flip, and dark field"),
    ],
)
def test_optics_are_refused_for_dark_field(settings: dict[str, Any], told: str) -> None:
    """The window did; a run from Python or the command line gave a volume of nothing."""
    from napari_phaset3m.errors import ConfigError

    stem = series(normalisation="dark_field")
    with pytest.raises(ConfigError, match=told):
        list(iterate(stem, ReconstructionConfig(iterations=1, **settings)))
    assert list(iterate(stem, ReconstructionConfig(iterations=1, method="sirt")))
