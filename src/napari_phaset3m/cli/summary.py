"""What a run chose, in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def chosen(settings: Mapping[str, Any]) -> str:
    """Method, volume, slices, loss, sweeps, subset, step, basis and sparsity of a run that begins.

    Parameters
    ----------
    settings : mapping
        Of :class:`.events.Started`.
    """
    found: Mapping[str, Any] = settings.get("resolved", {})
    nz, nx, ny = found["volume_shape_zyx"]
    parts = [f"{nz} x {ny} x {nx} voxels of {found['voxel_angstrom']:.4g} Å"]
    if "slice_angstrom" in found:
        parts.append(f"{found['slices']} slices of {found['slice_angstrom']:.3g} Å")
    if "loss" in found:
        parts.append(f"loss {found['loss']}")
    parts.append(f"{found['iterations']} sweeps of {found['subset_size']} tilts per update")
    if "step" in found:
        parts.append(f"step {found['step']:.4g}")
    if "relaxation" in found:
        parts.append(f"relaxation {found['relaxation']:.4g}")
    if "sparsity" in found:
        sigma = found.get("atomic_basis_sigma_angstrom")
        parts.append(f"atomic basis {sigma:g} Å" if sigma else "free voxels")
        parts.append(f"sparsity {found['sparsity']:g}")
    return f"{settings.get('method', 'run')}: {', '.join(parts)}"
