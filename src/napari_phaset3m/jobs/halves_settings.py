"""The settings that both halves of a series share, and how they obey one control."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_phaset3m.analyse.halves import SHARED
from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import Device
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.jobs.control import RunControl
from napari_phaset3m.reconstruct.events import Finished

#: Said when a sparsity penalty acts on halves.
PENALTY = (
    "The sparsity penalty follows each half's own noise: its factor is the same, its weight is not that of "
    "the whole series, nor need it be equal in both halves."
)


def common_settings(
    series: TiltFocalSeries, config: ReconstructionConfig, device: Device, mask: np.ndarray | None
) -> tuple[ReconstructionConfig, tuple[str, ...], bool]:
    """Pin what "auto" means, from the whole series, so that the halves cannot differ.

    A half has half the dose and half the updates per sweep: left to itself it might choose another
    basis, step or number of sweeps. Pinned are the step, the sweeps, subsets, slices, loss, atomic
    basis and held-out fraction. Sweeps that held-out images decide are not known beforehand: the
    first half decides, and the second one runs as many (:func:`kept_sweeps`). Not pinned is the weight
    of the sparsity penalty: it follows each half's own noise (:mod:`reconstruct.sparsity`).

    Returns
    -------
    config : ReconstructionConfig
    notes : tuple of str
        What was pinned, in words.
    first_decides : bool
        The number of sweeps is left to held-out images of the first half.

    Raises
    ------
    PhaseT3MError
        As the reconstruction itself would, before anything is computed.
    """
    from napari_phaset3m.reconstruct.forecast import forecast
    from napari_phaset3m.reconstruct.methods import METHODS
    from napari_phaset3m.reconstruct.problem import sparsity
    from napari_phaset3m.reconstruct.stage import Stage

    forecast(series, config, device=device.kind).check()
    if METHODS[config.method].direct:
        return config, (), False
    stage = Stage(series, config, device, mask, 1)
    try:
        changes = _resolved(config, series, stage)
    finally:
        stage.solver.close()
    notes: tuple[str, ...] = (f"Both halves run with what the whole series resolves to: {_words(changes)}.",)
    if sparsity(config, stage.problem.geometry.voxel_size_angstrom):
        notes += (PENALTY,)
    first_decides = "iterations" not in changes
    if first_decides:
        notes += ("Held-out images of the first half decide the sweeps of both.",)
    sigma = changes.pop("atomic_basis_sigma_angstrom", "kept")
    if sigma != "kept":
        changes["constraints"] = config.constraints.model_copy(update={"atomic_basis_sigma_angstrom": sigma})
    return config.model_copy(update=changes), notes, first_decides


def shared_note(config: ReconstructionConfig, voxel_size_angstrom: float, *, masked: bool) -> str:
    """What both halves have in common besides the specimen, so that agreeing does not prove it.

    Parameters
    ----------
    config : ReconstructionConfig
        That both halves were reconstructed with, its "auto" resolved as far as it was.
    voxel_size_angstrom : float
    masked : bool
        Both were reconstructed within one mask.
    """
    from napari_phaset3m.reconstruct.methods import unused
    from napari_phaset3m.reconstruct.problem import is_linear, sparsity

    limits, idle = config.constraints, unused(config.method)
    basis = None if is_linear(config) else limits.atomic_basis_sigma_angstrom
    acted = {
        "positivity": limits.positivity and "constraints.positivity" not in idle,
        "a sparsity penalty": sparsity(config, voxel_size_angstrom) > 0,
        "the atomic basis": basis not in (None, "auto"),
        "total variation": bool(limits.tv_weight) and "constraints.tv_weight" not in idle,
        "the mask they were reconstructed in": masked,
    }
    named = [name for name, there in acted.items() if there]
    if not named:
        return (
            f"{SHARED} the optics, which their agreement does not test: with the wrong sign of the defocus "
            "they can agree all the same."
        )
    *most, last = ["the optics", *named]
    return (
        f"{SHARED} {', '.join(most)} and {last}: the FSC counts what these put into both as agreement, in "
        "the missing wedge too, and with the wrong sign of the defocus they can agree all the same."
    )


def _resolved(config: ReconstructionConfig, series: TiltFocalSeries, stage: Any) -> dict[str, Any]:
    """Fields that the method uses, with what they were resolved to."""
    from napari_phaset3m.reconstruct.methods import unused
    from napari_phaset3m.reconstruct.problem import holdout_fraction

    plan, told = stage.plan, stage.settings()["resolved"]
    sigma = plan.basis_sigma_angstrom
    found: dict[str, Any] = {
        "slices": told["slices"],
        "subset_size": "all" if plan.subset_size >= stage.problem.tilts.size else plan.subset_size,
        "holdout_fraction": holdout_fraction(config, series),
    }
    if "loss" in told:
        found["loss"] = told["loss"]
        found["atomic_basis_sigma_angstrom"] = sigma
        # Each stage of a multi-resolution run has a step of its own.
        if config.step == "auto" and not config.multiresolution:
            found["step"] = float(stage.step()) * stage.problem.geometry.nz
    if not (plan.stops_itself and config.iterations == "auto"):
        found["iterations"] = plan.n_sweeps
    idle = {path.removeprefix("constraints.") for path in unused(config.method)}
    return {name: value for name, value in found.items() if name not in idle}


def _words(changes: dict[str, Any]) -> str:
    parts = []
    for name, value in changes.items():
        shown = f"{value:.3g}" if isinstance(value, float) else str(value).lower()
        parts.append(f"{name.replace('_', ' ')} {shown}")
    return ", ".join(parts)


def kept_sweeps(done: Finished, config: ReconstructionConfig) -> int:
    """Sweeps after which a finished run's volume was taken.

    With held-out images the best sweep's volume is kept, not the last one's.
    """
    last = [s for s in done.sweeps if s.stage == done.sweeps[-1].stage] if done.sweeps else []
    if done.reason == "finished early" or config.iterations != "auto":
        return max(1, len(last))
    best, kept = np.inf, len(last)
    for i, sweep in enumerate(last):
        if sweep.held_out_error is not None and sweep.held_out_error < best * (1 - config.tolerance):
            best, kept = sweep.held_out_error, i + 1
    return max(1, kept)


class HalfControl(RunControl):
    """What one half hears of the control of both.

    A stop lets the half hand out the volume it has, instead of dropping it. A wish to finish ends
    the half during which it came; the other one runs as many sweeps.

    Parameters
    ----------
    both : RunControl
    mask : ndarray or None
        The mask this half begins with.
    """

    def __init__(self, both: RunControl, mask: np.ndarray | None) -> None:
        super().__init__()
        self._both, self._deaf = both, both.finish_requested()
        self.begun = False
        self.latest_mask = mask
        self.mask_changed = False

    @property
    def paused(self) -> bool:
        """Whether a pause is asked for."""
        return self._both.paused

    @property
    def stopped(self) -> bool:
        """Whether to stop without a volume: only while there is none."""
        return self._both.stopped and not self.begun

    def finish_requested(self) -> bool:
        """Whether to end after this step and keep the volume."""
        return self._both.stopped or (self._both.finish_requested() and not self._deaf)

    def wait_while_paused(self, timeout: float) -> bool:
        """As the control of both."""
        return self._both.wait_while_paused(timeout)

    def wait_for_stop(self, timeout: float) -> bool:
        """As the control of both."""
        return self._both.wait_for_stop(timeout)

    def preview_max_voxels(self) -> int:
        """As the control of both."""
        return self._both.preview_max_voxels()

    def preview_delivered(self, pause_seconds: float = 0.0) -> bool:
        """As the control of both."""
        return self._both.preview_delivered(pause_seconds)

    def expect_masks_of(self, shape: tuple[int, int, int]) -> None:
        """As the control of both."""
        self._both.expect_masks_of(shape)

    def mask(self) -> np.ndarray | None:
        """A newer mask of the control of both; remembered for the other half."""
        newer = self._both.mask()
        if newer is not None:
            self.latest_mask = newer if newer.size else None
            self.mask_changed = True
        return newer
