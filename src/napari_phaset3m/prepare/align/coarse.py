"""Coarse alignment of the tilts: centre of mass, correlation of neighbours, common line, consistency.

None of it needs the optics or a volume. In this order, each from what the one before found:

1. centre of mass, where vacuum surrounds the specimen;
2. cross-correlation of every tilt with several neighbours, stretched by the ratio of their cosines,
   solved for all tilts at once (network.py), in a few rounds;
3. shifts along the axis from the projections onto it (mass.py);
4. all shifts and the angle of the axis from the consistency of the projections (consistency.py).

The sign of the tilts cannot be told from projections: see model.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from napari_phaset3m.core.resample import fourier_resample
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align.added import added_foci, working_factor
from napari_phaset3m.prepare.align.apply import apply
from napari_phaset3m.prepare.align.axis import Axis, Scan, as_stated, believed, of_bands, scan_axis
from napari_phaset3m.prepare.align.coarse_config import CoarseConfig
from napari_phaset3m.prepare.align.correlate import correlate
from napari_phaset3m.prepare.align.mass import line_shifts, mass_shifts
from napari_phaset3m.prepare.align.model import Alignment, specimen_translation
from napari_phaset3m.prepare.align.network import Pair, pairs_of, solve
from napari_phaset3m.prepare.align.refine_coarse import Refined, given_axes, refine
from napari_phaset3m.prepare.align.signal import TiltImages, enough, placed, tilt_images
from napari_phaset3m.prepare.align.stretch import stretched
from napari_phaset3m.prepare.events import Done, Finish, Progress
from napari_phaset3m.prepare.history import recorded

_LEAST_PROMINENCE = 2.5
_LINE_PX = 2.0
_LEAST_TILTS = 5
_FEWER = 0.6
#: First and second scan for the axis: step (the first's for a reach of 4), and reach of the second, degrees.
_STEP_DEG, _FINE_STEP_DEG, _NEAR_DEG = 0.75, 0.25, 1.25


@dataclass(frozen=True, slots=True, eq=False)
class CoarseResult:
    """What the coarse alignment found.

    Attributes
    ----------
    alignment : Alignment
        Of the given series.
    axis_angle_deg : float
        Of the axis in the given images, 0 when it was not searched.
    axis_error_deg : float
        One standard deviation; NaN when it was not searched.
    axis_beyond : bool
        It is not within the range that was searched.
    in_vacuum : bool
        Whether the specimen stands free.
    stages : tuple of (str, float)
        What was done, and the RMS change of shifts that it brought, pixels.
    """

    alignment: Alignment
    axis_angle_deg: float
    axis_error_deg: float
    axis_beyond: bool
    in_vacuum: bool
    stages: tuple[tuple[str, float], ...]


class _State:
    """Shifts while they are found, in pixels of the working images."""

    def __init__(self, tilts: TiltImages, shifts: np.ndarray, bin_factor: float) -> None:
        self.tilts, self.shifts, self.bin = tilts, shifts, bin_factor
        self.angle_deg = 0.0
        self.free = False
        self.error = np.full_like(shifts, np.nan)
        self.stages: list[tuple[str, float]] = []

    def move(self, change: np.ndarray, name: str) -> None:
        """Take in a change told in aligned axes; what only moves the specimen is left out."""
        usable = self.tilts.usable
        translation = specimen_translation(change[usable][:, None], self.tilts.tilt_deg[usable])
        angle = np.radians(self.tilts.tilt_deg)
        z, y, x = translation
        free = change - np.stack((np.full_like(angle, y), x * np.cos(angle) - z * np.sin(angle)), -1)
        given = given_axes(change, float(np.radians(self.angle_deg)))
        self.shifts = np.where(usable[:, None], self.shifts + given, self.shifts)
        self.stages.append((name, float(np.sqrt((free[usable] ** 2).sum(-1).mean())) * self.bin))


def iterate_coarse(
    series: TiltFocalSeries,
    config: CoarseConfig | None = None,
    *,
    stated: Axis | None = None,
    finish: Finish | None = None,
) -> Iterator[Progress | Done]:
    """Align the tilts coarsely.

    Parameters
    ----------
    series : TiltFocalSeries
        Its shifts are the start, and shifts between foci are kept.
    config : CoarseConfig, optional
    stated : Axis, optional
        What is known of the axis in these images; within the range of the search of 0 when omitted.
    finish : Finish, optional
        Ends after the stage at hand.

    Yields
    ------
    Progress, at last Done
        ``Done.result`` is a :class:`CoarseResult`; its series has the alignment applied.

    Raises
    ------
    ConfigError, DataError
        There is no such focus, or fewer than three tilts are used.
    """
    config = config or CoarseConfig()
    stated = stated or as_stated(config.axis_range_deg)
    start = Alignment.of(series)
    added = (yield from added_foci(series, start, config, finish)) if config.focus == "auto" else None
    tilts = tilt_images(series, config, start) if added is None else enough(added)
    state, first = _begin(tilts, start, config)
    yield from _shifts(state, config, finish)
    found = Refined(state.shifts, state.error, 0.0, np.nan)
    if not _ending(finish):
        for found in _refined(state, config, stated):
            detail = {"shifts_px": found.shifts_px * state.bin, "axis_angle_deg": found.angle_deg}
            yield Progress("Consistency of the projections", 0.4 + 0.3 * found.fraction, detail)
            if _ending(finish):
                break
    others = _other_foci(series, config, tilts.focus)
    angles, errors = [found.angle_deg], [found.angle_error_deg]
    for number, focus in enumerate(others):
        if _ending(finish):
            break
        again, _ = _begin(
            tilt_images(series, config.model_copy(update={"focus": focus}), start), start, config
        )
        again.shifts = state.shifts.copy()
        for _ in _shifts(again, config, finish):
            yield Progress(f"Tilt axis from focus {focus}", 0.7 + 0.3 * number / len(others))
        last = found
        for last in _refined(again, config, stated):
            yield Progress(
                f"Tilt axis from focus {focus}", 0.7 + 0.3 * (number + last.fraction) / len(others)
            )
        angles.append(last.angle_deg)
        errors.append(last.angle_error_deg)
    joined = _joined(found, angles, errors)
    axis = believed(Axis(joined.angle_deg, joined.angle_error_deg), stated)
    joined = replace(joined, angle_deg=axis.angle_deg, angle_error_deg=axis.error_deg)
    yield _done(series, config, (start, first), state, joined)


def _shifts(state: _State, config: CoarseConfig, finish: Finish | None) -> Iterator[Progress]:
    """Centre of mass, neighbours and common line."""
    shifts, state.free = mass_shifts(state.tilts, config.signal, config.lowpass_per_px)
    if state.free if config.mass == "auto" else config.mass:
        state.move(shifts - state.shifts, "centre of mass")
    yield Progress("Centre of mass", 0.05, {"shifts_px": state.shifts * state.bin})
    for number in range(config.rounds):
        if _ending(finish):
            return
        yield from _correlated(state, config, number)
    if config.common_line:
        images = placed(state.tilts, state.shifts, 0.0, config)
        along = line_shifts(images, state.tilts.usable, _LINE_PX)
        state.move(np.stack((along, np.zeros_like(along)), -1), "common line")


def _refined(state: _State, config: CoarseConfig, stated: Axis) -> Iterator[Refined]:
    """Axis and shifts by consistency; the state takes in the shifts."""
    before, axis, done = state.shifts, Axis(0.0, np.nan), 0.0
    reach = config.axis_range_deg
    first = _STEP_DEG * max(1.0, reach / 4) ** 0.5
    scans = (Scan(0.0, reach, first, 1.0), Scan(0.0, _NEAR_DEG, _FINE_STEP_DEG, 1.0))
    found = Refined(before, state.error, 0.0, np.nan)
    for scan in (*(scans if config.axis else ()), None):
        now = axis.angle_deg if scan is not None else believed(axis, stated).angle_deg
        for step in refine(state.tilts, found.shifts_px, now, state.free, config):
            found = step
            yield replace(found, fraction=done + 0.15 * found.fraction)
        done += 0.15
        if scan is not None:
            about, tried = replace(scan, middle_deg=axis.angle_deg), []
            for degrees in (config.degrees, max(4, round(_FEWER * config.degrees))):
                other = config.model_copy(update={"degrees": degrees})
                for event in scan_axis(state.tilts, found.shifts_px, state.free, other, about):
                    if isinstance(event, Axis):
                        tried.append(event)
                    else:
                        yield replace(found, fraction=done + 0.12 * (event + len(tried)))
            axis = replace(
                of_bands(tried), beyond=axis.beyond or (scan is scans[0] and of_bands(tried).beyond)
            )
            done += 0.25
    found = replace(found, angle_deg=axis.angle_deg, angle_error_deg=axis.error_deg, beyond=axis.beyond)
    found = replace(found, fraction=1.0)
    state.error, state.angle_deg = found.errors_px, now
    state.move(given_axes(found.shifts_px - before, -float(np.radians(now))), "consistency")
    yield found


def _other_foci(series: TiltFocalSeries, config: CoarseConfig, focus: int | None) -> list[int]:
    if not config.axis or config.focus != "auto" or focus is None:
        return []
    used = np.asarray(series.used)
    return [f for f in range(series.n_focus) if f != focus and used[:, f].sum() >= _LEAST_TILTS]


def _joined(found: Refined, angles: list[float], errors: list[float]) -> Refined:
    """The mean axis of all foci, each by its own error; theirs is no less than what their spread says."""
    if len(angles) == 1 or not np.isfinite(errors).all():
        return found
    weight = 1 / np.maximum(errors, 1e-3) ** 2
    mean = float((weight * angles).sum() / weight.sum())
    spread = float((weight * (np.array(angles) - mean) ** 2).sum() / weight.sum() / (len(angles) - 1))
    return replace(found, angle_deg=mean, angle_error_deg=float(np.sqrt(max(1 / weight.sum(), spread))))


def _ending(finish: Finish | None) -> bool:
    return finish is not None and finish.finish_requested()


def _begin(tilts: TiltImages, start: Alignment, config: CoarseConfig) -> tuple[_State, np.ndarray]:
    if tilts.focus is None:
        first = np.array([start.shifts_px[t, np.argmax(start.used[t])] for t in range(start.n_tilt)])
    else:
        first = np.array(start.shifts_px[:, tilts.focus])
    ny, nx = tilts.images.shape[1:]
    if tilts.bin_factor != 1:
        return _State(tilts, first / tilts.bin_factor, tilts.bin_factor), first
    factor = working_factor((ny, nx), config)
    if factor == 1:
        return _State(tilts, first, 1.0), first
    # One by one: the transforms of all would be twice the series.
    small = np.stack([fourier_resample(image, (ny // factor, nx // factor)) for image in tilts.images])
    scale = nx / small.shape[2]
    return _State(replace(tilts, images=small, bin_factor=scale), first / scale, scale), first


def _correlated(state: _State, config: CoarseConfig, number: int) -> Iterator[Progress]:
    tilts = state.tilts
    # Coarse first: with little dose only the lowest frequencies rise above the noise.
    softer = config.model_copy(
        update={"lowpass_per_px": config.lowpass_per_px * (0.5 if number == 0 else 1.0)}
    )
    images = placed(tilts, state.shifts, state.angle_deg, softer)
    cos = np.cos(np.radians(tilts.tilt_deg))
    shorter = min(images.shape[1:])
    reach = shorter / 4 if config.max_shift_px == "auto" else config.max_shift_px / state.bin
    pairs = []
    chosen = pairs_of(tilts.tilt_deg, tilts.usable, config.neighbours)
    for low, high in chosen:
        stretch = float(cos[low] / max(cos[high], 0.05))
        match = correlate(images[low], stretched(images[high], stretch), reach)
        if match.prominence > _LEAST_PROMINENCE and match.height > 0:
            near = 1 / (1 + abs(tilts.tilt_deg[low] - tilts.tilt_deg[high]))
            pairs.append(Pair(low, high, match.shift_px, stretch, match.height**2 * near))
    anchor = int(np.argmin(np.where(tilts.usable, np.abs(tilts.tilt_deg), np.inf)))
    change, error = solve(pairs, len(images), anchor)
    state.error = error
    state.move(change, f"neighbours, round {number + 1}")
    fraction = 0.1 + 0.35 * (number + 1) / config.rounds
    yield Progress("Correlating neighbours", fraction, {"shifts_px": state.shifts * state.bin})


def _done(
    series: TiltFocalSeries,
    config: CoarseConfig,
    begun: tuple[Alignment, np.ndarray],
    state: _State,
    found: Refined,
) -> Done:
    start, first = begun
    change = state.shifts * state.bin - first
    error = np.broadcast_to((state.error * state.bin)[:, None], start.shifts_px.shape)
    alignment = start.replace(
        shifts_px=start.shifts_px + change[:, None],
        rotation_deg=start.rotation_deg + found.angle_deg,
        shift_error_px=np.array(error, dtype=np.float64),
        axis_error_deg=start.axis_error_deg if np.isnan(found.angle_error_deg) else found.angle_error_deg,
    )
    result = CoarseResult(
        alignment, found.angle_deg, found.angle_error_deg, found.beyond, state.free, tuple(state.stages)
    )
    told = {
        "foci_added": state.tilts.focus is None,
        "axis_angle_deg": found.angle_deg,
        "axis_error_deg": None if np.isnan(found.angle_error_deg) else found.angle_error_deg,
        "rms_change_px": dict(state.stages),
    }
    return Done(recorded(apply(series, alignment), "align coarse", config, told), result)
