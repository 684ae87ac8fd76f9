"""The stage that lets light leave the field, on images that were cut out of wider ones."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m import TiltFocalSeries
from napari_phaset3m.config import ConstraintConfig, ReconstructionConfig
from napari_phaset3m.core.backend import resolve_device
from napari_phaset3m.optimise.auto_config import AutoConfig
from napari_phaset3m.optimise.config import OptimiseConfig, Range, TrialConfig
from napari_phaset3m.optimise.gradient import gradient
from napari_phaset3m.optimise.padded import border_px, padded
from napari_phaset3m.optimise.stages import State
from napari_phaset3m.prepare.events import drain
from napari_phaset3m.reconstruct.methods import make_method
from napari_phaset3m.reconstruct.problem import build_problem

WIDE, N, VOXEL, TILTS, CS = 64, 32, 0.7, np.linspace(-60, 60, 11), 4.0e7
FREE = ConstraintConfig(atomic_basis_sigma_angstrom=None, sparsity=0.0)
CONFIG = ReconstructionConfig(slices=8, constraints=FREE, threads=1)
TRIAL = TrialConfig(bin=1, coarser=(2,), sweeps=6, holdout_fraction=0.15)


def asked(trial: TrialConfig = TRIAL, **changes) -> AutoConfig:
    search = OptimiseConfig(ranges=(Range(name="cs_angstrom"),), trial=trial)
    return AutoConfig(**{"search": search, "bins": (2,), "padded_sweeps": 24, **changes})


@pytest.fixture(scope="module")
def cut_out() -> TiltFocalSeries:
    """The middle of images whose light had room; nothing of it came back on the other side."""
    wide = TiltFocalSeries(
        images=np.ones((TILTS.size, 2, WIDE, WIDE), np.float32),
        tilt_deg=TILTS,
        pixel_size_angstrom=VOXEL,
        energy_ev=3e5,
        defocus_angstrom=[400.0, 900.0],
        spherical_aberration_angstrom=CS,
        focal_spread_angstrom=20.0,
    )
    config = CONFIG.model_copy(update={"padding_px": 0, "depth_angstrom": N * VOXEL})
    problem = build_problem(wide, config)
    method = make_method(problem, config, 1, resolve_device("cpu"))
    nz = problem.geometry.nz
    z, x, y = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in (nz, WIDE, WIDE)), indexing="ij")
    centres = np.random.default_rng(4).uniform(-6, 6, (12, 3))
    potential = sum(30 * np.exp(-((z - a) ** 2 + (x - b) ** 2 + (y - c) ** 2) / 2) for a, b, c in centres)
    phase = np.ascontiguousarray(potential[None] / method.volts_per_unit, np.float32)
    images = np.stack([method.predict(phase, t) for t in range(TILTS.size)]).swapaxes(2, 3)
    edge = (WIDE - N) // 2
    return wide.replace(images=np.ascontiguousarray(images[:, :, edge:-edge, edge:-edge]))


def run(series: TiltFocalSeries, wanted: AutoConfig) -> State:
    state = State(series, 1.0)
    events = padded(state, wanted, CONFIG, None)
    while True:
        try:
            next(events)
        except StopIteration as end:
            state.notes.append(str(end.value.search.trial.padding_px))
            return state


def test_images_are_explained_better_where_light_may_leave_the_field(cut_out):
    wrong = cut_out.replace(spherical_aberration_angstrom=CS + 1e6)
    state = run(wrong, asked())
    (stage,) = state.stages
    border = border_px(wrong, asked(), CONFIG)
    assert stage.name == "padded" and stage.kept and stage.changed["border_px"] == border
    assert state.notes == [str(border)] and N // 4 < border <= N
    assert abs(state.series.spherical_aberration_angstrom - CS) < 6e5
    trial = TRIAL.model_copy(update={"sweeps": 24})
    plain = drain(gradient(wrong, CONFIG, optics=("C30", "C12"), bins=(2,), sweeps=24, trial=trial))
    assert stage.after < min(stage.before, 0.7 * plain.result.held_out)


def test_the_stage_is_left_out_where_it_says_nothing(cut_out):
    assert border_px(cut_out, asked(), CONFIG) > 0
    assert border_px(cut_out, asked(padded_sweeps=0), CONFIG) == 0
    assert border_px(cut_out, asked(), CONFIG.model_copy(update={"padding_px": 8})) == 0
    for chosen in ({"padding_px": "auto"}, {"crop_px": 24}, {"bin": 2}):
        assert border_px(cut_out, asked(TRIAL.model_copy(update=chosen)), CONFIG) == 0
    rng, counts = np.random.default_rng(0), 0.5
    noisy = cut_out.replace(images=(rng.poisson(cut_out.images * counts) / counts).astype(np.float32))
    assert border_px(noisy, asked(), CONFIG) == 0
    near = cut_out.replace(spherical_aberration_angstrom=1e5, defocus_angstrom=[20.0, 40.0])
    assert run(near, asked()).stages == []


def test_an_early_end_leaves_the_stage_out(cut_out):
    class Finish:
        def finish_requested(self) -> bool:
            return True

    state = State(cut_out, 1.0)
    assert list(padded(state, asked(), CONFIG, Finish())) == [] and state.stages == []
