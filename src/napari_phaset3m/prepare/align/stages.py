"""The stages of an alignment: which there are, which suit a series, and why others do not."""

from __future__ import annotations

from collections.abc import Callable

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.prepare.align import local
from napari_phaset3m.prepare.align.axis_model import find_axis
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.fiducials import beads
from napari_phaset3m.prepare.align.focal import focal
from napari_phaset3m.prepare.align.gradient import refine
from napari_phaset3m.prepare.align.grid import search
from napari_phaset3m.prepare.align.matching import match
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.model_free import coarse
from napari_phaset3m.prepare.align.reference_settings import forward_model, why_not_multislice
from napari_phaset3m.prepare.align.shared import optics, tells
from napari_phaset3m.prepare.align.work import Share, StageEvents, Work
from napari_phaset3m.reconstruct.sizing import FEWEST_PIXELS

STAGES: dict[str, Callable[[Work, Share], StageEvents]] = {
    "coarse": coarse,
    "beads": beads,
    "focal": focal,
    "match": match,
    "optics": optics,
    "axis": find_axis,
    "grid": search,
    "gradient": refine,
    "local": local.local,
}


#: Tilts in use that a stage needs; of the others three.
_LEAST_TILTS = {"focal": 1, "match": 2, "optics": 2, "grid": 2, "gradient": 2}
_COUNT = {1: "one tilt", 2: "two tilts", 3: "three tilts"}


def stages_of(series: TiltFocalSeries, config: AlignConfig) -> tuple[str, ...]:
    """The stages to run, those that "auto" means included."""
    if config.stages != "auto":
        return config.stages
    if _tilts(series) == 1 and not why_not_stage("focal", series, config):
        return ("focal",)
    if forward_model(series, config) != "multislice":
        return ("coarse", "match")
    return ("match", "gradient") if tells(Work(series, config, Alignment.of(series))) else ("match",)


def after_start(stages: tuple[str, ...], *, known: bool, axis: bool = True) -> tuple[str, ...]:
    """Those that are left where another alignment is the start.

    Where it tells how good its shifts are, steps inside the reconstruction are enough, and safer: matching
    to volumes of a few sweeps lets single tilts run into false minima (docs/alignment_measured.md). The
    axis, which that alignment found without a model of the images, is looked for with one.

    Parameters
    ----------
    stages : tuple of str
        What :func:`stages_of` gives for "auto".
    known : bool
        The errors of the shifts are known.
    axis : bool
        The axis may be searched.
    """
    left = tuple(name for name in stages if name != "coarse")
    if not known or "gradient" not in left:
        return left
    return ("axis", "gradient") if axis else ("gradient",)


def why_not_stage(name: str, series: TiltFocalSeries, config: AlignConfig) -> str:
    """Why a stage cannot be run on a series; empty when it can.

    Parameters
    ----------
    name : str
        Of :data:`STAGES`.
    series : TiltFocalSeries
    config : AlignConfig
    """
    least, there = _LEAST_TILTS.get(name, 3), _tilts(series)
    if there < least:
        return f"needs {_COUNT[least]} in use, but there {'is' if there == 1 else 'are'} {there}"
    known = series.defocus_angstrom is not None and series.spherical_aberration_angstrom is not None
    if name == "focal" and (series.n_focus == 1 or not known):
        return "needs several foci with stated defocus and Cs"
    if name in ("optics", "axis", "gradient"):
        return why_not_multislice(series, config)
    if name == "local":
        return local.why_not(series, config.local)
    return ""


def _tilts(series: TiltFocalSeries) -> int:
    """How many tilts have an image in use."""
    assert series.used is not None
    return int(series.used.any(1).sum())


def check_stages(series: TiltFocalSeries, config: AlignConfig) -> None:
    """Refuse stages, and bins of them, that cannot be run, before any is.

    Raises
    ------
    ConfigError
    """
    if series.is_dark_field and config.reference.forward == "multislice":
        raise ConfigError("forward: multislice predicts phases, and images of dark field show none. Use sirt")
    stages = stages_of(series, config)
    _check_bins(series, stages, config)
    for name in stages:
        why = why_not_stage(name, series, config)
        if why:
            if why.startswith("local_"):
                raise ConfigError(why)  # it names a setting of its own
            raise ConfigError(f"stages: {name} {why}{'' if config.stages == 'auto' else '; leave it out'}")


def _check_bins(series: TiltFocalSeries, stages: tuple[str, ...], config: AlignConfig) -> None:
    ny, nx = series.image_shape
    bins = {
        "match_bins": config.match.match_bins,
        "gradient_bins": config.gradient.gradient_bins,
        "grid_bin": (config.grid.grid_bin,),
    }
    for name, given in bins.items():
        stage = name.partition("_")[0]
        if stage in stages and given != "auto" and round(min(ny, nx) / max(given)) < FEWEST_PIXELS:
            most = max(1, min(ny, nx) // FEWEST_PIXELS)
            raise ConfigError(
                f"{name}: {max(given)} is too coarse for images of {nx} x {ny} pixels. Use {most} at most"
            )
