"""What a search cannot find, said before it starts."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.aberrations import KRIVANEK
from napari_phaset3m.core.constants import wavelength_angstrom
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.optimise.config import OptimiseConfig, Range, TrialConfig
from napari_phaset3m.optimise.parameters import PARAMETERS
from napari_phaset3m.optimise.proposers import grid_edge
from napari_phaset3m.reconstruct.inputs import NO_PHASE
from napari_phaset3m.reconstruct.problem import held_out_images, is_linear

#: What damps all images of a series alike.
_DAMPING = ("focal_spread_angstrom", "b_factor_angstrom2")
#: Sweeps from which on that is told from how sharp the volume is.
CONVERGED_SWEEPS = 80
#: Changes of the transfer's phase (radians) or envelope below this cannot be seen in any image.
_UNSEEN = 0.05


def bounds(item: Range, series: TiltFocalSeries, config: ReconstructionConfig) -> tuple[float, float]:
    """Lower and upper bound of a range: as given, else around the stated value.

    Raises
    ------
    ConfigError
        A given bound lies on the wrong side of the default one, or below what makes sense.
    """
    parameter = PARAMETERS[item.name]
    now = parameter.get(series, config)
    span = parameter.span if item.sigma is None else 3 * item.sigma
    low = max(now - span, parameter.least) if item.low is None else item.low
    high = now + span if item.high is None else item.high
    if low < parameter.least:
        raise ConfigError(f"bounds of {item.name}: {low:g} is below {parameter.least:g}, its least value")
    if low >= high:
        raise ConfigError(
            f"bounds of {item.name}: {low:g} is not below {high:g}; give both bounds, the lower one first"
        )
    if item.scale == "log" and low <= 0:
        raise ConfigError(f"bounds of {item.name}: a logarithmic range needs bounds above 0, not {low:g}")
    if item.sigma is not None and not low - 3 * item.sigma <= now <= high + 3 * item.sigma:
        raise ConfigError(
            f"{item.name}: its prior, {now:g} ± {item.sigma:g}, has nothing in {low:g} … {high:g}; "
            "move the bounds, or leave the prior out"
        )
    return low, high


def check_stated(series: TiltFocalSeries) -> None:
    """Refuse a series that lacks what every trial needs.

    Raises
    ------
    ConfigError
    """
    if series.defocus_angstrom is None:
        raise ConfigError("defocus_angstrom: is not known; fit it first (phaset3m ctf) or give it")
    if series.spherical_aberration_angstrom is None:
        raise ConfigError("spherical_aberration_angstrom: is not known; give a first guess (--cs)")


def check(series: TiltFocalSeries, config: ReconstructionConfig, wanted: OptimiseConfig) -> tuple[str, ...]:
    """Refuse a search that cannot find anything; notes on what it can find only badly.

    Raises
    ------
    ConfigError
        No free parameter, reversed bounds, or one that the data cannot determine.
    """
    if series.is_dark_field and not is_linear(config):
        raise ConfigError(
            f"{NO_PHASE.format(method=config.method)}. Search the optics of bright-field images"
        )
    check_stated(series)
    if not wanted.ranges:
        raise ConfigError("ranges: no parameter is free; name at least one, e.g. cs_angstrom")
    if is_linear(config):
        raise ConfigError("method: linear methods use no optics; choose multislice or singleslice")
    notes = _proposed(wanted)
    assert series.used is not None
    share, count = wanted.trial.holdout_fraction, int(series.used.sum())
    if not held_out_images(series, config, share).any():
        raise ConfigError(
            f"holdout_fraction: {share:g} of {count} images is none, and trials are judged on them; raise it"
        )
    for item in wanted.ranges:
        low, high = bounds(item, series, config)
        reason = _undetermined(item.name, (low, high), series, (config, wanted))
        if reason:
            raise ConfigError(f"{item.name}: {reason}")
        notes += _doubtful(item.name, series, wanted)
    return tuple(dict.fromkeys(notes))


def _proposed(wanted: OptimiseConfig) -> list[str]:
    """Refuse a way of proposing points that cannot be taken; what a grid will be."""
    if wanted.backend == "optuna" and wanted.method != "bayes":
        raise ConfigError(f"backend: optuna is not used by method {wanted.method}; leave one of them out")
    if wanted.backend == "optuna" and find_spec("optuna") is None:
        raise ConfigError("backend: Optuna is not installed; pip install optuna, or use skopt")
    if wanted.method != "grid":
        return []
    n = len(wanted.ranges)
    edge = grid_edge(n, wanted.calls)
    if edge < 2:
        raise ConfigError(
            f"calls: {wanted.calls} trials make no grid of {n} parameter{'s' * (n > 1)}; "
            f"give at least {2**n}, better {5**n}"
        )
    shape = "" if n == 1 else " × ".join([str(edge)] * n) + " = "
    return [f"grid of {shape}{edge**n} trials (at most {wanted.calls})"]


def _undetermined(
    name: str,
    limits: tuple[float, float],
    series: TiltFocalSeries,
    how: tuple[ReconstructionConfig, OptimiseConfig],
) -> str | None:
    config, trial = how[0], how[1].trial
    if name == "tilt_offset_deg":
        return "images cannot tell it: the same tilt added everywhere only turns the volume about the axis"
    if name == "tilt_axis_offset_px" and trial.refine_shifts:
        return "shifts of the images are refined in every trial and take it up; switch refine_shifts off"
    refined = PARAMETERS[name].refined_as
    if refined and refined in trial.refine_optics:
        return f"{refined} is refined in every trial; take it out of refine_optics to search for it"
    if series.n_tilt == 1 and PARAMETERS[name].kind == "geometry" and name != "magnification":
        return "one tilt alone does not tell the tilt axis"
    if name in _DAMPING and not _converges(trial, config):
        return (
            "a sharper volume makes up for it, and the score of a short trial tells how fast it sharpens; "
            f"give trials bin 1, sweeps {CONVERGED_SWEEPS} and padding auto, or leave it as stated"
        )
    if _effect(name, limits, series, trial.bin) < _UNSEEN:
        return (
            "no value in its range changes the images up to the Nyquist frequency of trials "
            f"(bin {trial.bin}); widen the range or lower the bin"
        )
    return None


def _converges(trial: TrialConfig, config: ReconstructionConfig) -> bool:
    """Whether a trial goes on until the sharpness of its volume is the images' own."""
    padding = trial.padding_px if config.padding_px == "auto" else config.padding_px
    return trial.bin == 1 and trial.sweeps >= CONVERGED_SWEEPS and padding != 0


def _effect(name: str, limits: tuple[float, float], series: TiltFocalSeries, bin_: int) -> float:
    """Largest change of phase (radians) or envelope over the range, at Nyquist; inf where it is not known."""
    wavelength = wavelength_angstrom(series.energy_ev)
    k = 0.5 / (series.pixel_size_angstrom * bin_)
    width = limits[1] - limits[0]
    refined = PARAMETERS[name].refined_as
    if refined == "focal_spread":
        envelopes = [np.exp(-0.5 * (np.pi * wavelength * value * k**2) ** 2) for value in limits]
        return float(abs(envelopes[1] - envelopes[0]))
    if refined in KRIVANEK:
        order = KRIVANEK[refined][0]
        return float(2 * np.pi / wavelength * width * (wavelength * k) ** (order + 1) / (order + 1))
    if name == "b_factor_angstrom2":
        return float(1 - np.exp(-width * k**2 / 4))
    return float("inf")


def _doubtful(name: str, series: TiltFocalSeries, wanted: OptimiseConfig) -> list[str]:
    notes = []
    if name == "cs_angstrom" and wanted.trial.refine_defocus != "off":
        notes.append("Cs and a common change of all defoci are partly exchangeable: read their errors as one")
    if name == "defocus_offset_angstrom" and wanted.trial.refine_defocus != "off":
        notes.append("defocus, refined in every trial, takes up part of its offset: a flat score is no fault")
    if name == "b_factor_angstrom2":
        notes.append("the B factor is told to about 1 Å² only: the model's own sampling damps as much")
    if name == "magnification":
        notes.append("magnification only shows against defocus and Cs: the volume scales along with it")
    if series.n_focus == 1 and PARAMETERS[name].kind == "optics":
        notes.append("one focus at each tilt: optics and specimen are hard to tell apart")
    return notes
