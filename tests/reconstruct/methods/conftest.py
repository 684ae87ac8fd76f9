"""A phantom without symmetry, its projections, and ASTRA as an independent oracle."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_phaset3m.config import ConstraintConfig, ReconstructionConfig
from napari_phaset3m.core.backend import Device
from napari_phaset3m.core.geometry import TiltGeometry
from napari_phaset3m.core.projector import HostProjector
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.reconstruct.methods import make_method
from napari_phaset3m.reconstruct.problem import build_problem

ANGLES = np.linspace(-63, 66, 44)
FREE = ConstraintConfig(positivity=False)


def phantom(n: int, ny: int) -> np.ndarray:
    """`(nz, nx, ny)` density per voxel: three ellipsoids, line sums of order 1."""
    axes = (np.linspace(-1, 1, n), np.linspace(-1, 1, n), np.linspace(-1, 1, ny))
    z, x, y = np.meshgrid(*axes, indexing="ij")
    v = np.zeros((n, n, ny), np.float32)
    for value, cz, cx, cy, r in (
        (1, 0.1, -0.2, 0, 0.45),
        (0.7, -0.35, 0.3, 0.3, 0.2),
        (0.5, 0.3, 0.25, -0.3, 0.15),
    ):
        v += value * ((z - cz) ** 2 + (x - cx) ** 2 + (0.5 * (y - cy)) ** 2 < r**2)
    return v / n


def project(volume: np.ndarray, angles: np.ndarray = ANGLES) -> np.ndarray:
    """`(n_tilt, ny, nx)` line sums."""
    nz, nx, ny = volume.shape
    out = np.empty((len(angles), nx, ny), np.float32)
    geometry = TiltGeometry(nz, nx, ny, 1.0, tuple(angles.tolist()))
    projector = HostProjector(geometry, "linear", 1)
    projector.forward(np.ascontiguousarray(volume, np.float32), range(len(angles)), out)
    projector.close()
    return out.swapaxes(1, 2)


def series(projections: np.ndarray, angles: np.ndarray = ANGLES, **fields: Any) -> TiltFocalSeries:
    """Images `(n_tilt, 1, ny, nx)` whose ``1 - I`` are the projections."""
    images = (1 - projections)[:, None].astype(np.float32)
    return TiltFocalSeries(
        **{"images": images, "tilt_deg": angles, "pixel_size_angstrom": 2.0, "energy_ev": 3e5, **fields}
    )


def config(method: str, **changes: Any) -> ReconstructionConfig:
    """Plain settings: no positivity and no momentum."""
    return ReconstructionConfig(
        **{"method": method, "momentum": "none", "constraints": FREE, "threads": 2, **changes}
    )


def method(name: str, projections: np.ndarray, angles: np.ndarray = ANGLES, **changes: Any) -> Any:
    """The method on these projections, on the CPU."""
    settings = config(name, **changes)
    problem = build_problem(series(projections, angles), settings)
    return make_method(problem, settings, 2, Device("cpu", "CPU"))


def astra(name: str, projections: np.ndarray, iterations: int, **option: Any) -> np.ndarray:
    """`(nz, nx, ny)` result of an ASTRA CPU algorithm with its linear projector."""
    toolbox = pytest.importorskip("astra")
    n_tilt, ny, n = projections.shape
    angles = option.pop("angles", ANGLES)
    assert n_tilt == len(angles)
    # Rows of an ASTRA volume run against its y axis, which here is z: the angle keeps its sign.
    volume_geometry = toolbox.create_vol_geom(n, n)
    geometry = toolbox.create_proj_geom("parallel", 1.0, n, np.radians(angles))
    projector = toolbox.create_projector("linear", geometry, volume_geometry)
    out = np.empty((n, n, ny), np.float32)
    for y in range(ny):
        data = toolbox.data2d.create("-sino", geometry, np.ascontiguousarray(projections[:, y]))
        result = toolbox.data2d.create("-vol", volume_geometry, 0.0)
        settings = toolbox.astra_dict(name)
        settings |= {"ProjectorId": projector, "ProjectionDataId": data, "ReconstructionDataId": result}
        settings["option"] = option
        algorithm = toolbox.algorithm.create(settings)
        toolbox.algorithm.run(algorithm, iterations)
        out[:, :, y] = toolbox.data2d.get(result)
        toolbox.algorithm.delete(algorithm)
        toolbox.data2d.delete([data, result])
    toolbox.projector.delete(projector)
    return out


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation of two arrays."""
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.fixture(scope="session")
def scene() -> SimpleNamespace:
    """The helpers above, by name."""
    names = (phantom, project, series, config, method, astra, correlation)
    return SimpleNamespace(angles=ANGLES, free=FREE, **{f.__name__: f for f in names})
