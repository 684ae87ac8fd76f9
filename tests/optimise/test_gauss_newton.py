"""Shared optics by Gauss-Newton: derivatives, recovery, held-out images, uncertainty."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_phaset3m import reconstruct
from napari_phaset3m.config import RefineConfig, Schedule
from napari_phaset3m.core.backend import resolve_device
from napari_phaset3m.optimise.objective import Watch
from napari_phaset3m.optimise.uncertainty import Curvature
from napari_phaset3m.reconstruct.gauss_newton import GaussNewton
from napari_phaset3m.reconstruct.methods import make_method
from napari_phaset3m.reconstruct.problem import build_problem
from napari_phaset3m.reconstruct.shared_optics import all_factors, changed, parts

OPTICS = ("C30", "C12", "C21", "C23", "focal_spread")
#: Change the phase at Nyquist by about 0.1 rad: the rounding of float32 images is
#: below 1 % of the slope then, and so is the curvature (measured over 0.01 to 0.3 rad).
STEPS = {"C30": 1e4, "C12": 3.0, "C21": 300.0, "C23": 300.0, "focal_spread": 1.0}


def free_of(optics, start, defocus="tilt"):
    when = Schedule(start=start)
    return RefineConfig(
        refine_shifts=True, refine_defocus=defocus, refine_optics=optics, refine_schedule=when
    )


@pytest.mark.parametrize("name", OPTICS)
def test_gradient_by_shared_optics_is_that_of_finite_differences(true_series, short, phase, name):
    problem = build_problem(true_series, short)
    problem.microscope = replace(problem.microscope, spherical_aberration_angstrom=1.5e7)
    method = make_method(problem, short, 1, resolve_device("cpu"))
    tilt = 3
    stated = problem.microscope
    factors = all_factors(problem.grid, stated, (name,))
    ((_, _, gradient, _),) = method.equations(phase, [tilt], problem.weight, factors)
    for part in range(gradient.shape[1] - 3):
        losses = []
        for sign in (-1, 1):
            move = np.zeros(gradient.shape[1] - 3)
            move[part] = sign * STEPS[name]
            problem.microscope = changed(stated, name, move)
            losses += [found.loss for found in method.equations(phase, [tilt], problem.weight, factors)]
        slope = (losses[1] - losses[0]) / (2 * STEPS[name])
        # float32 images: losses differ by about 1e-6 of themselves.
        floor = 3e-6 * losses[0] / STEPS[name]
        assert gradient[:, 3 + part].sum() == pytest.approx(slope, rel=0.02, abs=floor)


def test_known_optics_are_found_together(true_series, short):
    wrong = true_series.replace(spherical_aberration_angstrom=1.5e7, aberrations={})
    watch = Watch()
    free = free_of(("C30", "C12"), 3)
    run = short.model_copy(update={"iterations": 40})
    plain = reconstruct(wrong, run, device="cpu")
    found = reconstruct(wrong, run, device="cpu", hooks=(GaussNewton(free), watch))
    assert found.sweeps[-1].error < 0.5 * plain.sweeps[-1].error
    optics = watch.problem.microscope
    truth = build_problem(true_series, short).microscope
    assert abs(optics.spherical_aberration_angstrom - 1.2e7) < 0.5 * 0.3e7
    np.testing.assert_allclose(parts(optics, "C12"), parts(truth, "C12"), atol=8.0)


def test_held_out_images_drive_no_shared_optics(true_series, short, phase):
    def step(spoiled: bool) -> tuple[np.ndarray, np.ndarray]:
        config = short.model_copy(update={"holdout_fraction": 0.2})
        problem = build_problem(true_series.replace(spherical_aberration_angstrom=1.4e7), config)
        assert problem.held_out.any()
        if spoiled:
            problem.images = problem.images.copy()
            problem.images[problem.held_out] = np.roll(problem.images[problem.held_out], 2, axis=-1)
        method = make_method(problem, config, 1, resolve_device("cpu"))
        GaussNewton(free_of(("C30",), 2, defocus="off")).refine(method, problem, phase)
        return parts(problem.microscope, "C30"), problem.shifts_px[problem.held_out]

    plain, spoiled = step(False), step(True)
    np.testing.assert_allclose(plain[0], spoiled[0], rtol=1e-6)
    # ... but they are aligned themselves: columns of the engine are y.
    assert np.all(spoiled[1][:, 0] - plain[1][:, 0] > 0.2)


def test_optics_go_along_to_finer_samplings_and_checkpoints(true_series, short, tmp_path):
    from napari_phaset3m import iterate
    from napari_phaset3m.reconstruct.events import SweepDone

    wrong = true_series.replace(spherical_aberration_angstrom=1.4e7)
    run = short.model_copy(update={"iterations": 4, "multiresolution": (2,)})

    def hooks():
        return (GaussNewton(free_of(("C30",), 1)),)

    whole = reconstruct(wrong, run, device="cpu", hooks=hooks())
    assert whole.settings["refined"]["spherical_aberration_angstrom"] != pytest.approx(1.4e7)
    done, checkpoint = 0, tmp_path / "c.h5"
    for event in iterate(wrong, run, device="cpu", hooks=hooks(), checkpoint=checkpoint):
        done += isinstance(event, SweepDone)
        if done == 6:
            break
    again = reconstruct(wrong, run, device="cpu", hooks=hooks(), checkpoint=checkpoint, resume=True)
    assert again.settings["refined"] == whole.settings["refined"]
    np.testing.assert_array_equal(again.volume, whole.volume)


def test_curvature_tells_that_cs_and_defocus_are_exchangeable(true_series, short):
    curvature = Curvature(("C30", "C12"), 5)
    run = short.model_copy(update={"iterations": 6})
    reconstruct(true_series, run, device="cpu", hooks=(curvature,))
    found = curvature.found
    assert found.names == ("defocus", "C30", "C12 cos", "C12 sin")
    np.testing.assert_allclose(np.diag(found.correlation), 1, atol=1e-6)
    # Phases of -defocus k^2 and Cs k^4 rise alike; that of astigmatism turns with the azimuth.
    assert abs(found.correlation[0, 1]) > 0.7 > abs(found.correlation[0, 2])
    assert np.isfinite(found.shift_sigma_px).all() and (found.shift_sigma_px > 0).all()
