"""Memory and time of a run, before it starts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.geometry import TiltGeometry
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ResourceError
from napari_phaset3m.reconstruct.problem import AUTO_SLICE_ANGSTROM
from napari_phaset3m.reconstruct.solver import resolve_threads

#: Seconds per complex FFT point and log2(N) on one core: 31 us for 96 x 96.
_FFT_SECONDS = 2.6e-10
#: Seconds to add one volume row sample into a slice or back, on one core.
_ROTATE_SECONDS = 5e-10
#: Elementwise passes cost about as much as the FFTs they stand between.
_ELEMENTWISE = 1.8


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
    """

    memory_bytes: int
    available_bytes: int
    seconds_per_sweep: float
    volume_shape: tuple[int, int, int]
    slices: int

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


def available_memory() -> int:
    """Physical memory that is free for this process, bytes."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable"):
                    return int(line.split()[1]) * 1024
    except OSError:  # pragma: no cover - not Linux
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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
    """
    geometry, nx, ny = _geometry(series, config)
    threads = resolve_threads(config)
    volume = geometry.nz * nx * ny * 4 * (2 if config.absorption else 1)
    nodes = config.quadrature_points if config.coherence == "incoherent" else 1
    images = series.n_tilt * series.n_focus * nx * ny * 4
    linear = config.method == "sirt"
    waves = nx * ny * (0 if linear else geometry.max_slices() * 12 + series.n_focus * (nodes * 16 + 12) + 16)
    # volume, previous, best or preconditioner, result; a gradient per thread
    memory = volume * (4 + threads) + threads * waves + (2 * images if not linear else images)
    return Forecast(
        int(memory),
        available_memory(),
        _seconds(geometry, series, config, nodes) / threads,
        (geometry.nz, ny, nx),
        geometry.n_slices,
    )


def _geometry(series: TiltFocalSeries, config: ReconstructionConfig) -> tuple[TiltGeometry, int, int]:
    pixel = series.pixel_size_angstrom
    voxel = config.voxel_angstrom or pixel
    ny, nx = (
        max(1, round(n * pixel / voxel)) + 2 * round(config.padding_px * pixel / voxel)
        for n in series.image_shape
    )
    nz = max(1, round(config.depth_angstrom / voxel)) if config.depth_angstrom else nx
    deepest = max(nz, nx)
    slices = 1
    if config.method == "multislice":
        auto = max(1, min(deepest, round(deepest * voxel / AUTO_SLICE_ANGSTROM)))
        slices = auto if config.slices == "auto" else min(config.slices, deepest)
    return TiltGeometry(nz, nx, ny, voxel, tuple(series.tilt_deg.tolist()), slices), nx, ny


def _seconds(
    geometry: TiltGeometry, series: TiltFocalSeries, config: ReconstructionConfig, nodes: int
) -> float:
    points = geometry.nx * geometry.ny
    one_fft = _FFT_SECONDS * points * max(1, points.bit_length())
    rotate = sum(geometry.depth(i) for i in range(geometry.n_tilt)) * points * 8 * _ROTATE_SECONDS
    if config.method == "sirt":
        return rotate
    ffts = sum(4 * (len(geometry.edges(i)) - 1) for i in range(geometry.n_tilt))
    ffts += series.n_tilt * series.n_focus * nodes * 2
    return rotate + ffts * one_fft * _ELEMENTWISE
