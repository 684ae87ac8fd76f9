"""One image as measured and as the best point would have it: beside each other, and over shifts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import resolve_device
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align.grid import compared, least, shift_errors
from napari_phaset3m.prepare.align.likelihood import ShiftGrid
from napari_phaset3m.reconstruct.methods import make_method
from napari_phaset3m.reconstruct.methods.linear import LinearMethod
from napari_phaset3m.reconstruct.problem import build_problem
from napari_phaset3m.reconstruct.volumes import from_public, to_public


def one_tilt(series: TiltFocalSeries, tilt: int) -> TiltFocalSeries:
    """The images of one tilt alone, all of them used."""
    at = slice(tilt, tilt + 1)
    parts = {
        name: None if getattr(series, name) is None else getattr(series, name)[at]
        for name in ("images", "tilt_deg", "defocus_angstrom", "shifts_px")
    }
    return series.replace(**parts, used=None, dose_per_image=None)


def simulated(
    series: TiltFocalSeries, config: ReconstructionConfig, volume: np.ndarray, tilt: int
) -> tuple[np.ndarray, np.ndarray]:
    """Images of one tilt, measured and simulated from a volume, on the voxels' grid.

    Parameters
    ----------
    series : TiltFocalSeries
        Its optics, defoci and shifts go into the simulation.
    config : ReconstructionConfig
        The volume was reconstructed with it (slices, voxel, depth).
    volume : ndarray
        `(nz, ny, nx)` in the method's unit (volts; a density per voxel of its own for linear methods).
    tilt : int

    Returns
    -------
    measured, simulated : ndarray
        `(n_focus, ny, nx)` intensities, incident 1; simulated ones lie, shifted, where the measured do.
        Of linear methods `(1, ny, nx)`: what they fit, projections ``1 - I``, ``-ln I`` or phases.

    Raises
    ------
    DataError
        The volume is of other proportions than the series and config have.
    """
    nz = volume.shape[0]
    voxel = config.voxel_angstrom or series.pixel_size_angstrom
    free = config.constraints.model_copy(update={"atomic_basis_sigma_angstrom": None})
    update = {"holdout_fraction": 0.0, "multiresolution": (), "constraints": free}
    if config.depth_angstrom is not None:
        update["depth_angstrom"] = nz * voxel
    run = config.model_copy(update=update)
    problem = build_problem(one_tilt(series, tilt), run)
    method: Any = make_method(problem, run, 1, resolve_device("cpu"))
    linear = isinstance(method, LinearMethod)
    try:
        engine = np.zeros(method.volume_shape, REAL)
        shape = problem.geometry.volume_shape
        engine[0] = from_public(volume, shape, problem.border, "volume") / method.volts_per_unit
        seen = method.predict(engine, 0)
        data = method.data if linear else problem.images[0]
        measured, found = (to_public(images, 1.0, problem.border) for images in (data, seen))
    finally:
        if linear:
            method.close()
    return measured, found


@dataclass(frozen=True, slots=True, eq=False)
class ShiftMap:
    """Error of one image against its prediction over 2D shifts (Lee et al. 2025, figure 1e).

    Attributes
    ----------
    error : ndarray
        `(m, m)` over (y, x) shifts, relative to that of an empty volume.
    points_px : ndarray
        `(m,)` shifts, pixels, added to the one that the series states.
    least_px, sigma_px : ndarray
        `(2,)` (y, x) of the parabola's minimum and one standard deviation.
    """

    error: np.ndarray
    points_px: np.ndarray
    least_px: np.ndarray
    sigma_px: np.ndarray


def shift_map(
    measured: np.ndarray,
    predicted: np.ndarray,
    scale: float = 1.0,
    radius_px: float = 2.0,
    step_px: float = 0.25,
) -> ShiftMap:
    """Where an image lies on its prediction.

    Parameters
    ----------
    measured, predicted : ndarray
        `(ny, nx)` intensities, incident 1.
    scale : float
        Pixels of the series to one of these.
    radius_px, step_px : float
        Of the map, pixels of the series.
    """
    one, other = (
        np.sqrt(np.maximum(image.T[None], 0, dtype=np.float64)) - 1 for image in (measured, predicted)
    )
    ny, nx = measured.shape
    places = ShiftGrid.make(Grid(nx, ny, 1.0), radius_px / scale, step_px / scale)
    error = shift_errors(one, other, places)[0]
    points = places.points * scale
    moved, sigma, _ = least(error, points, int(compared(nx, ny).sum()))
    return ShiftMap(error, points, moved, sigma)
