"""What "auto" means: every open setting resolved from the data at hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.reconstruct.methods import METHODS, unused
from napari_phaset3m.reconstruct.methods.multislice import resolve_loss
from napari_phaset3m.reconstruct.problem import Problem, is_linear, sparsity
from napari_phaset3m.reconstruct.solver import resolve_threads

#: Upper bound of the sweeps when held-out images decide when to stop.
MAX_SWEEPS = 60
#: Sweeps when the dose is known: by then the penalised misfit has converged (docs/decisions/0004).
SWEEPS = 45


@dataclass(frozen=True, slots=True)
class Plan:
    """Resolved settings of one run."""

    n_sweeps: int
    subset_size: int
    threads: int
    basis_sigma_angstrom: float | None
    holdout: float
    notes: tuple[str, ...]

    @property
    def stops_itself(self) -> bool:
        """Held-out images decide when to stop."""
        return self.holdout > 0


def make_plan(config: ReconstructionConfig, problem: Problem) -> Plan:
    """Resolve every ``"auto"``; the notes say what was chosen and why."""
    entry, notes = METHODS[config.method], list(_notes(config))
    sigma = problem.basis_sigma_angstrom
    if sigma and config.constraints.atomic_basis_sigma_angstrom == "auto":
        notes.append(f"{problem.total_dose:.0f} e/Å² in all: atomic basis of {sigma:g} Å")
    holdout = float(problem.held_out.sum()) / problem.held_out.size
    if entry.direct:
        n_sweeps = 1
    elif config.iterations != "auto":
        n_sweeps = config.iterations
    elif entry.sweeps is not None:
        n_sweeps = entry.sweeps
    elif holdout:
        n_sweeps = MAX_SWEEPS
        notes.append(f"{problem.held_out.sum()} images are held out to decide when to stop")
    else:
        n_sweeps = SWEEPS
    if problem.microscope is not None and problem.microscope.focal_spread_angstrom == 0:
        notes.append("no focal spread is known: the beam is taken as temporally coherent")
    return Plan(
        n_sweeps,
        subset_size(config, problem.tilts.size),
        resolve_threads(config),
        sigma,
        holdout,
        tuple(notes),
    )


def relaxation(config: ReconstructionConfig) -> float:
    """Relaxation factor of a linear method: as given, else the method's own (1 when it has none)."""
    if config.relaxation != "auto":
        return config.relaxation
    return METHODS[config.method].relaxation or 1.0


def outcome_note(method: str, error: float, *, positivity: bool) -> str | None:
    """What to know of a linear result that fits its projections worse than an empty volume does.

    Parameters
    ----------
    method : str
    error : float
        Misfit over that of an empty volume.
    positivity : bool
        Negative values were cut off.
    """
    entry = METHODS[method]
    if not entry.linear or error <= 1:
        return None
    clipped = ", its negative values cut off," if positivity else ""
    return (
        f"the {entry.label} volume{clipped} has {error:.3g} times the misfit of an empty one: its scale "
        "means nothing, only its shape can be compared"
    )


def _notes(config: ReconstructionConfig) -> Iterator[str]:
    entry = METHODS[config.method]
    changed = [path for path in sorted(unused(config.method)) if _is_changed(config, path)]
    if changed:
        yield f"{entry.label} does not use {', '.join(changed)}"
    limits = config.constraints.positivity or config.constraints.tv_weight
    if entry.constrained == "result" and limits:
        yield f"{entry.label} iterates without constraints: they act on the volumes it hands out"
    if entry.direct and config.constraints.positivity:
        yield (
            f"{entry.label} is direct: negative values are cut off once, from its result; its error is that "
            "of the volume after it"
        )


def _is_changed(config: ReconstructionConfig, path: str) -> bool:
    value: Any = config
    default: Any = type(config)()
    for name in path.split("."):
        value, default = getattr(value, name), getattr(default, name)
    return bool(value != default)


def subset_size(config: ReconstructionConfig, n_tilt: int) -> int:
    """Tilts per update of a run over ``n_tilt`` tilts."""
    n, entry = max(1, n_tilt), METHODS[config.method]
    if config.subset_size == "all" or entry.whole:
        return n
    if config.subset_size != "auto":
        return min(n, config.subset_size)
    if entry.linear:
        return min(n, entry.subset or n)
    # Two tilts per update converge as fast as one and keep two threads busy; more
    # threads get more tilts, as long as a sweep stays a dozen updates.
    return min(n, max(2, min(resolve_threads(config), n // 12)))


def settings(config: ReconstructionConfig, problem: Problem, plan: Plan) -> dict[str, Any]:
    """The config as plain data, with what "auto" became under ``resolved``."""
    geometry = problem.geometry
    resolved: dict[str, Any] = {
        "iterations": plan.n_sweeps,
        "subset_size": plan.subset_size,
        "threads": plan.threads,
        "atomic_basis_sigma_angstrom": plan.basis_sigma_angstrom,
        "held_out_images": int(problem.held_out.sum()),
        "slices": geometry.n_slices,
        "voxel_angstrom": geometry.voxel_size_angstrom,
        "volume_shape_zyx": [geometry.nz, geometry.ny - 2 * problem.border, geometry.nx - 2 * problem.border],
        "padding_px": problem.border,
        "total_dose": problem.total_dose,
    }
    if not is_linear(config):
        resolved["loss"] = resolve_loss(config, problem)
        resolved["sparsity"] = sparsity(config, geometry.voxel_size_angstrom)
        resolved["slice_angstrom"] = geometry.voxels_per_slice * geometry.voxel_size_angstrom
    if METHODS[config.method].relaxation is not None:
        resolved["relaxation"] = relaxation(config)
    if problem.microscope is not None:
        resolved["focal_spread_angstrom"] = problem.microscope.focal_spread_angstrom
    return {**config.model_dump(mode="json"), "resolved": resolved}
