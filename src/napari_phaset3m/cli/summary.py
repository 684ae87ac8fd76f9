"""What a run chose, and how it ended, in one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_phaset3m.reconstruct.methods import METHODS

_ENDED = {
    "sweeps": "all sweeps done",
    "converged": "converged: the error falls no more",
    "held-out": "stopped on the {held_out_images} held-out images, which stay out of the volume",
    "diverged": "diverged: the last good volume was kept",
}


def chosen(settings: Mapping[str, Any]) -> str:
    """Method, volume, slices, loss, sweeps, subset, step, basis and sparsity of a run that begins.

    Parameters
    ----------
    settings : mapping
        Of :class:`.events.Started`.
    """
    found: Mapping[str, Any] = settings.get("resolved", {})
    nz, ny, nx = found["volume_shape_zyx"]
    parts = [f"{nz} x {ny} x {nx} voxels of {found['voxel_angstrom']:.4g} Å"]
    if found.get("padding_px"):
        parts.append(f"padded by {found['padding_px']} px")
    if "slice_angstrom" in found:
        parts.append(f"{found['slices']} slices of {found['slice_angstrom']:.3g} Å")
    if "loss" in found:
        parts.append(f"loss {found['loss']}")
    parts.append(_sweeps(settings.get("method"), found))
    if "step" in found:
        parts.append(f"step {found['step']:.4g}")
    if "relaxation" in found:
        parts.append(f"relaxation {found['relaxation']:.4g}")
    if "sparsity" in found:
        sigma = found.get("atomic_basis_sigma_angstrom")
        parts.append(f"atomic basis {sigma:g} Å" if sigma else "free voxels")
        parts.append(f"sparsity {found['sparsity']:g}")
    return f"{settings.get('method', 'run')}: {', '.join(parts)}"


def ended(record: Mapping[str, Any]) -> str:
    """Sweeps, error and reason of a run that ended.

    Parameters
    ----------
    record : mapping
        As :func:`.run_files.run_record` makes it.
    """
    errors, settings = record["error_per_iteration"], record["parameters"]
    if _is_direct(settings["method"]):
        clipped = ", after negative values were cut off" if settings["constraints"]["positivity"] else ""
        return f"direct, error {errors[-1]:.4f}{clipped}"
    reason = _ENDED.get(record["reason"], record["reason"]).format(**record)
    return f"{_many(len(errors), 'sweep')}, error {errors[-1]:.4f}, {reason}"


def _sweeps(method: Any, found: Mapping[str, Any]) -> str:
    if _is_direct(method):
        return f"direct, from {_many(found['subset_size'], 'tilt')}"
    tilts = _many(found["subset_size"], "tilt")
    return f"{_many(found['iterations'], 'sweep')} of {tilts} per update"


def _is_direct(method: Any) -> bool:
    entry = METHODS.get(str(method))
    return entry is not None and entry.direct


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
