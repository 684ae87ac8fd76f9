"""Motion correction of one movie: find the drift, and sum the frames along it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

import numpy as np

from napari_phaset3m.core.fft import smooth_size
from napari_phaset3m.core.precision import COMPLEX, REAL
from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.events import Finish, Progress
from napari_phaset3m.prepare.images import telling
from napari_phaset3m.prepare.motion.config import MotionConfig
from napari_phaset3m.prepare.motion.field import Field, fit_field, no_field
from napari_phaset3m.prepare.motion.movie import Corrected, Movie
from napari_phaset3m.prepare.motion.patches import aligned_images, grid_of, patch_shifts
from napari_phaset3m.prepare.motion.result import MotionResult
from napari_phaset3m.prepare.motion.spectra import Spectra, cropped_spectrum, frame_window
from napari_phaset3m.prepare.motion.summing import FrameDose, n_threads, summed
from napari_phaset3m.prepare.motion.support import agreement, chance_of_none, has_contrast, supported_start
from napari_phaset3m.prepare.motion.track import bounded, smoothed
from napari_phaset3m.prepare.motion.whole import Found, given_up, refine, unmoved
from napari_phaset3m.prepare.spikes import electron_size, find_spikes_in_parts

_ALIGNED = 2048
_SMALLEST = 64
#: A frame whose mean is farther than this part from the median frame's was not exposed like the others.
_EVEN = 0.3
#: Electrons in a pixel's sum beyond which no live pixel of any camera holds none (chance 1e-7).
_CERTAIN = 16.0
#: Without a specimen in view, noise is aligned to noise: shifts that claim to be this uncertain (pixels)
#: and jump about by this much (rms second difference, pixels) tell nothing.
_UNCERTAIN_PX, _ERRATIC_PX = 0.3, 3.0
#: An uncertain drift must be larger than this many of its errors.
_LARGER = 2.0
_FLAT = "no drift is applied: fewer than two frames have any contrast"
#: Drift beyond which windows are moved with it.
_MOVED_PX = 0.5


@dataclass(frozen=True, slots=True)
class _Raw:
    """What the first pass over a movie finds."""

    total: np.ndarray
    means: np.ndarray
    bad: np.ndarray | None

    @property
    def used(self) -> np.ndarray:
        """`(n,)` bool: frames that were exposed like the others."""
        middle = float(np.median(self.means))
        return np.asarray(np.abs(self.means - middle) <= _EVEN * abs(middle))


def iterate_motion(
    movie: Movie,
    config: MotionConfig,
    *,
    gain: np.ndarray | None = None,
    pixel_size_angstrom: float | None = None,
    energy_ev: float = 300e3,
    finish: Finish | None = None,
) -> Iterator[Progress | MotionResult]:
    """Correct one movie.

    The frames are read four times (sum and bad pixels; alignment, twice; corrected sum), never held together:
    in memory are their spectra at the alignment's bin, and a few images.

    Parameters
    ----------
    movie : Movie
    config : MotionConfig
    gain : ndarray, optional
        `(ny, nx)` that multiplies each frame; else the file that the config names, else 1.
    pixel_size_angstrom : float, optional
        For dose weighting, and to tell drift in angstrom.
    energy_ev : float
        For dose weighting.
    finish : Finish, optional
        Asks to take the shifts found so far and sum.

    Yields
    ------
    Progress, and a MotionResult at last.

    Raises
    ------
    DataError
        Less than two frames, frames of different or too small size, a gain of another shape.
    """
    _check(movie, config, pixel_size_angstrom)
    factor = _gain_of(movie, config, gain)
    raw = yield from _first_pass(movie, config, factor)
    frames = Corrected(movie, factor, raw.bad)
    spectra = _empty(movie, config)
    whole = yield from _align(spectra, frames, raw, config, finish)
    field = no_field(movie.n_frames)
    count = grid_of(spectra.shape, movie.image_shape, config)
    if (
        count > 1
        and np.isfinite(whole.error).any()
        and not (finish is not None and finish.finish_requested())
    ):
        field = yield from _local(spectra, whole, count, config)
    del spectra
    weighted = None
    if config.dose_per_frame is not None and pixel_size_angstrom is not None:
        weighted = FrameDose(config.dose_per_frame, config.dose_before, pixel_size_angstrom, energy_ev)
    image = yield from summed(frames, whole, field, weighted)
    yield MotionResult(
        image=image,
        uncorrected=raw.total,
        shifts_px=whole.shifts,
        error_px=whole.error,
        measured_px=whole.measured,
        used=whole.used,
        field=field,
        bad_pixels=0 if raw.bad is None else int(raw.bad.sum()),
        snr=whole.weighting.snr,
        pixel_size_angstrom=pixel_size_angstrom,
        notes=(whole.note,) if whole.note else (),
    )


def _check(movie: Movie, config: MotionConfig, pixel: float | None) -> None:
    if movie.n_frames < 2:
        raise DataError("has one frame only", field="movie", remedy="Motion correction needs two or more")
    ny, nx = movie.image_shape
    if min(ny, nx) < _SMALLEST:
        raise DataError(f"has frames of {ny} x {nx} pixels, less than {_SMALLEST} on a side", field="movie",
                        remedy="Is it the right file?")  # fmt: skip
    if config.dose_per_frame is not None and pixel is None:
        raise DataError("is needed for dose weighting", field="pixel_size", remedy="Give --pixel-size")


def _gain_of(movie: Movie, config: MotionConfig, gain: np.ndarray | None) -> np.ndarray | float:
    from napari_phaset3m.io.movie_gain import read_gain
    from napari_phaset3m.prepare.reference import checked_reference, multiplier

    if gain is None and config.gain is None:
        return 1.0
    if gain is None:
        assert config.gain is not None
        return read_gain(config.gain, movie.image_shape, config.movies(), [])
    return multiplier(checked_reference(gain, movie.image_shape, "gain"), "multiply")


def _first_pass(
    movie: Movie, config: MotionConfig, gain: np.ndarray | float
) -> Generator[Progress, None, _Raw]:
    total = np.zeros(movie.image_shape, REAL)
    means = np.zeros(movie.n_frames)
    for number, image in enumerate(Corrected(movie, gain).frames()):
        total += image
        means[number] = image.mean(dtype=np.float64)
        yield Progress(f"Reading frame {number + 1} of {movie.n_frames}", 0.08 * number / movie.n_frames)
    bad = None
    if config.hot:
        # Pixels that are wrong in every frame hold the frames together where they are: no drift is seen.
        electron = electron_size(total)
        bad = yield from telling(find_spikes_in_parts(total, 8.0, electron), Progress("Bad pixels", 0.08))
        if np.median(total) > _CERTAIN * electron:
            bad |= total == 0  # dead lines, too long to be spikes
        if np.ndim(gain):
            bad |= np.asarray(gain) == 0
    return _Raw(total, means, bad)


def _empty(movie: Movie, config: MotionConfig) -> Spectra:
    ny, nx = movie.image_shape
    factor = config.bin if config.bin != "auto" else max(-(-max(ny, nx) // _ALIGNED), 1)
    shape = _even(ny // factor), _even(nx // factor)
    values = np.empty((movie.n_frames, shape[0], shape[1] // 2 + 1), COMPLEX)
    return Spectra(values, shape, (ny, nx))


def _load(
    spectra: Spectra, frames: Corrected, shifts: np.ndarray, start: float
) -> Generator[Progress, None, None]:
    """Fill the spectra, each frame under a window that goes with its shift."""
    shape, n = frames.movie.image_shape, frames.movie.n_frames
    inset = min(float(np.abs(shifts).max()), min(shape) / 4)
    squares = 0.0
    for number, image in enumerate(frames.frames()):
        window = frame_window(shape, shifts[number], inset)
        spectra.values[number] = cropped_spectrum(image, spectra.shape, window)
        squares += float((window[0] ** 2).mean() * (window[1] ** 2).mean()) / n
        yield Progress(f"Transforming frame {number + 1} of {n}", start + 0.15 * number / n)
    spectra.seen = squares


def _even(n: int) -> int:
    """A size that is even (a pair for each frequency) and fast; not above n unless that is odd."""
    n -= n % 2
    while smooth_size(n) != n and n > 2:
        n -= 2
    return n


def _align(
    spectra: Spectra, frames: Corrected, raw: _Raw, config: MotionConfig, finish: Finish | None
) -> Generator[Progress, None, Found]:
    """Coarse, then fine, then fine again under windows that go with the specimen."""
    limit = 0.15 * min(spectra.full) if config.max_shift_px == "auto" else float(config.max_shift_px)
    still = np.zeros((len(spectra.values), 2))
    yield from _load(spectra, frames, still, 0.1)
    used = raw.used & has_contrast(spectra, raw.means)
    if used.sum() < 2:
        return unmoved(spectra, raw.used, _FLAT)
    start = yield from supported_start(spectra, used, limit, 0.25)
    found = yield from _refined(spectra, start.shifts, used, (config, finish, 0.27))
    none = f"along none within {limit:.1f} px do the frames agree better than noise does"
    if not _believable(found, spectra):
        return given_up(found, used, none)
    held = "" if start.reach_px == limit else _held(start.reach_px)
    stopped = finish is not None and finish.finish_requested()
    if np.abs(found.shifts).max() > _MOVED_PX and not stopped:
        yield from _load(spectra, frames, found.shifts, 0.35)
        found = yield from _refined(spectra, found.shifts, found.used, (config, finish, 0.5))
        if not _believable(found, spectra):
            return given_up(found, used, none)
    found = replace(found, note=held)
    if config.smooth:
        shifts, error, _ = smoothed(found.measured, found.error)
        shifts = bounded(shifts, found.used)
        found = replace(found, shifts=shifts - shifts[found.used].mean(axis=0), error=error)
    size, error_px = (_rms(values[found.used]) for values in (found.shifts, found.error))
    if error_px > _UNCERTAIN_PX and size < _LARGER * error_px:
        return given_up(
            found, used, f"its {size:.2f} px (RMS) are not more than {_LARGER:g} errors ({error_px:.2f} px)"
        )
    return found


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))


def _held(reach: float) -> str:
    where = f"within {reach:.1f} px" if reach else "close to no shift"
    return (
        f"drift is looked for {where} only: farther off, peaks of chance are as high as those of the frames"
    )


def _refined(
    spectra: Spectra, start: np.ndarray, used: np.ndarray, how: tuple[MotionConfig, Finish | None, float]
) -> Generator[Progress, None, Found]:
    config, finish, at = how
    found = None
    # Smoothing comes after the measurements have settled: it must not hold back a step.
    for number, found in enumerate(refine(spectra, start, used, config, smooth=False, threads=n_threads())):
        yield Progress(
            f"Round {number + 1}: largest change {found.change:.3f} px",
            at + 0.07 * number / config.iterations,
            {"shifts_px": found.shifts, "error_px": found.error},
        )
        if finish is not None and finish.finish_requested():
            break
    assert found is not None
    return found


def _believable(found: Found, spectra: Spectra) -> bool:
    """Whether the frames agree along these shifts as noise never does, and the shifts are known."""
    count = int(found.used.sum())
    weight = found.weighting.weight
    if count < 2 or agreement(spectra, found.shifts, found.used, weight) < chance_of_none(count):
        return False
    error = found.error[found.used]
    if not np.isfinite(error).all() or error.mean() > _UNCERTAIN_PX:
        turns = np.diff(found.measured[found.used], 2, axis=0)
        return bool(turns.size) and float(np.sqrt((turns**2).mean())) < _ERRATIC_PX
    return True


def _local(
    spectra: Spectra, whole: Found, count: int, config: MotionConfig
) -> Generator[Progress, None, Field]:
    n, total = len(spectra.values), count * count
    for i in aligned_images(spectra, whole.shifts):
        yield Progress(f"Placing frame {i + 1} of {n}", 0.57 + 0.03 * i / n)
    places, shifts, errors = [], [], []
    for number, (place, found) in enumerate(patch_shifts(spectra, whole, count, config, n_threads())):
        places.append(place)
        shifts.append(found.measured)
        errors.append(found.error)
        yield Progress(f"Patch {number + 1} of {total}", 0.6 + 0.17 * number / total)
    return fit_field(np.array(places), np.array(shifts), np.array(errors))
