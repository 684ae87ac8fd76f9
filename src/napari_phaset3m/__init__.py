"""3D phase-retrieval electron tomography (PhaseT3M), in napari, Python and the shell.

Public names are imported on first use, so that ``import napari_phaset3m`` costs
next to nothing and needs neither Qt nor a GPU.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_EXPORTS = {
    "ConstraintConfig": "config",
    "ReconstructionConfig": "config",
    "TiltFocalSeries": "core.series",
    "Reconstruction": "reconstruct.api",
    "iterate": "reconstruct.api",
    "reconstruct": "reconstruct.api",
    "load_series": "io.series",
    "save_series": "io.series",
    "load_volume": "io.volume",
    "save_volume": "io.volume",
    "SimulationConfig": "simulate.config",
    "simulate": "simulate.api",
}
__all__ = ["__version__", *sorted(_EXPORTS)]

if TYPE_CHECKING:
    from napari_phaset3m.config import ConstraintConfig, ReconstructionConfig
    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.io.series import load_series, save_series
    from napari_phaset3m.io.volume import load_volume, save_volume
    from napari_phaset3m.reconstruct.api import Reconstruction, iterate, reconstruct
    from napari_phaset3m.simulate.api import simulate
    from napari_phaset3m.simulate.config import SimulationConfig


class _Package(ModuleType):
    """Keeps public names that sub-packages share: importing one would put itself in the name's place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _EXPORTS and isinstance(value, ModuleType):
            return  # docs/decisions/0006-names.md
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_EXPORTS[name]}")
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
