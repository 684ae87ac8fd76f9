"""Defocus and contrast transfer of the images: from Thon rings, or from the consistency of a focal group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_phaset3m.prepare.ctf.api import find_ctf, iterate_ctf, thon_rings
    from napari_phaset3m.prepare.ctf.config import CtfConfig
    from napari_phaset3m.prepare.ctf.curves import RingCurve, RingPicture
    from napari_phaset3m.prepare.ctf.result import CtfResult, ImageCtf

__all__ = [
    "CtfConfig",
    "CtfResult",
    "ImageCtf",
    "RingCurve",
    "RingPicture",
    "find_ctf",
    "iterate_ctf",
    "thon_rings",
]

_HOMES = {
    "CtfConfig": "config",
    "CtfResult": "result",
    "ImageCtf": "result",
    "RingCurve": "curves",
    "RingPicture": "curves",
}


def __getattr__(name: str) -> Any:
    # The command line needs the parameters only, and not what fits them.
    if name not in __all__:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'api')}"), name)
