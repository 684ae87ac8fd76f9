"""What is imposed on the volume between updates, as small objects with schedules."""

from __future__ import annotations

from napari_phaset3m.reconstruct.constraints.atomic import AtomicBasis
from napari_phaset3m.reconstruct.constraints.base import Constraint
from napari_phaset3m.reconstruct.constraints.build import build_constraints
from napari_phaset3m.reconstruct.constraints.butterworth import Butterworth, butterworth_gain
from napari_phaset3m.reconstruct.constraints.mask import Mask, soft_edge
from napari_phaset3m.reconstruct.constraints.pointwise import HardThreshold, Positivity
from napari_phaset3m.reconstruct.constraints.recentre import Recentre, centre_of_mass
from napari_phaset3m.reconstruct.constraints.tv import TotalVariation, total_variation, tv_prox

__all__ = [
    "AtomicBasis",
    "Butterworth",
    "Constraint",
    "HardThreshold",
    "Mask",
    "Positivity",
    "Recentre",
    "TotalVariation",
    "build_constraints",
    "butterworth_gain",
    "centre_of_mass",
    "soft_edge",
    "total_variation",
    "tv_prox",
]
