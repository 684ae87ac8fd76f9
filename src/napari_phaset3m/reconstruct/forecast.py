"""Memory and time of a run, before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.geometry import TiltGeometry
from napari_phaset3m.core.rotation.footprint import COLUMNS, TAPS
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ResourceError
from napari_phaset3m.io.limits import available_memory
from napari_phaset3m.reconstruct.methods.registry import METHODS
from napari_phaset3m.reconstruct.plan import subset_size
from napari_phaset3m.reconstruct.problem import basis_sigma, is_linear
from napari_phaset3m.reconstruct.sizing import Sizing, sampling_notes, sizing
from napari_phaset3m.reconstruct.solver import resolve_threads

#: Seconds per complex FFT point and log2(N) on one core: 31 us for 96 x 96.
_FFT_SECONDS = 2.6e-10
#: Seconds to add one volume row sample into a slice or back, on one core.
_ROTATE_SECONDS = 5e-10
#: Elementwise passes cost about as much as the FFTs they stand between.
_ELEMENTWISE = 1.8
#: Volumes at once: the solver's two, what is handed out, the start or the best so far.
_VOLUMES = 4
#: Volumes that the total variation, a Butterworth filter and the atomic basis add.
_TV_VOLUMES, _FILTER_VOLUMES, _BASIS_VOLUMES = 6, 2, 2


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run will need.

    Attributes
    ----------
    memory_bytes, available_bytes : int
        Needed on top of the loaded series, and what is free now.
    seconds_per_sweep : float
        A rough estimate from operation counts; the run itself gives a better one.
    volume_shape : tuple of int
        (nz, ny, nx).
    slices : int
    notes : tuple of str
        What the voxels cannot hold.
    """

    memory_bytes: int
    available_bytes: int
    seconds_per_sweep: float
    volume_shape: tuple[int, int, int]
    slices: int
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the memory is there."""
        return self.memory_bytes <= self.available_bytes

    def check(self) -> None:
        """Refuse a run that would not fit.

        Raises
        ------
        ResourceError
            With the settings that would make it fit.
        """
        if not self.fits:
            raise ResourceError(
                f"needs {self.memory_bytes / 2**30:.1f} GiB, but {self.available_bytes / 2**30:.1f} GiB"
                " are free; use larger voxels (--voxel), a thinner box (--depth) or crop the images"
            )


def forecast(
    series: TiltFocalSeries,
    config: ReconstructionConfig,
    device: Literal["auto", "cpu", "cuda"] = "cpu",
) -> Forecast:
    """Estimate memory and time from sizes alone; nothing large is allocated.

    Parameters
    ----------
    series : TiltFocalSeries
    config : ReconstructionConfig
    device : str
        Memory is that of the host; a GPU run adds its own check when it starts.

    Raises
    ------
    ConfigError
        Sampling that the images cannot give.
    """
    size, threads = sizing(series, config), resolve_threads(config)
    count = _linear_bytes if is_linear(config) else _scattering_bytes
    nodes = config.quadrature_points if config.coherence == "incoherent" else 1
    return Forecast(
        int(count(size, series, config) + _constraint_bytes(size, config)),
        available_memory(),
        _seconds(size.geometry, series, config, nodes) / threads,
        size.public_shape,
        size.geometry.n_slices,
        (*_depth_notes(series), *sampling_notes(series, config)),
    )


def _depth_notes(series: TiltFocalSeries) -> tuple[str, ...]:
    tilts = series.n_tilt if series.used is None else int(series.used.any(axis=1).sum())
    if tilts > 1:
        return ()
    return ("one tilt says next to nothing of the depth: slices along the beam are not to be trusted",)


def _volume_bytes(geometry: TiltGeometry) -> int:
    return geometry.nz * geometry.nx * geometry.ny * 4


def _image_bytes(geometry: TiltGeometry, images: int) -> int:
    return images * geometry.nx * geometry.ny * 4


def _scattering_bytes(size: Sizing, series: TiltFocalSeries, config: ReconstructionConfig) -> int:
    geometry, channels = size.geometry, 2 if config.absorption else 1
    nodes = config.quadrature_points if config.coherence == "incoherent" else 1
    sigma = basis_sigma(config, series, size.voxel_angstrom)
    slots = min(resolve_threads(config), subset_size(config, series.n_tilt))
    per_slice = 8 + 4 * channels
    pixel = geometry.max_slices() * per_slice + series.n_focus * (nodes * 16 + 12) + 16
    waves = geometry.nx * geometry.ny * pixel
    basis = _BASIS_VOLUMES if sigma else 0
    volumes = _volume_bytes(geometry) * channels * (_VOLUMES + slots + basis)
    # Images on the padded grid, and their square roots.
    return volumes + slots * waves + 2 * _image_bytes(geometry, series.n_tilt * series.n_focus)


def _linear_bytes(size: Sizing, series: TiltFocalSeries, config: ReconstructionConfig) -> int:
    geometry = size.geometry
    volumes = _volume_bytes(geometry) * (_VOLUMES + METHODS[config.method].volumes)
    columns = COLUMNS.get(TAPS.get(config.rotation, 0), 0)
    footprints = geometry.nz * geometry.nx * series.n_tilt * 4 * (1 + columns)
    # Projections, their residual and one more copy of either; the images on the padded grid.
    images = _image_bytes(geometry, series.n_tilt * (3 + series.n_focus))
    return volumes + footprints + images


def _constraint_bytes(size: Sizing, config: ReconstructionConfig) -> int:
    limits = config.constraints
    volumes = _TV_VOLUMES if limits.tv_weight else 0  # they work on one channel after the other
    if limits.lowpass_angstrom or limits.highpass_angstrom:
        volumes = max(volumes, _FILTER_VOLUMES)
    return volumes * _volume_bytes(size.geometry)


def result_grid(series: TiltFocalSeries, config: ReconstructionConfig) -> tuple[tuple[int, int, int], float]:
    """Shape (nz, ny, nx) of the result, without its padding, and its voxel in angstrom."""
    size = sizing(series, config)
    return size.public_shape, size.voxel_angstrom


def _seconds(
    geometry: TiltGeometry, series: TiltFocalSeries, config: ReconstructionConfig, nodes: int
) -> float:
    points = geometry.nx * geometry.ny
    one_fft = _FFT_SECONDS * points * max(1, points.bit_length())
    rotate = sum(geometry.depth(i) for i in range(geometry.n_tilt)) * points * 8 * _ROTATE_SECONDS
    if is_linear(config):
        return rotate
    ffts = sum(4 * (len(geometry.edges(i)) - 1) for i in range(geometry.n_tilt))
    ffts += series.n_tilt * series.n_focus * nodes * 2
    return rotate + ffts * one_fft * _ELEMENTWISE
