"""The same halves without priors: how much of their agreement the priors put there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from napari_phaset3m.config import ConstraintConfig, ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.jobs.halves import run_halves
from napari_phaset3m.jobs.halves_messages import HalfEvent, HalvesEvent, HalvesProgress, HalvesResult

#: What the control is called where it is drawn.
FREE_NAME = "without priors"
#: What qualifies the control.
FREE_NOTE = (
    "The control without priors has the same halves, sweeps and optics, but no positivity, sparsity, atomic "
    "basis, total variation, threshold, filter or mask. What the halves agree on beyond it was put there, or "
    "kept from noise, by the priors. Without them noise is fitted sooner, so the control is a lower bound."
)


def free_of_priors(config: ReconstructionConfig) -> ReconstructionConfig:
    """The same settings with nothing imposed on the volume.

    Parameters
    ----------
    config : ReconstructionConfig
        Its step is left to be found again: another basis has another one.
    """
    limits = ConstraintConfig(
        positivity=False, positivity_absorption=False, atomic_basis_sigma_angstrom=None, sparsity=0.0
    )
    changes: dict[str, Any] = {"constraints": limits}
    if config.method == "tv":
        changes["tv_strength"] = 0.0  # plain least squares
    elif config.method in ("multislice", "singleslice"):
        changes["step"] = "auto"
    return config.model_copy(update=changes)


def run_halves_with_control(
    series: TiltFocalSeries, config: ReconstructionConfig, kind: Any = "tilts", **options: Any
) -> Iterator[HalvesEvent]:
    """Reconstruct both halves, then both again without priors.

    Parameters
    ----------
    series, config, kind, **options
        As :func:`.halves.run_halves`. Only the first pair is written to files, and the mask is its alone.

    Yields
    ------
    HalvesEvent
        As :func:`.halves.run_halves`; the one ``HalvesResult`` has ``free``. A stop during the control
        keeps the halves themselves.
    """
    first: HalvesResult | None = None
    for event in run_halves(series, config, kind, **options):
        if isinstance(event, HalvesResult):
            first = event
        else:
            yield _scaled(event, 0.0)
    assert first is not None
    control = options.get("control")
    if first.curve is None or (control is not None and control.stopped):
        yield first
        return
    sweeps = max(1, *(len(done) for done in first.sweeps)) if any(first.sweeps) else "auto"
    free = free_of_priors(first.config.model_copy(update={"iterations": sweeps}))
    kept = {name: value for name, value in options.items() if name not in ("mask", "output", "series_path")}
    second: HalvesResult | None = None
    for event in run_halves(series, free, kind, **kept):
        if isinstance(event, HalvesResult):
            second = event
        else:
            yield _scaled(event, 0.5)
    if second is None or second.curve is None:
        yield replace(first, notes=(*first.notes, "The control without priors was stopped."))
        return
    yield replace(first, free=second, notes=(*first.notes, FREE_NOTE))


def _scaled(event: HalfEvent | HalvesProgress, start: float) -> HalfEvent | HalvesProgress:
    """Progress of one pair as that of two."""
    if not isinstance(event, HalvesProgress):
        return event
    left = event.remaining_seconds
    if left is not None and start == 0:
        left = 2 * left + event.elapsed_seconds
    return replace(event, fraction=start + event.fraction / 2, remaining_seconds=left, control=start > 0)
