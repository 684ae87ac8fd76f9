"""How an alignment came about: what goes into the history, and what it found of the microscope."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.gui.align.stages import STAGE_TEXT
from napari_phaset3m.io.orient import turn_aberrations
from napari_phaset3m.prepare.align.apply import apply
from napari_phaset3m.prepare.align.compose import iterate_after
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.words import told_words, why_undone
from napari_phaset3m.prepare.events import Done, Event, Progress
from napari_phaset3m.prepare.history import recorded


@dataclass(frozen=True)
class Origin:
    """Of a draft.

    Attributes
    ----------
    parameters : Model or None
        Settings of the run; None: moved by hand or from a file.
    told : mapping
        What it told of itself.
    optics : mapping
        Fields of the series that a stage changed besides the alignment (Cs, astigmatism), in the
        frame of the given images.
    local_px : ndarray or None
        Displacement of parts of the images that goes with the draft, see :func:`apply`.
    """

    parameters: Any = None
    told: Mapping[str, Any] = field(default_factory=dict)
    optics: Mapping[str, Any] = field(default_factory=dict)
    local_px: np.ndarray | None = None

    @classmethod
    def of(cls, after: TiltFocalSeries, result: Any, before: Any, parameters: Any) -> Origin:
        """Of a run: ``after`` is its series, ``result`` its end, ``before`` the series it was given."""
        found: Alignment = result.alignment
        history = after.metadata.get("history", ())
        told = dict(history[-1].get("told", {})) if history else {}
        optics: dict[str, Any] = {}
        if before is not None:
            cs = after.spherical_aberration_angstrom
            if cs != before.spherical_aberration_angstrom:
                optics["spherical_aberration_angstrom"] = cs
            turned = found.axis_angle_deg if found.turned else 0.0
            aberrations = turn_aberrations(after.aberrations, -turned) if turned else after.aberrations
            if not _same(aberrations, before.aberrations):
                optics["aberrations"] = dict(aberrations)
        return cls(parameters, told, optics, getattr(result, "local_px", None))

    def after(self, start: Origin) -> Origin:
        """Tell also of the file from which the draft was read that the run began with."""
        file = {name: start.told[name] for name in ("imported",) if name in start.told}
        return replace(self, told={**file, **self.told})

    def with_optics(self, series: TiltFocalSeries) -> TiltFocalSeries:
        """The series with what was found of the microscope."""
        return series.replace(**self.optics) if self.optics else series

    def put(self, series: TiltFocalSeries, draft: Alignment) -> TiltFocalSeries:
        """The series with the draft applied, and the step in its history."""
        changed = apply(self.with_optics(series), draft, self.local_px)
        return recorded(changed, "align", self.parameters, {**self.told, "accepted": "by eye"})

    def resamples(self, draft: Alignment) -> bool:
        """Whether the images are changed by putting the draft into their series."""
        return draft.turned or self.local_px is not None

    def words(self) -> str:
        """What was found of the microscope; empty when nothing."""
        parts = []
        cs = self.optics.get("spherical_aberration_angstrom")
        if cs is not None:
            parts.append(f"Cs {cs * 1e-7:.3f} mm")
        found = self.optics.get("aberrations", {})
        if "C12" in found:
            turn = np.degrees(found.get("phi12", 0.0))
            parts.append(f"astigmatism {found['C12'] / 10:.2f} nm at {turn:.0f}°")
        return "  ·  ".join(parts)


def aligned(
    draft: Alignment | None, origin: Origin, config: AlignConfig, series: TiltFocalSeries, control: Any
) -> Iterator[Event]:
    """Align from a draft, as a job.

    One that turns or bends the images is put in for the run alone: Accept resamples those of the series.
    """
    start = origin.with_optics(series)
    first = Alignment.of(start) if draft is None else draft
    return iterate_after(start, first, config, local=origin.local_px, finish=control)


def applied(draft: Alignment, origin: Origin, series: TiltFocalSeries, control: Any) -> Iterator[Event]:
    """Put a draft that resamples the images into its series, as a job."""
    yield Progress("Resampling images", 0.0)
    yield Done(origin.put(series, draft), draft)


def stage_words(stages: tuple[Any, ...]) -> str:
    """What each stage of a run bought, one line each."""
    lines = []
    for stage in stages:
        error = f"unpredicted part {stage.error_before:.3g} → {stage.error_after:.3g}"
        error += f", {stage.information_before:.0f} → {stage.information_after:.0f} nats"
        change = f"moved {stage.rms_change_px:.2f} px (RMS)"
        kept, told = getattr(stage, "kept", True), getattr(stage, "told", {})
        state = "" if kept else f"  ·  undone: {why_undone(stage.name, told)}"
        lines.append(f"{STAGE_TEXT[stage.name][0]}: {change}, {error}{state}")
        more = told_words(stage.name, told) if kept else ""
        if more:
            lines.append(more)
    return "\n".join(lines)


def _same(a: Mapping[str, float], b: Mapping[str, float]) -> bool:
    names = set(a) | set(b)
    return all(np.isclose(a.get(name, 0.0), b.get(name, 0.0), rtol=1e-9, atol=1e-12) for name in names)
