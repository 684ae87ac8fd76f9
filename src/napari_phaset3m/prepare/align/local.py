"""Local alignment: patches followed over the tilts, and a smooth field of what is left.

A specimen that the beam bends moves differently at different places. Patches of the aligned images are
correlated with those of neighbouring tilts as whole images are (coarse.py, network.py); what only
says that a patch lies higher or lower than the rest is taken off, and a polynomial over the image is
fitted to what remains at each tilt.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.prepare.align.apply import apply
from napari_phaset3m.prepare.align.coarse_config import CoarseConfig
from napari_phaset3m.prepare.align.correlate import correlate
from napari_phaset3m.prepare.align.local_config import LocalConfig
from napari_phaset3m.prepare.align.model import Alignment, specimen_translation
from napari_phaset3m.prepare.align.network import Pair, pairs_of, solve
from napari_phaset3m.prepare.align.signal import TiltImages, placed, taper, tilt_images
from napari_phaset3m.prepare.align.stretch import stretched
from napari_phaset3m.prepare.align.work import Share, StageEvents, Work
from napari_phaset3m.prepare.events import Finish, Progress

_LEAST_HEIGHT = 0.15
#: Border of the whole images that is faded out: patches have windows of their own.
TAPER = 0.02
#: Narrowest patch.
LEAST_PATCH_PX = 16


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

    def told(self) -> dict[str, float | None]:
        """Plain numbers for a record."""
        known = self.residual_px[np.isfinite(self.residual_px)]
        length = np.linalg.norm(self.field_px, axis=2)
        return {
            "rms_px": float(np.sqrt((length**2).mean())),
            "largest_px": float(length.max()),
            "residual_px": float(np.median(known)) if known.size else None,
        }


def local(work: Work, share: Share) -> StageEvents:
    """The stage "local": a field is added to the alignment, which itself stays.

    Raises
    ------
    ConfigError
        As :func:`find_local`.
    """
    images = work.config.coarse.model_copy(update={"taper": TAPER})
    found: LocalResult | None = None
    events = find_local(work.original, work.alignment, work.config.local, images, finish=work.finish)
    for event in events:
        if isinstance(event, LocalResult):
            found = event
        else:
            yield Progress(event.text, share.at(event.fraction))
    assert found is not None
    told, most = found.told(), work.config.local.local_max_shift_px
    if told["largest_px"] is not None and told["largest_px"] > most:
        # That is no bend of an aligned specimen: whole images are off, or patches were taken for others.
        return replace(work, told={"local_left": (told["largest_px"], most)})
    return replace(work, local_px=found.field_px, told=told)


def why_not(series: TiltFocalSeries, config: LocalConfig) -> str:
    """Why patches of a series cannot be followed; empty when they can."""
    short, n_terms = min(series.image_shape), len(_terms(np.zeros(1), np.zeros(1), config.local_order))
    if config.local_patch_size * short < LEAST_PATCH_PX:
        return (
            f"local_patch_size: patches would be {config.local_patch_size * short:.0f} px wide, "
            f"and {LEAST_PATCH_PX} are needed"
        )
    if config.local_patches**2 < n_terms:
        return (
            f"local_patches: {config.local_patches} x {config.local_patches} do not tell "
            f"order {config.local_order}"
        )
    return ""


def find_local(
    series: TiltFocalSeries,
    alignment: Alignment,
    config: LocalConfig,
    images: CoarseConfig,
    *,
    finish: Finish | None = None,
) -> Iterator[Progress | LocalResult]:
    """Find the local field of a series that is aligned as a whole.

    Parameters
    ----------
    series : TiltFocalSeries
    alignment : Alignment
        A common axis angle is undone first; what single images are turned by is not.
    config : LocalConfig
    images : CoarseConfig
        Which focus, and the band of the images.
    finish : Finish, optional
        Ends after the round at hand.

    Yields
    ------
    Progress, at last LocalResult

    Raises
    ------
    ConfigError
        Patches are too small, or fewer than the polynomial has terms.
    """
    problem = why_not(series, config)
    if problem:
        raise ConfigError(problem)
    tilts = tilt_images(series, images, alignment)
    focus, count = tilts.focus or 0, config.local_patches
    n_terms = len(_terms(np.zeros(1), np.zeros(1), config.local_order))
    coefficients = np.zeros((series.n_tilt, 2, n_terms))
    residual = np.full((series.n_tilt, count, count), np.nan)
    for number in range(config.local_rounds):
        if finish is not None and finish.finish_requested():
            break
        unbent = _unbent(tilts, alignment, focus, _field(coefficients, config), images)
        shifts = np.empty((count, count, series.n_tilt, 2))
        for row, column in np.ndindex(count, count):
            shifts[row, column] = _patch_shifts(unbent, tilts, (row, column), config)
            done = (number + (row * count + column + 1) / count**2) / config.local_rounds
            yield Progress("Following patches", done)
        change, residual = _fitted(shifts, tilts, config)
        coefficients += change
    field = np.repeat(_field(coefficients, config)[:, None], series.n_focus, axis=1)
    yield LocalResult(field, residual)


def _terms(y: np.ndarray, x: np.ndarray, order: int) -> np.ndarray:
    """`(term, n)` monomials of places in -1..1."""
    return np.stack([y**i * x**j for i in range(order + 1) for j in range(order + 1 - i)])


def _field(coefficients: np.ndarray, config: LocalConfig) -> np.ndarray:
    # Beyond the middles of the outermost patches nothing was measured: no polynomial is continued there.
    room = 1 - config.local_patch_size
    line = np.clip(np.linspace(-1, 1, config.local_grid), -room, room)
    y, x = (part.ravel() for part in np.meshgrid(line, line, indexing="ij"))
    values = np.einsum("tac,cn->tan", coefficients, _terms(y, x, config.local_order))
    return np.asarray(values.reshape(*values.shape[:2], config.local_grid, config.local_grid))


def _unbent(
    tilts: TiltImages, alignment: Alignment, focus: int, field: np.ndarray, config: CoarseConfig
) -> np.ndarray:
    shifts, angle = alignment.shifts_px[:, focus], alignment.axis_angle_deg
    if not field.any():
        return placed(tilts, shifts, angle, config)
    one = TiltFocalSeries(
        images=tilts.images[:, None], tilt_deg=tilts.tilt_deg, pixel_size_angstrom=1.0, energy_ev=1e5
    )
    whole = Alignment.of(one).replace(
        shifts_px=shifts[:, None], rotation_deg=np.full((len(shifts), 1), angle), used=tilts.usable[:, None]
    )
    flat = apply(one, whole, field[:, None])
    assert flat.shifts_px is not None
    images = TiltImages(flat.images[:, 0], tilts.tilt_deg, tilts.usable, tilts.focus)
    return placed(images, flat.shifts_px[:, 0], 0.0, config)


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
    size = (round(config.local_patch_size * ny), round(config.local_patch_size * nx))
    y = _places(which[0], config.local_patches, ny, size[0])
    x = _places(which[1], config.local_patches, nx, size[1])
    cos = np.cos(np.radians(tilts.tilt_deg))
    patches = [_cut(image, (y, x * c), size) for image, c in zip(images, cos, strict=True)]
    pairs = []
    for low, high in pairs_of(tilts.tilt_deg, tilts.usable, config.local_neighbours):
        stretch = float(cos[low] / max(cos[high], 0.05))
        match = correlate(patches[low], stretched(patches[high], stretch), config.local_max_shift_px)
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
    count = config.local_patches
    room = 1 - config.local_patch_size
    line = np.linspace(-room, room, count)
    y, x = (part.ravel() for part in np.meshgrid(line, line, indexing="ij"))
    n_terms = len(_terms(y, x, config.local_order))
    fitted = np.zeros((len(tilts.images), 2, n_terms))
    residual = np.full((len(tilts.images), count, count), np.nan)
    for tilt, degrees in enumerate(tilts.tilt_deg):
        values = shifts[:, :, tilt].reshape(-1, 2)
        known = np.isfinite(values[:, 0])
        if known.sum() < n_terms:
            continue
        # The tilted patch lies nearer to the axis.
        terms = _terms(y, x * np.cos(np.radians(degrees)), config.local_order)[:, known].T
        fitted[tilt] = np.linalg.lstsq(terms, values[known], rcond=0.05)[0].T
        rest = np.full(len(values), np.nan)
        rest[known] = np.linalg.norm(values[known] - terms @ fitted[tilt].T, axis=1)
        residual[tilt] = rest.reshape(count, count)
    return fitted, residual
