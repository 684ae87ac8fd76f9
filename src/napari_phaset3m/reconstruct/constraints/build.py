"""From the parameters to the constraints that act in a run."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.config import ConstraintConfig
from napari_phaset3m.reconstruct.constraints.base import Constraint
from napari_phaset3m.reconstruct.constraints.butterworth import Butterworth
from napari_phaset3m.reconstruct.constraints.mask import Mask
from napari_phaset3m.reconstruct.constraints.pointwise import HardThreshold, Positivity
from napari_phaset3m.reconstruct.constraints.recentre import Recentre
from napari_phaset3m.reconstruct.constraints.tv import TotalVariation


def build_constraints(
    config: ConstraintConfig,
    voxel_size_angstrom: float,
    volts_per_unit: float = 1.0,
    mask: np.ndarray | None = None,
    *,
    threads: int | None = None,
    updates_per_sweep: int = 1,
) -> tuple[Constraint, ...]:
    """List the constraints that ``config`` switches on, in the order in which they act.

    Parameters
    ----------
    config : ConstraintConfig
        The atomic basis is a change of variables, not a constraint: see
        :class:`AtomicBasis`.
    voxel_size_angstrom : float
    volts_per_unit : float
        Volts that one unit of the volume stands for, so that levels given in volts become
        volume units: ``1 / (sigma * voxel)`` for phase per voxel, 1 where the method's
        density takes the place of volts.
    mask : ndarray, optional
        `(nz, nx, ny)`, values in 0..1.
    threads : int, optional
        CPU threads of the filters and the total variation; all when omitted.
    updates_per_sweep : int
        How often they act in a sweep; a soft mask weights the volume once per sweep.

    Returns
    -------
    tuple of Constraint
        Re-centring, Butterworth, total variation, threshold, positivity, mask:
        what can create negative or masked-out density comes before what removes it.
    """
    found: list[Constraint] = []
    if config.recentre:
        found.append(Recentre(schedule=config.recentre_schedule))
    if config.lowpass_angstrom or config.highpass_angstrom:
        found.append(
            Butterworth(
                voxel_size_angstrom,
                config.lowpass_angstrom,
                config.highpass_angstrom,
                order=config.butterworth_order,
                dimensions=config.filter_dimensions,
                threads=threads,
                schedule=config.filter_schedule,
            )
        )
    if config.tv_weight:
        weight = config.tv_weight / volts_per_unit
        found.append(TotalVariation(weight, threads=threads, schedule=config.tv_schedule))
    if config.threshold_volts:
        found.append(HardThreshold(config.threshold_volts / volts_per_unit, config.threshold_schedule))
    if config.positivity:
        found.append(Positivity(0))
    if config.positivity_absorption:
        found.append(Positivity(1))
    if mask is not None:
        edge = config.mask_soft_edge_angstrom / voxel_size_angstrom
        found.append(Mask(mask, edge, updates_per_sweep=updates_per_sweep))
    return tuple(found)
