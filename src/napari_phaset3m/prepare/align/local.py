"""Local alignment: patches followed over the tilts, and a smooth field of what is left.

A specimen that the beam bends moves differently at different places. Patches of the aligned images are
correlated with those of neighbouring tilts as whole images are (coarse.py, network.py); what only
says that a patch lies higher or lower than the rest is taken off, and a polynomial over the image is
fitted to what remains at each tilt.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from napari_phaset3m.config import Model, PositiveInt
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.prepare.align.apply import apply
from napari_phaset3m.prepare.align.coarse_config import CoarseConfig
from napari_phaset3m.prepare.align.correlate import correlate
from napari_phaset3m.prepare.align.model import Alignment, specimen_translation
from napari_phaset3m.prepare.align.network import Pair, pairs_of, solve
from napari_phaset3m.prepare.align.signal import TiltImages, placed, taper, tilt_images
from napari_phaset3m.prepare.align.stretch import stretched
from napari_phaset3m.prepare.events import Done, Finish, Progress
from napari_phaset3m.prepare.history import recorded

_LEAST_HEIGHT = 0.15


class LocalConfig(Model):
    """Patches and the smoothness of the field."""

    patches: int = Field(5, ge=2, le=20, description="Patches along each side of the image")
    patch_size: float = Field(0.35, gt=0.05, lt=1, description="Size of a patch, fraction of the image")
    order: int = Field(2, ge=1, le=4, description="Order of the polynomial over the image")
    neighbours: int = Field(
        3, ge=1, le=10, description="Every tilt is correlated with so many on either side"
    )
    max_shift_px: float = Field(4.0, gt=0, description="Largest local shift between neighbours, pixels")
    rounds: PositiveInt = Field(2, description="Rounds; images are unbent in between")
    grid: int = Field(9, ge=2, le=65, description="Points of the field along each side")
    images: CoarseConfig = CoarseConfig(taper=0.02)


@dataclass(frozen=True, slots=True, eq=False)
class LocalResult:
    """A local alignment.

    Attributes
    ----------
    field_px : ndarray
        `(n_tilt, n_focus, 2, grid, grid)` (y, x) displacement of the given image at places of the aligned
        one, spanning it; for ``apply(series, alignment, field_px)``.
    residual_px : ndarray
        `(n_tilt, patches, patches)` distance between measured and fitted; NaN where nothing was measured.
    """

    field_px: np.ndarray
    residual_px: np.ndarray


def iterate_local(
    series: TiltFocalSeries,
    alignment: Alignment | None = None,
    config: LocalConfig | None = None,
    *,
    finish: Finish | None = None,
) -> Iterator[Progress | Done]:
    """Find the local field of a series that is aligned as a whole.

    Parameters
    ----------
    series : TiltFocalSeries
    alignment : Alignment, optional
        Its own (shifts only) when omitted; a common axis angle is undone first.
    config : LocalConfig, optional
    finish : Finish, optional
        Ends after the round at hand.

    Yields
    ------
    Progress, at last Done
        ``Done.series`` has alignment and field applied in one resampling; ``Done.result`` is a
        :class:`LocalResult`.

    Raises
    ------
    ConfigError
        Patches are too small, or fewer than the polynomial has terms.
    """
    config = config or LocalConfig()
    alignment = alignment or Alignment.of(series)
    tilts = tilt_images(series, config.images, alignment)
    ny, nx = series.image_shape
    if config.patch_size * min(ny, nx) < 16:
        raise ConfigError("patch_size: patches would be smaller than 16 pixels")
    if config.patches**2 < len(_terms(np.zeros(1), np.zeros(1), config.order)):
        raise ConfigError(f"patches: {config.patches} x {config.patches} do not tell order {config.order}")
    focus = tilts.focus or 0
    coefficients = np.zeros((series.n_tilt, 2, len(_terms(np.zeros(1), np.zeros(1), config.order))))
    residual = np.full((series.n_tilt, config.patches, config.patches), np.nan)
    for number in range(config.rounds):
        if finish is not None and finish.finish_requested():
            break
        field = _field(coefficients, config)
        unbent = _unbent(tilts, alignment, focus, field, config)
        shifts = np.empty((config.patches, config.patches, series.n_tilt, 2))
        for row in range(config.patches):
            for column in range(config.patches):
                shifts[row, column] = _patch_shifts(unbent, tilts, (row, column), config)
            done = (number + (row + 1) / config.patches) / config.rounds
            yield Progress("Following patches", done, {"field_px": field})
        change, residual = _fitted(shifts, tilts, config)
        coefficients += change
    field = np.repeat(_field(coefficients, config)[:, None], series.n_focus, axis=1)
    known = residual[np.isfinite(residual)]
    told = {
        "rms_px": float(np.sqrt((field**2).sum(2).mean())),
        "residual_px": float(np.median(known)) if known.size else None,
    }
    unbent_series = recorded(apply(series, alignment, field), "align local", config, told)
    yield Done(unbent_series, LocalResult(field, residual))


def _terms(y: np.ndarray, x: np.ndarray, order: int) -> np.ndarray:
    """`(term, n)` monomials of places in -1..1."""
    return np.stack([y**i * x**j for i in range(order + 1) for j in range(order + 1 - i)])


def _field(coefficients: np.ndarray, config: LocalConfig) -> np.ndarray:
    line = np.linspace(-1, 1, config.grid)
    y, x = (part.ravel() for part in np.meshgrid(line, line, indexing="ij"))
    values = np.einsum("tac,cn->tan", coefficients, _terms(y, x, config.order))
    return np.asarray(values.reshape(*values.shape[:2], config.grid, config.grid))


def _unbent(
    tilts: TiltImages, alignment: Alignment, focus: int, field: np.ndarray, config: LocalConfig
) -> np.ndarray:
    shifts, angle = alignment.shifts_px[:, focus], alignment.axis_angle_deg
    if not field.any():
        return placed(tilts, shifts, angle, config.images)
    one = TiltFocalSeries(
        images=tilts.images[:, None], tilt_deg=tilts.tilt_deg, pixel_size_angstrom=1.0, energy_ev=1e5
    )
    whole = Alignment.of(one).replace(
        shifts_px=shifts[:, None], rotation_deg=np.full((len(shifts), 1), angle), used=tilts.usable[:, None]
    )
    flat = apply(one, whole, field[:, None])
    assert flat.shifts_px is not None
    images = TiltImages(flat.images[:, 0], tilts.tilt_deg, tilts.usable, tilts.focus)
    return placed(images, flat.shifts_px[:, 0], 0.0, config.images)


def _places(number: int, count: int, length: int, size: int) -> float:
    """Middle of a patch from the image's, pixels."""
    room = (length - size) / 2
    return float(np.linspace(-room, room, count)[number])


def _cut(image: np.ndarray, middle: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    from scipy.ndimage import fourier_shift

    starts, rests = [], []
    for n, m, place in zip(image.shape, size, middle, strict=True):
        exact = (n - m) / 2 + place
        start = int(np.clip(round(exact), 0, n - m))
        starts.append(start)
        rests.append(exact - start)
    patch = image[starts[0] : starts[0] + size[0], starts[1] : starts[1] + size[1]]
    window = taper(size, 0.25)
    moved = np.fft.ifft2(
        fourier_shift(np.fft.fft2((patch - patch.mean()) * window), [-r for r in rests])
    ).real
    return np.asarray(moved * window)


def _patch_shifts(
    images: np.ndarray, tilts: TiltImages, which: tuple[int, int], config: LocalConfig
) -> np.ndarray:
    """`(n_tilt, 2)` shifts of a patch over the tilts, without the specimen's translation; NaN unknown."""
    ny, nx = images.shape[1:]
    size = (round(config.patch_size * ny), round(config.patch_size * nx))
    y = _places(which[0], config.patches, ny, size[0])
    x = _places(which[1], config.patches, nx, size[1])
    cos = np.cos(np.radians(tilts.tilt_deg))
    patches = [_cut(image, (y, x * c), size) for image, c in zip(images, cos, strict=True)]
    pairs = []
    for low, high in pairs_of(tilts.tilt_deg, tilts.usable, config.neighbours):
        stretch = float(cos[low] / max(cos[high], 0.05))
        match = correlate(patches[low], stretched(patches[high], stretch), config.max_shift_px)
        if match.height > _LEAST_HEIGHT:
            pairs.append(Pair(low, high, match.shift_px, stretch, match.height**2))
    shifts = np.full((len(images), 2), np.nan)
    known = sorted({i for pair in pairs for i in (pair.first, pair.second)})
    if len(known) < 4:
        return shifts
    found, _ = solve(pairs, len(images), min(known, key=lambda i: abs(tilts.tilt_deg[i])))
    z, along, across = specimen_translation(found[known][:, None], tilts.tilt_deg[known])
    t = np.radians(tilts.tilt_deg[known])
    free = np.stack((np.full(len(known), along), across * np.cos(t) - z * np.sin(t)), -1)
    shifts[known] = found[known] - free
    return shifts


def _fitted(shifts: np.ndarray, tilts: TiltImages, config: LocalConfig) -> tuple[np.ndarray, np.ndarray]:
    """Polynomials `(n_tilt, 2, term)` through patches, and what they leave."""
    count = config.patches
    room = 1 - config.patch_size
    line = np.linspace(-room, room, count)
    y, x = (part.ravel() for part in np.meshgrid(line, line, indexing="ij"))
    n_terms = len(_terms(y, x, config.order))
    fitted = np.zeros((len(tilts.images), 2, n_terms))
    residual = np.full((len(tilts.images), count, count), np.nan)
    for tilt, degrees in enumerate(tilts.tilt_deg):
        values = shifts[:, :, tilt].reshape(-1, 2)
        known = np.isfinite(values[:, 0])
        if known.sum() < n_terms:
            continue
        # The tilted patch lies nearer to the axis.
        terms = _terms(y, x * np.cos(np.radians(degrees)), config.order)[:, known].T
        fitted[tilt] = np.linalg.lstsq(terms, values[known], rcond=0.05)[0].T
        rest = np.full(len(values), np.nan)
        rest[known] = np.linalg.norm(values[known] - terms @ fitted[tilt].T, axis=1)
        residual[tilt] = rest.reshape(count, count)
    return fitted, residual
