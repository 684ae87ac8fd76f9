"""Which device a run can use."""

from __future__ import annotations

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import Device, DeviceName, resolve_device
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DeviceError
from napari_phaset3m.reconstruct.methods.registry import METHODS


def without_gpu(series: TiltFocalSeries, config: ReconstructionConfig) -> str | None:
    """What a run needs that has no GPU version; None when all of it has one.

    Rotations, the detector's MTF, refinement and constraints run on either device, whatever
    the series: only a method can be without.
    """
    return f"method {config.method}" if METHODS[config.method].cuda is None else None


def choose_device(
    name: DeviceName | Device, series: TiltFocalSeries, config: ReconstructionConfig
) -> tuple[Device, tuple[str, ...]]:
    """The device of a run, and what the user should know about the choice.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda"} or Device
        ``"auto"`` takes a GPU that works when the run has a version for it, else the CPU.

    Raises
    ------
    DeviceError
        A GPU was asked for, and it does not work or the run has no version for it.
    """
    device = name if isinstance(name, Device) else resolve_device(name)
    lacking = without_gpu(series, config) if device.kind == "cuda" else None
    if lacking is None:
        return device, ()
    if name != "auto":
        raise DeviceError(f"{lacking} has no GPU version; use --device cpu, or auto")
    return resolve_device("cpu"), (f"{lacking} has no GPU version: computed on the CPU",)
