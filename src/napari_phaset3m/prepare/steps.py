"""The preparation steps there are, in the order in which they usually come."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from napari_phaset3m.errors import ConfigError
from napari_phaset3m.prepare.denoise import DENOISE
from napari_phaset3m.prepare.dose import DOSE
from napari_phaset3m.prepare.entry import StepEntry
from napari_phaset3m.prepare.geometry import BIN, CROP, PAD
from napari_phaset3m.prepare.motion.step import MOTION
from napari_phaset3m.prepare.normalise import NORMALISE
from napari_phaset3m.prepare.outliers import OUTLIERS
from napari_phaset3m.prepare.reference import REFERENCE
from napari_phaset3m.prepare.taper import TAPER

#: By name; the order is the one that flags of the command line are carried out in.
_ORDERED = (MOTION, REFERENCE, OUTLIERS, CROP, BIN, NORMALISE, DOSE, DENOISE, PAD, TAPER)
STEPS: Mapping[str, StepEntry] = MappingProxyType({entry.name: entry for entry in _ORDERED})


def step_entry(name: str) -> StepEntry:
    """The step of that name.

    Raises
    ------
    ConfigError
        There is none.
    """
    if name not in STEPS:
        raise ConfigError(f"step: {name!r} is not a preparation step. Known are {', '.join(STEPS)}")
    return STEPS[name]


__all__ = ["STEPS", "StepEntry", "step_entry"]
