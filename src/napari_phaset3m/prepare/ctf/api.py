"""Find the defocus and CTF of every image of a series: as a generator of events, or in one call."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from napari_phaset3m.analyse.ctf import series_microscope
from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.prepare.ctf import finish as ending
from napari_phaset3m.prepare.ctf.config import CtfConfig
from napari_phaset3m.prepare.ctf.curves import RingPicture, ring_picture
from napari_phaset3m.prepare.ctf.exit_wave import ExitWaveFit, can_serve
from napari_phaset3m.prepare.ctf.fittable import check_has_rings
from napari_phaset3m.prepare.ctf.group import GroupFit, fit_group, image_spectra, limits, tile_for
from napari_phaset3m.prepare.ctf.model import CtfValues, phi12_of
from napari_phaset3m.prepare.ctf.read import image_results
from napari_phaset3m.prepare.ctf.result import CtfResult, ImageCtf
from napari_phaset3m.prepare.events import Done, Event, Finish, Progress, drain

__all__ = ["find_ctf", "iterate_ctf", "thon_rings"]

#: With method auto, and focal groups at hand: fewer trusted images than this part and the exit wave serves.
ENOUGH = 0.75
#: Part of the tilts at the end of the range searched from which on none is believed.
END_SHARE = 0.25


def iterate_ctf(
    series: TiltFocalSeries, config: CtfConfig | None = None, *, finish: Finish | None = None
) -> Iterator[Progress | Done]:
    """Fit defocus, astigmatism and phase shift, yielding progress.

    Parameters
    ----------
    series : TiltFocalSeries
        Its pixel size, voltage and Cs are used. Images marked as not used are not fitted.
    config : CtfConfig, optional
    finish : Finish, optional
        Asked between two images; what is not fitted then keeps its stated defocus.

    Yields
    ------
    Progress
        After every tilt fitted, ``detail`` has ``tilt``, ``focus``, ``curve`` (:class:`.curves.RingCurve`),
        ``rings`` (:class:`.curves.RingPicture`) and ``defocus_angstrom`` `(n_tilt, n_focus)`, nan where
        nothing is known yet.
    Done
        ``result`` is a :class:`.result.CtfResult`, and ``series`` has it applied.

    Raises
    ------
    DataError
        Cs is missing; images are too small; no image could be fitted and no defocus is stated.
    ConfigError
        What is asked for does not go together with the series.
    """
    config = config or CtfConfig()
    _check_images(series)
    state = _State(series, config, _microscope(series))
    _check(state)
    if config.method != "exit_wave":
        yield from _thon(state, finish)
    if _needs_exit_wave(state):
        yield from _exit_wave(state, finish)
    images = ending.completed(series, state.images, state.joint)
    method, message = ending.outcome(images, state.reason, state.refined, state.end)
    message += ending.misaligned(state.apart_px)
    result = CtfResult(
        images=images,
        tilt_deg=series.tilt_deg,
        config=config,
        method=method,
        message=message,
        spherical_aberration_angstrom=state.cs,
    )
    told = replace(result, message=message + ending.phase_shift_words(result))
    yield Done(result.apply(series) if result.supported else series, told)


def find_ctf(
    series: TiltFocalSeries,
    config: CtfConfig | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Done:
    """:func:`iterate_ctf` in one call.

    Parameters
    ----------
    series, config
        As there.
    on_event : callable, optional
        Called with every event.
    """
    return drain(iterate_ctf(series, config), on_event)


@dataclass(eq=False)
class _State:
    """What is known so far."""

    series: TiltFocalSeries
    config: CtfConfig
    microscope: Microscope
    images: dict[tuple[int, int], ImageCtf] = field(default_factory=dict)
    reason: str | None = None
    refined: bool = True
    cs: float | None = None
    apart_px: float | None = None
    #: How far exit waves were searched, where most tilts end there, angstrom.
    end: float | None = None

    @property
    def used(self) -> np.ndarray:
        assert self.series.used is not None
        return self.series.used

    @property
    def joint(self) -> bool:
        several = self.series.n_focus > 1 and self.series.defocus_angstrom is not None
        return self.config.group != "image" and several

    def defocus(self) -> np.ndarray:
        """`(n_tilt, n_focus)`, nan where unknown."""
        found = np.full((self.series.n_tilt, self.series.n_focus), np.nan)
        for place, image in self.images.items():
            found[place] = image.defocus_angstrom
        return found


def _microscope(series: TiltFocalSeries) -> Microscope:
    return series_microscope(series, convergence_semiangle_mrad=series.convergence_semiangle_mrad or 0.0)


def _check_images(series: TiltFocalSeries) -> None:
    """Refuse images that no optics would help: before any are asked for."""
    if not np.any(series.used):
        raise DataError("no image is in use", field="mask", remedy="Mark those to fit as used")
    check_has_rings(series)


def _check(state: _State) -> None:
    series, config = state.series, state.config
    if config.group == "joint" and not state.joint:
        why = "there is one focus only" if series.n_focus == 1 else "their defocus is not stated"
        raise ConfigError(f"group: joint needs foci with stated steps, but {why}. Fit images one by one")
    if config.method == "exit_wave":
        if config.fit_phase_shift:
            raise ConfigError("fit_phase_shift: shows in Thon rings, not in the exit wave. Use --method thon")
    else:
        limits(series, config, tile_for(series, config, state.microscope, None))


def _thon(state: _State, finish: Finish | None) -> Iterator[Progress]:
    held: CtfValues | None = None
    yield from _round(state, held, finish, 0.0, 1.0 if state.config.astigmatism != "series" else 0.5)
    if state.config.astigmatism == "series":
        trusted = [image for image in state.images.values() if image.confidence > 0]
        if trusted:
            cos = float(np.median([i.c12_angstrom * np.cos(2 * i.phi12_rad) for i in trusted]))
            sin = float(np.median([i.c12_angstrom * np.sin(2 * i.phi12_rad) for i in trusted]))
            yield from _round(state, CtfValues(0.0, cos, sin), finish, 0.5, 1.0)
    if not state.joint:
        state.images = ending.distrusted(state.images)


def _round(
    state: _State, held: CtfValues | None, finish: Finish | None, start: float, end: float
) -> Iterator[Progress]:
    """Fit every group once."""
    groups = []
    for tilt in range(state.series.n_tilt):
        foci = [int(f) for f in np.flatnonzero(state.used[tilt])]
        groups += [(tilt, foci)] if state.joint and foci else [(tilt, [f]) for f in foci]
    for number, (tilt, foci) in enumerate(groups):
        if finish is not None and finish.finish_requested():
            return
        fraction = start + (end - start) * number / len(groups)
        text = f"Thon rings of tilt {tilt + 1} of {state.series.n_tilt}"
        try:
            found = yield from _watched(fit_group(state.series, state.config, state.microscope, tilt, foci,
                                                  held=held), text, fraction)  # fmt: skip
        except DataError as error:
            for focus in foci:
                state.images[tilt, focus] = ImageCtf(tilt, focus, note=str(error))
            continue
        fitted = image_results(found, tilt, state.config, state.microscope)
        state.images |= {(tilt, image.focus): image for image in fitted}
        yield Progress(text, fraction, _detail(state, found, fitted[0]))


def _watched(
    work: Generator[str, None, GroupFit], text: str, fraction: float
) -> Generator[Progress, None, GroupFit]:
    while True:
        try:
            part = next(work)
        except StopIteration as end:
            found: GroupFit = end.value
            return found
        yield Progress(f"{text}: {part}", fraction)


def _detail(state: _State, found: GroupFit, image: ImageCtf) -> dict[str, Any]:
    middle = _middle(found.found[image.focus])
    return {
        "tilt": image.tilt,
        "focus": image.focus,
        "curve": image.curve,
        "rings": ring_picture(middle, found.fit.values, state.microscope, state.config.amplitude_contrast),
        "defocus_angstrom": state.defocus(),
    }


def _middle(items: list[Any]) -> Any:
    return min(items, key=lambda item: abs(item.spectrum.x_angstrom))


def _needs_exit_wave(state: _State) -> bool:
    if state.config.method == "exit_wave":
        return True
    # A phase shift shows in rings alone.
    if state.config.method == "thon" or not state.images or state.config.fit_phase_shift:
        return False
    trusted = np.mean([image.confidence > 0 for image in state.images.values()])
    if trusted >= ENOUGH:
        return False
    why_not = can_serve(state.series)
    if why_not is not None:
        state.reason = f"exit waves cannot be compared, as {why_not}"
        return False
    state.reason = f"Thon rings cannot be trusted in {1 - trusted:.0%} of the images"
    return True


def _exit_wave(state: _State, finish: Finish | None) -> Iterator[Progress]:
    fit = ExitWaveFit(state.series, state.config, state.microscope)
    state.apart_px = fit.apart_px()
    for text, fraction in fit.run(finish):
        yield Progress(text, fraction, {"defocus_angstrom": fit.defocus()})
    state.refined = fit.refined
    reach = state.config.nominal_error_angstrom
    if fit.refined and np.mean([fit.at_end(tilt) for tilt in fit.tilts]) > END_SHARE:
        state.end, state.refined = reach, False
    if state.config.fit_spherical_aberration and state.refined:
        state.cs = state.microscope.spherical_aberration_angstrom + fit.shared.cs_change
    cos, sin = (
        phi12_of(dict(state.series.aberrations))
        if state.config.astigmatism == "given"
        else (fit.shared.c12_cos, fit.shared.c12_sin)
    )
    if state.end is not None:
        cos, sin = phi12_of(dict(state.series.aberrations))  # fitted to a wrong defocus
    shared = CtfValues(0.0, cos, sin)
    for tilt in fit.tilts:
        for focus, step in zip(tilt.foci, tilt.steps, strict=True):
            found = fit.image(tilt, focus, float(step), shared)
            end = reach if fit.refined and (fit.at_end(tilt) or state.end) else None
            if end is not None or not fit.refined:
                found = ending.left_as_stated(found, float(step), state.config.stated_error_angstrom, end=end)
            state.images[tilt.number, focus] = found


def thon_rings(series: TiltFocalSeries, result: CtfResult, tilt: int, focus: int) -> RingPicture:
    """Thon rings of one image beside what the table says of it (also after an edit).

    Parameters
    ----------
    series : TiltFocalSeries
        The one that was fitted (or a copy with the result applied).
    result : CtfResult
    tilt, focus : int

    Raises
    ------
    DataError
        The image has no defocus in the table.
    """
    image, config = result.images[tilt][focus], result.config
    if not np.isfinite(image.defocus_angstrom):
        raise DataError(
            f"the image at {result.tilt_deg[tilt]:g}°, focus {focus + 1}, has none",
            field="defocus",
            remedy="Set it by hand",
        )
    microscope = _microscope(series)
    tile = tile_for(series, config, microscope, image.defocus_angstrom)
    middle = _middle(image_spectra(series, config, microscope, (tilt, focus), tile))
    values = CtfValues(
        image.defocus_angstrom,
        float(image.c12_angstrom * np.cos(2 * image.phi12_rad)),
        float(image.c12_angstrom * np.sin(2 * image.phi12_rad)),
        float(np.radians(image.phase_shift_deg)),
    )
    return ring_picture(middle, values, microscope, config.amplitude_contrast)
