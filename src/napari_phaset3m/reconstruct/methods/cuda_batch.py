"""How many tilts a GPU takes at once, beside what else must fit in its memory."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.cuda.multislice import batch_bytes
from napari_phaset3m.core.cuda.runtime import Runtime
from napari_phaset3m.errors import ResourceError
from napari_phaset3m.reconstruct.problem import Problem

#: Waves of a batch, pixels: with fewer, launching a kernel takes longer than running it.
FULL_BATCH = 1 << 22
#: Share of the free memory that batches may take; the solver's volumes need the rest.
_MEMORY_SHARE = 0.6


def choose_batch(
    problem: Problem, runtime: Runtime, *, channels: int, n_nodes: int, reserved_bytes: int = 0
) -> int:
    """Tilts per batch that fit beside the solver's volumes and ``reserved_bytes``.

    Raises
    ------
    ResourceError
        Not even one tilt fits.
    """
    geometry = problem.geometry
    n_image = problem.images.shape[1] * n_nodes
    one = batch_bytes(problem.grid, geometry.max_slices(), n_image, channels)
    volume = 4 * channels * geometry.nz * geometry.nx * geometry.ny
    # Volume, the last sweep's volume and the gradient; the images stay on the device too.
    taken = 3 * volume + problem.images.nbytes + reserved_bytes
    left = runtime.free_bytes() - taken
    batch = int(_MEMORY_SHARE * left // one)
    if batch < 1:
        raise ResourceError(
            f"GPU memory: one tilt needs {(one / _MEMORY_SHARE + taken) / 2**30:.1f} GiB, "
            f"{runtime.free_bytes() / 2**30:.1f} GiB are free. Use fewer slices, a larger voxel or device cpu"
        )
    full = -(-FULL_BATCH // (problem.grid.nx * problem.grid.ny))
    return min(batch, full, geometry.n_tilt)


def constraint_bytes(problem: Problem, config: ReconstructionConfig) -> int:
    """Scratch of the constraints: dual fields of total variation, spectra, the basis's potential."""
    limits = config.constraints
    volumes = 7 if limits.tv_weight else 0  # they work on one channel after the other
    if limits.lowpass_angstrom or limits.highpass_angstrom:
        volumes = max(volumes, 4)
    volumes += 3 if problem.basis_sigma_angstrom else 0
    return 4 * volumes * int(np.prod(problem.geometry.volume_shape))
