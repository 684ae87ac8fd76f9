"""From a series and a config to the arrays a method iterates on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from napari_phaset3m.analyse.ctf import series_microscope
from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.geometry import TiltGeometry
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.resample import fourier_resample, resample_axis
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.reconstruct.gain import Gains
from napari_phaset3m.reconstruct.inputs import check_shows_phase
from napari_phaset3m.reconstruct.methods.registry import METHODS
from napari_phaset3m.reconstruct.sizing import Sizing, sizing

#: Fraction of the images held out when stopping is automatic.
AUTO_HOLDOUT = 0.08
#: Coarsest voxel at which single atoms can be told apart, angstrom.
ATOMIC_VOXEL = 0.8
#: Up to a total dose (e/angstrom^2), Gaussian width of the atomic basis (angstrom); docs/decisions/0004.
BASIS_FOR_DOSE = ((6000.0, 0.36), (60_000.0, 0.20))


@dataclass(frozen=True, slots=True, eq=False)
class Stated:
    """What the series states about what refiners change; units as in :class:`Problem`."""

    shifts_px: np.ndarray
    defocus_angstrom: np.ndarray | None
    microscope: Microscope | None


@dataclass(slots=True, kw_only=True, eq=False)
class Problem:
    """One reconstruction, ready to iterate; images in engine layout.

    Refiners change shifts and defoci in place, and replace the microscope; the rest stays.

    Attributes
    ----------
    images : ndarray
        `(n_tilt, n_focus, nx, ny)` float32 intensity on the (padded) wave grid.
    weight : ndarray
        `(n_tilt, n_focus)` float32, 0 = not used. Scattering methods: in proportion to the
        dose, a tilt's weights sum to 1 on average. Linear methods: they sum to 1 at every tilt.
    held_out : ndarray
        `(n_tilt, n_focus)` bool: used images kept for validation (weight 0).
    pixel_weight : ndarray
        `(nx, ny)` float32: 0 in the padding.
    defocus_angstrom : ndarray or None
        `(n_tilt, n_focus)` float64, the problem's own: refiners change it between sweeps.
    shifts_px : ndarray
        `(n_tilt, n_focus, 2)` float64 (y, x), in pixels of this grid; as above.
    stated : Stated
        Shifts, defoci and microscope before anything was refined.
    total_dose : float or None
        Of all used images, e/angstrom^2.
    basis_sigma_angstrom : float or None
        Width of the atomic basis, None for free voxels.
    border : int
        Padding on each side, pixels.
    gains : Gains
        How much of a refiner's steps is taken.
    """

    grid: Grid
    geometry: TiltGeometry
    microscope: Microscope | None
    images: np.ndarray
    weight: np.ndarray
    held_out: np.ndarray
    pixel_weight: np.ndarray
    defocus_angstrom: np.ndarray | None
    shifts_px: np.ndarray
    stated: Stated
    total_dose: float | None
    basis_sigma_angstrom: float | None
    border: int
    gains: Gains = field(default_factory=Gains)

    @property
    def electrons_per_pixel(self) -> float | None:
        """Mean electrons per pixel of this grid in a used image; None without a dose."""
        if self.total_dose is None:
            return None
        n_used = int(((self.weight > 0) | self.held_out).sum())
        return self.total_dose / n_used * self.grid.pixel_size_angstrom**2

    @property
    def tilts(self) -> np.ndarray:
        """Indices of tilts with at least one image that drives the update."""
        return np.flatnonzero(self.weight.sum(1) > 0)


def is_linear(config: ReconstructionConfig) -> bool:
    """Whether the method projects linearly and so needs no microscope."""
    return METHODS[config.method].linear


def needs_microscope(config: ReconstructionConfig) -> bool:
    """Whether defocus and aberrations are used."""
    return not is_linear(config) or config.ctf_correction != "none"


def build_problem(series: TiltFocalSeries, config: ReconstructionConfig, bin_: int = 1) -> Problem:
    """Resample, pad and weight a series for a config.

    Parameters
    ----------
    series : TiltFocalSeries
    config : ReconstructionConfig
    bin_ : int
        Coarser sampling of a multi-resolution stage.

    Raises
    ------
    DataError
        The method needs a value that the series does not have.
    ConfigError
        Sampling that the images cannot give, or optics for images of dark field.
    """
    if needs_microscope(config):
        check_shows_phase(series, config)
        what = "ctf_correction" if is_linear(config) else "multislice"
        _need(series.defocus_angstrom, "defocus_values", "--defocus", what)
        _need(series.spherical_aberration_angstrom, "spherical_aberration", "--cs", what)
    voxel = (size := sizing(series, config, bin_)).voxel_angstrom
    images, pixel_weight = _padded(_resampled(series, size), size.border)
    grid = Grid(images.shape[2], images.shape[3], voxel)
    sigma = basis_sigma(config, series, voxel)
    held_out = held_out_images(series, config, holdout_fraction(config, series))
    weight = image_weights(series, held_out, by_dose=not is_linear(config))
    assert series.shifts_px is not None
    microscope = _microscope(series, config, voxel) if needs_microscope(config) else None
    shifts = series.shifts_px * (series.pixel_size_angstrom / voxel)
    return Problem(
        grid=grid,
        geometry=size.geometry,
        microscope=microscope,
        images=images,
        weight=weight,
        held_out=held_out,
        pixel_weight=pixel_weight,
        defocus_angstrom=None if series.defocus_angstrom is None else np.array(series.defocus_angstrom),
        shifts_px=shifts,
        stated=Stated(shifts.copy(), series.defocus_angstrom, microscope),
        total_dose=total_dose(series),
        basis_sigma_angstrom=sigma,
        border=size.border,
    )


def _need(value: object, field: str, flag: str, what: str) -> None:
    if value is None:
        remedy = f"Give it with {flag}, add it to the series file, or take --method sirt, which needs none"
        raise DataError(f"is missing, and {what} cannot do without it", field=field, remedy=remedy)


def _microscope(series: TiltFocalSeries, config: ReconstructionConfig, voxel: float) -> Microscope:
    angle = config.convergence_semiangle_mrad
    return series_microscope(series, convergence_semiangle_mrad=angle, pixel_size_angstrom=voxel)


def _resampled(series: TiltFocalSeries, size: Sizing) -> np.ndarray:
    (ny, nx), (along, across) = series.image_shape, size.image_shape
    if (ny, nx) == (along, across):
        return series.images
    if ny * across == nx * along:
        return fourier_resample(series.images, (along, across))
    # The images are no whole number of voxels long: sampled at the voxels' own places, so that
    # a voxel is as long along y as it is along x.
    spacing = size.voxel_angstrom / series.pixel_size_angstrom
    return resample_axis(fourier_resample(series.images, (across,)), -2, along, spacing)


def _padded(images: np.ndarray, border: int) -> tuple[np.ndarray, np.ndarray]:
    # Engine layout (nx, ny), vacuum in the padding, which weighs nothing.
    swapped = images.swapaxes(2, 3)
    shape = (swapped.shape[2] + 2 * border, swapped.shape[3] + 2 * border)
    padded = np.ones((*swapped.shape[:2], *shape), REAL)
    weight = np.zeros(shape, REAL)
    inner = (slice(border, shape[0] - border), slice(border, shape[1] - border))
    padded[(..., *inner)] = swapped
    weight[inner] = 1
    return padded, weight


def total_dose(series: TiltFocalSeries) -> float | None:
    """Dose on the specimen from all used images, e/angstrom^2, None when not known."""
    if series.dose_per_image is None:
        return None
    return float(series.dose_per_image[series.used].sum())


def basis_sigma(config: ReconstructionConfig, series: TiltFocalSeries, voxel_angstrom: float) -> float | None:
    """Width of the atomic basis: as given; auto: only at atomic sampling, by the dose."""
    asked = config.constraints.atomic_basis_sigma_angstrom
    if is_linear(config) or asked is None:
        return None
    if asked != "auto":
        return float(asked)
    dose = total_dose(series)
    if dose is None or voxel_angstrom > ATOMIC_VOXEL or not config.constraints.positivity:
        return None
    return next((sigma for limit, sigma in BASIS_FOR_DOSE if dose <= limit), None)


def sparsity(config: ReconstructionConfig, voxel_angstrom: float) -> float:
    """Strength of the L1 penalty: as given; auto: 1 where single atoms are sampled, else 0.

    Atoms in vacuum are sparse; a vesicle in ice is not. Linear methods have none.
    """
    asked = config.constraints.sparsity
    if is_linear(config):
        return 0.0
    if asked == "auto":
        return 1.0 if voxel_angstrom <= ATOMIC_VOXEL else 0.0
    return float(asked)


def holdout_fraction(config: ReconstructionConfig, series: TiltFocalSeries) -> float:
    """Fraction of images held out: as given, else only when they decide when to stop.

    They do without a sparsity penalty, or where no dose tells how strong the noise is;
    else the penalty balances it and sweeps converge.
    """
    if config.holdout_fraction == "auto":
        voxel = config.voxel_angstrom or series.pixel_size_angstrom
        unbalanced = total_dose(series) is None or not sparsity(config, voxel)
        decides = config.iterations == "auto" and not is_linear(config) and unbalanced
        return AUTO_HOLDOUT if decides else 0.0
    if not 0 <= config.holdout_fraction < 0.5:
        raise ConfigError(f"holdout_fraction: {config.holdout_fraction} is not in 0 .. 0.5")
    return config.holdout_fraction


def held_out_images(series: TiltFocalSeries, config: ReconstructionConfig, fraction: float) -> np.ndarray:
    """`(n_tilt, n_focus)` bool: the used images that do not drive the update.

    Of a focal series single images are drawn at random, and every tilt keeps one. With one
    image at each tilt whole tilts are left out, spread evenly over the angles so that no gap
    is wider than it must be.

    Raises
    ------
    DataError
        No image is used.
    """
    assert series.used is not None
    used = np.array(series.used)
    if not used.any():
        raise DataError("no image is marked as used", field="mask")
    count = round(fraction * int(used.sum()))
    held = np.zeros_like(used)
    if count and used.sum(1).max() == 1:
        tilts = np.flatnonzero(used.any(1))
        ordered = tilts[np.argsort(series.tilt_deg[tilts], kind="stable")]
        chosen = ordered[((np.arange(count) + 0.5) * ordered.size / count).astype(int)]
        held[chosen] = used[chosen]
        return held
    for index in np.random.default_rng([config.seed, 1]).permutation(np.flatnonzero(used)):
        if held.sum() >= count:
            break
        tilt, focus = divmod(int(index), series.n_focus)
        if used[tilt].sum() - held[tilt].sum() > 1:
            held[tilt, focus] = True
    return held


def image_weights(series: TiltFocalSeries, held_out: np.ndarray, *, by_dose: bool) -> np.ndarray:
    """`(n_tilt, n_focus)` float32 weights of the images that drive the update.

    Parameters
    ----------
    held_out : ndarray
        `(n_tilt, n_focus)` bool. What is held out of a tilt is made up for by its other
        images, so that it does not unbalance the tilts.
    by_dose : bool
        A tilt weighs as the dose of its used images does, 1 on average; else each weighs 1.
    """
    assert series.used is not None
    dose = np.where(series.used, 1.0 if series.dose_per_image is None else series.dose_per_image, 0.0)
    weight = np.where(held_out, 0.0, dose)
    total = weight.sum(1, keepdims=True)
    weight = np.divide(weight, total, where=total > 0, out=np.zeros_like(weight))
    if by_dose:
        share = dose.sum(1)
        driving = weight.any(1)
        # Alike doses give 1 exactly, whatever their unit.
        share = share / share[driving].max()
        weight *= (share / share[driving].mean())[:, None]
    return np.asarray(weight, REAL)
