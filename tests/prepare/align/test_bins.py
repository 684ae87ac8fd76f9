"""Where matching starts and ends, with which model, and defoci between trials."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.prepare.align import gradient
from napari_phaset3m.prepare.align.api import iterate_align, stages_of
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.defoci import posterior
from napari_phaset3m.prepare.align.matching import match_bins
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.reference_settings import forward_model, reference_config
from napari_phaset3m.prepare.align.stages import after_start, check_stages
from napari_phaset3m.prepare.align.work import Share, Work
from napari_phaset3m.prepare.events import drain


def series(pixel: float, size: int = 96, **more) -> TiltFocalSeries:
    known = {"defocus_angstrom": np.full((5, 2), 900.0), "spherical_aberration_angstrom": 1.2e7}
    return TiltFocalSeries(
        images=np.ones((5, 2, size, size), np.float32),
        tilt_deg=np.linspace(-40, 40, 5),
        pixel_size_angstrom=pixel,
        energy_ev=300e3,
        **(known | more),
    )


def work(pixel: float) -> Work:
    given = series(pixel)
    return Work(given, AlignConfig(), Alignment.of(given))


@pytest.mark.parametrize(("pixel", "finest"), [(0.5, 2), (0.7, 1), (1.0, 1), (1.3, 2)])
def test_voxels_hold_the_lattice_where_pixels_do(pixel, finest):
    """Voxels of 1.4 to 2.5 angstrom bend the volume, and the shifts with it."""
    assert match_bins(work(pixel))[-1] == finest


def test_known_shifts_are_not_looked_for_at_coarse_bins():
    far = work(1.0)
    near = far.near(np.full((5, 2, 2), 0.1))
    assert match_bins(far)[0] == 8 and match_bins(near) == (1,)
    assert far.near(np.full((5, 2, 2), np.nan)).reach_px is None


def test_flat_waves_are_projected():
    """20 angstrom pixels: the depth of the specimen does not show; 1 angstrom: it does."""
    config = AlignConfig()
    assert [forward_model(series(pixel), config) for pixel in (1.0, 20.0)] == ["multislice", "sirt"]
    assert stages_of(series(1.0), config) == ("match", "gradient")
    assert stages_of(series(20.0), config) == ("coarse", "match")
    assert stages_of(series(20.0, defocus_angstrom=None), config) == ("coarse", "match")


def test_dark_field_is_never_predicted_by_optics():
    """With defocus and Cs stated it was: by phases that such images do not show."""
    stem = series(1.0, normalisation="dark_field")
    assert forward_model(stem, AlignConfig()) == "sirt"
    settings = reference_config(stem, AlignConfig(), 1)
    assert settings.method == "sirt" and settings.ctf_correction == "none"
    assert reference_config(series(20.0), AlignConfig(), 1).ctf_correction == "phase_flip"
    with pytest.raises(ConfigError, match="forward: multislice predicts phases"):
        check_stages(stem, AlignConfig.parse(reference={"forward": "multislice"}))
    with pytest.raises(ConfigError, match="stages: gradient needs the multislice model, and images of dark"):
        check_stages(stem, AlignConfig(stages=("gradient",)))


@pytest.mark.parametrize(
    ("stages", "known", "trials", "begun"),
    [
        (("match", "gradient"), False, 5, (0.3e7, 0.75e7, 1.2e7, 1.65e7, 2.1e7)),
        (("match", "gradient"), False, 1, (1.2e7,)),
        (("match", "optics", "gradient"), False, 5, (1.2e7,)),
        (("gradient",), True, 5, (1.2e7,)),
    ],
)
def test_gradient_goes_on_from_the_cs_that_explains_most(monkeypatch, stages, known, trials, begun):
    """Each value of Cs gets a first round; the rounds after it begin at the best of them."""
    seen: list[float] = []

    def images(now, *_):
        yield from ()
        cs = now.original.spherical_aberration_angstrom
        seen.append(cs)
        return gradient._Round(now, abs(cs - 1.6e7))

    monkeypatch.setattr(gradient, "_images", images)
    config = AlignConfig.parse(
        stages=stages,
        gradient={"gradient_rounds": 2, "refine_optics": True},
        optics={"optics_trials": trials, "optics_cs_sigma_angstrom": 6e6},
    )
    start = replace(work(1.0), config=config, reach_px=1.0 if known else None)
    monkeypatch.setattr(gradient, "rematch", lambda now, *_: _same(now))
    done = drain_stage(gradient.refine(start, Share(0.0, 1.0)))
    best = min(begun, key=lambda cs: abs(cs - 1.6e7))
    assert seen == pytest.approx((*begun, best))
    assert done.original.spherical_aberration_angstrom == pytest.approx(best)


def _same(now):
    yield from ()
    return now


def drain_stage(events):
    while True:
        try:
            next(events)
        except StopIteration as ended:
            return ended.value


def test_known_shifts_are_refined_and_not_matched():
    assert after_start(("match", "gradient"), known=True) == ("axis", "gradient")
    assert after_start(("match", "gradient"), known=True, axis=False) == ("gradient",), "--no-axis"
    assert after_start(("match", "gradient"), known=False) == ("match", "gradient")
    assert after_start(("coarse", "match"), known=True) == ("match",)


def test_defoci_are_found_between_trials():
    """Many electrons: a likelihood narrower than the step of the trials."""
    trials, true, sigma = np.arange(-5, 6) * 40.0, 17.0, 4.0
    likelihood = -0.5 * ((trials - true) / sigma) ** 2
    mean, weight = posterior(trials, likelihood, 80.0)
    assert abs(mean - true) < 0.5
    assert weight.sum() == pytest.approx(1) and weight @ trials == pytest.approx(mean, abs=0.5)


def test_faint_images_leave_the_defocus_as_stated():
    trials = np.arange(-5, 6) * 40.0
    mean, weight = posterior(trials, np.zeros(11), 80.0)
    assert abs(mean) < 1e-6 and weight.max() < 0.25


def test_good_shifts_are_not_given_up_for_noise(shifted):
    """Begun at the truth with its small errors, matching must not take the shifts that noise prefers."""
    given = shifted.series
    start = Alignment.of(given).replace(
        shifts_px=shifted.shifts_px, shift_error_px=np.full(shifted.shifts_px.shape, 0.02)
    )
    config = AlignConfig.parse(stages=("match",), match={"match_rounds": 2}, threads=1)
    done = drain(iterate_align(given, config, start=start))
    shift, defocus = shifted.errors(done.result.alignment)
    assert shift < 0.1
    assert defocus < 0.7 * shifted.errors(start)[1]


def test_defoci_are_found_where_shifts_are_known(shifted):
    """What "auto" means after a start with errors: defoci are found, and shifts stay as good as they were."""
    given, rng = shifted.series, np.random.default_rng(5)
    start = Alignment.of(given).replace(
        shifts_px=shifted.shifts_px + rng.normal(0, 0.1, shifted.shifts_px.shape),
        shift_error_px=np.full(shifted.shifts_px.shape, 0.05),
    )
    config = AlignConfig.parse(match={"match_bins": (1,)}, gradient={"gradient_rounds": 4}, threads=1)
    stages = after_start(("match", "gradient"), known=True)
    done = drain(iterate_align(given, config.model_copy(update={"stages": stages}), start=start))
    shift, defocus = shifted.errors(done.result.alignment)
    assert [(stage.name, stage.kept) for stage in done.result.stages] == [("axis", True), ("gradient", True)]
    axis = done.result.axis
    assert abs(axis.angle_deg) < 3 * axis.angle_error_deg < 1.5, "it was stated right"
    assert shift < 0.06
    assert defocus < 15


@pytest.mark.parametrize(("section", "field"), [("match", "match_bins"), ("gradient", "gradient_bins")])
def test_bins_that_rise_are_refused(section, field):
    with pytest.raises(ConfigError, match=f"{field}: 2,4,4 does not fall.*largest first"):
        AlignConfig.parse(**{section: {field: (2, 4, 4)}})
    assert getattr(getattr(AlignConfig.parse(**{section: {field: (4, 4, 2)}}), section), field) == (4, 4, 2)
