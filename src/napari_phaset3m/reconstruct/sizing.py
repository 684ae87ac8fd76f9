"""Sizes of a reconstruction: worked out from the series and the config alone.

The problem, the forecast and the checks of masks and start volumes all take them from here.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

from napari_phaset3m.analyse.ctf import series_microscope
from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.fft import smooth_size
from napari_phaset3m.core.geometry import TiltGeometry
from napari_phaset3m.core.optics import delocalisation_angstrom
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.reconstruct.methods.registry import METHODS

#: Slice thickness that `slices="auto"` aims at, angstrom.
AUTO_SLICE_ANGSTROM = 2.1
#: Voxels count as larger than pixels from this ratio on: rounding makes them differ a little.
_COARSER = 1.01
#: Fewest pixels along an edge of the resampled images.
FEWEST_PIXELS = 8


@dataclass(frozen=True, slots=True)
class Sizing:
    """How a series is sampled in one resolution stage.

    Attributes
    ----------
    geometry : TiltGeometry
        Of the volume with its padding.
    image_shape : tuple of int
        (ny, nx) of the resampled images, without padding.
    border : int
        Padding on each side of the images, pixels.
    """

    geometry: TiltGeometry
    image_shape: tuple[int, int]
    border: int

    @property
    def voxel_angstrom(self) -> float:
        """Edge of a voxel and of a resampled pixel."""
        return self.geometry.voxel_size_angstrom

    @property
    def public_shape(self) -> tuple[int, int, int]:
        """(nz, ny, nx) of the result, without padding."""
        return (self.geometry.nz, *self.image_shape)


def check_size(image_shape: tuple[int, int]) -> None:
    """Refuse images (ny, nx) that are too small for any volume, whatever the voxels.

    Raises
    ------
    DataError
    """
    ny, nx = image_shape
    if min(ny, nx) < FEWEST_PIXELS:
        raise DataError(
            f"images of {nx} x {ny} pixels (x, y) are too small; {FEWEST_PIXELS} each way are needed",
            field="tilt_series",
            remedy="Take the images before they were binned or cropped",
        )


def sizing(series: TiltFocalSeries, config: ReconstructionConfig, bin_: int = 1) -> Sizing:
    """Resolve voxel, box, padding and slices.

    The images are ``nx`` whole voxels wide, so that the voxel differs from the one asked for
    by at most half a voxel over the width; along y the images end within half a voxel.

    Parameters
    ----------
    series : TiltFocalSeries
    config : ReconstructionConfig
    bin_ : int
        Coarser sampling of a multi-resolution stage.

    Raises
    ------
    ConfigError
        Sampling that the images cannot give.
    DataError
        The images themselves are too small.
    """
    check_size(series.image_shape)
    pixel, (ny, nx) = series.pixel_size_angstrom, series.image_shape
    wanted = (config.voxel_angstrom or pixel) * bin_
    across = max(1, round(nx * pixel / wanted))
    voxel = pixel if across == nx else nx * pixel / across
    along = max(1, round(ny * pixel / voxel))
    if min(along, across) < FEWEST_PIXELS:
        left = f"leaves {along} x {across} pixels of {ny} x {nx}, and {FEWEST_PIXELS} each way are needed"
        if bin_ > 1 and min(ny, nx) * pixel / (wanted / bin_) >= FEWEST_PIXELS:
            raise ConfigError(f"multiresolution: a bin of {bin_} {left}. Use smaller bins")
        raise ConfigError(f"voxel_angstrom: {wanted:g} Å {left}. Use smaller voxels")
    border = _border(series, config, voxel, across)
    geometry = TiltGeometry(
        _depth_voxels(config, voxel, across),
        across + 2 * border,
        along + 2 * border,
        voxel,
        tuple(series.tilt_deg.tolist()),
    )
    return Sizing(replace(geometry, n_slices=_slices(config, geometry)), (along, across), border)


def sampling_notes(series: TiltFocalSeries, config: ReconstructionConfig) -> tuple[str, ...]:
    """What the voxels cannot hold: detail that the images have, or that a low-pass asks for.

    Parameters
    ----------
    series : TiltFocalSeries
    config : ReconstructionConfig

    Returns
    -------
    tuple of str
        One line each; a voxel holds nothing finer than twice its edge (Nyquist).

    Raises
    ------
    ConfigError
        Sampling that the images cannot give.
    """
    pixel, voxel = series.pixel_size_angstrom, sizing(series, config).voxel_angstrom
    holds = f"voxels of {voxel:.3g} Å hold nothing finer than {2 * voxel:.3g} Å"
    lines = []
    if voxel > _COARSER * pixel:
        lines.append(f"{holds}; the images reach {2 * pixel:.3g} Å")
    lowpasses = [config.constraints.lowpass_angstrom]
    if "filter_lowpass_angstrom" in METHODS[config.method].parameters:
        lowpasses.append(config.filter_lowpass_angstrom)
    asked = [wanted for wanted in lowpasses if wanted is not None and wanted < 2 * voxel]
    if asked:
        why = f"take voxels of {min(asked) / 2:.3g} Å for it" if lines else f"{holds}, nor do the images"
        lines.append(f"a low-pass of {min(asked):g} Å cuts nothing: {why}")
    return tuple(lines)


def _border(series: TiltFocalSeries, config: ReconstructionConfig, voxel: float, across: int) -> int:
    """Padding in voxels. What a series does not state yet is asked for when the run is made."""
    if config.padding_px != "auto":
        return round(config.padding_px * series.pixel_size_angstrom / voxel)
    cs, defocus = series.spherical_aberration_angstrom, series.defocus_angstrom
    if METHODS[config.method].linear or cs is None or defocus is None:
        return 0
    return stray_border(series, config, voxel, across, across // 4)


def stray_border(
    series: TiltFocalSeries, config: ReconstructionConfig, voxel_angstrom: float, across: int, most: int
) -> int:
    """Padding on each side that keeps light which leaves the field on one side from coming back on the other.

    Parameters
    ----------
    series : TiltFocalSeries
        With defoci and Cs.
    config : ReconstructionConfig
    voxel_angstrom : float
    across : int
        Width of the images without padding, voxels.
    most : int
        Voxels; from there on up to the next size that FFTs like.

    Returns
    -------
    int
        Voxels.
    """
    optics = series_microscope(series, convergence_semiangle_mrad=config.convergence_semiangle_mrad)
    assert series.defocus_angstrom is not None
    # What leaves one edge by d comes back at the other: half of d on each side keeps it out of the field.
    astray = delocalisation_angstrom(optics, series.defocus_angstrom, 0.5 / voxel_angstrom)
    wanted = min(math.ceil(astray / 2 / voxel_angstrom), most)
    return next(b for b in itertools.count(wanted) if smooth_size(across + 2 * b) == across + 2 * b)


def _depth_voxels(config: ReconstructionConfig, voxel: float, across: int) -> int:
    if config.depth_angstrom is None:
        return across
    depth = max(1, round(config.depth_angstrom / voxel))
    if depth > 8 * across:
        raise ConfigError(f"depth_angstrom: {config.depth_angstrom:g} Å is over 8 image widths")
    return depth


def _slices(config: ReconstructionConfig, geometry: TiltGeometry) -> int:
    if config.method != "multislice":
        return 1
    deepest = geometry.deepest
    if config.slices == "auto":
        thickness = AUTO_SLICE_ANGSTROM / geometry.voxel_size_angstrom
        return max(1, min(deepest, round(deepest / thickness)))
    if config.slices > deepest:
        raise ConfigError(
            f"slices: {config.slices} do not fit in {deepest} voxels, the depth of the deepest tilted box"
        )
    return config.slices
