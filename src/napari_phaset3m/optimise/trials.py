"""Trials, and the journal that survives a killed process: one line for each trial."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import OutputError
from napari_phaset3m.io.provenance import jsonable, package_version
from napari_phaset3m.optimise.config import OptimiseConfig
from napari_phaset3m.optimise.journal_files import FORMAT, check_head, refuse_in_the_way

#: Score below which logarithms are not told apart.
_LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class Trial:
    """One point that was tried.

    Attributes
    ----------
    number : int
        From 0.
    point : tuple of float
        In the unit cube.
    values : dict
        By parameter, in its unit.
    status : str
        ``done``, ``diverged``, ``out of memory`` or ``failed``.
    score, error : float or None
        Of the held-out images, and of those that drove the volume.
    seconds : float
    message : str
    found : dict
        What was refined inside it: shifts_px, defocus_angstrom, cs_angstrom, aberrations.
    """

    number: int
    point: tuple[float, ...]
    values: dict[str, float]
    status: str
    score: float | None = None
    error: float | None = None
    seconds: float = 0.0
    message: str = ""
    found: dict[str, Any] = field(default_factory=dict)


#: Said where held-out images tell nothing for what was found.
UNEXPLAINED = (
    "held-out images are explained no better than by an empty volume (error of 1 or more): too few "
    "electrons, or a start too far off; do not rely on these values"
)


def unexplained(score: float | None) -> tuple[str, ...]:
    """:data:`UNEXPLAINED` where a held-out error, relative to that of nothing in the beam, says so."""
    return (UNEXPLAINED,) if score is not None and score >= 1 else ()


def failed_words(trials: Iterable[Trial]) -> tuple[str, ...]:
    """A line for each way in which trials could not be judged: how many, and the last reason."""
    kinds: dict[str, list[str]] = {}
    for trial in trials:
        if trial.score is None:
            kinds.setdefault(trial.status, []).append(trial.message)
    lines = []
    for status, reasons in kinds.items():
        count = "1 trial" if len(reasons) == 1 else f"{len(reasons)} trials"
        ended = status if status.startswith(("diverged", "failed")) else f"ran {status}"
        lines.append(f"{count} {ended}, passed over{': ' if reasons[-1] else ''}{reasons[-1]}")
    return tuple(lines)


def best(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the lowest score; None when none was done."""
    done = [trial for trial in trials if trial.score is not None]
    return min(done, key=lambda trial: trial.score or 0.0) if done else None


def chosen(lowest: Trial, expected: Trial, noise: float) -> Trial:
    """What counts as best: where the model expects the lowest score, unless another was measured lower still.

    Parameters
    ----------
    lowest : Trial
        Of those before.
    expected : Trial
        At the minimum of the model.
    noise : float
        Standard deviation of the logarithm of a single score: two that differ by less than
        twice that of their difference do not contradict the model.
    """
    if expected.score is None or lowest.score is None:
        return lowest if expected.score is None else expected
    below = np.log(max(expected.score, _LEAST) / max(lowest.score, _LEAST))
    return lowest if below > 2 * np.sqrt(2) * noise else expected


def signature(series: TiltFocalSeries, config: ReconstructionConfig, wanted: OptimiseConfig) -> str:
    """What trials must share to be continued: data, settings, ranges, seed (not how many)."""
    free = {"calls", "stop_gain", "workers"}
    if wanted.method == "grid":
        free.remove("calls")  # points of another grid lie elsewhere
    digest = hashlib.sha256()
    digest.update(series.images[:, :, ::4, ::4].tobytes())
    parts: Mapping[str, Any] = {
        "shape": series.images.shape,
        "tilt": series.tilt_deg,
        "pixel": series.pixel_size_angstrom,
        "defocus": series.defocus_angstrom,
        "shifts": series.shifts_px,
        "used": series.used,
        "optics": [series.energy_ev, series.spherical_aberration_angstrom, series.focal_spread_angstrom],
        "aberrations": dict(series.aberrations),
        **({} if series.phase_shift_deg is None else {"phase_shift": series.phase_shift_deg}),
        "config": config,
        "wanted": wanted.model_dump(exclude=free, mode="json"),
    }
    digest.update(json.dumps({key: jsonable(value) for key, value in parts.items()}).encode())
    return digest.hexdigest()


class Journal:
    """The trials of a search, in memory and, with a path, on disk.

    Parameters
    ----------
    path : Path or None
    mark : str
        See :func:`signature`.
    resume : bool
        Go on with the trials of the file, when it exists.
    begun : str
        :func:`signature` of what a pipeline was given, before it changed the series for this search.

    Attributes
    ----------
    trials : list of Trial
    volumes : dict of int to ndarray
        `(nz, ny, nx)` volts of the best and of the last trial of this run, by their numbers; not on disk.

    Raises
    ------
    DataError
        The file is not a journal, or is of another search.
    OutputError
        It cannot be written.
    """

    def __init__(self, path: Path | None, mark: str, *, resume: bool = False, begun: str = "") -> None:
        self.path = path
        self.trials: list[Trial] = []
        self.volumes: dict[int, np.ndarray] = {}
        #: Why the search ended, its best trial, and how long it was to be; None: it has not.
        self.ended: dict[str, Any] | None = None
        if path is None:
            return
        refuse_in_the_way(path, 1, resume=resume)
        if path.exists():
            self._read(path, mark)
        else:
            head = {"format": FORMAT, "signature": mark, "begun": begun, "version": package_version()}
            self._append(head)

    def _read(self, path: Path, mark: str) -> None:
        lines = check_head(path, mark)
        kept = lines[:1]
        for line in lines[1:]:
            try:
                data = json.loads(line)
                if "ended" in data:
                    self.ended = data
                else:
                    self.trials.append(Trial(**{**data, "point": tuple(data["point"])}))
                    self.ended = None
            except (ValueError, TypeError, KeyError):
                break  # the process died while it wrote this line
            kept.append(line)
        if len(kept) < len(lines) or not lines[-1].endswith("\n"):
            _rewrite(path, "".join(kept))

    def add(self, trial: Trial, volume: np.ndarray | None = None) -> None:
        """Keep a trial, on disk before this returns; its volume in memory while it is best or last."""
        self.trials.append(trial)
        found = best(self.trials)
        kept = {trial.number, -1 if found is None else found.number}
        if volume is not None:
            self.volumes[trial.number] = volume
        self.volumes = {number: each for number, each in self.volumes.items() if number in kept}
        if self.path is not None:
            self._append(asdict(trial))

    @property
    def next_number(self) -> int:
        """Number of the next trial: one in flight when a process was killed leaves a gap."""
        return 1 + max((trial.number for trial in self.trials), default=-1)

    def end(self, reason: str, found: Trial, wanted: OptimiseConfig) -> None:
        """Keep how the search ended, so that a later run finds the same without a trial more."""
        self.ended = {"ended": reason, "best": found.number, **_length(wanted)}
        if self.path is not None:
            self._append(self.ended)

    def outcome(self, wanted: OptimiseConfig) -> tuple[str, Trial] | None:
        """(Reason, best trial) of a search that had ended; None where it goes on, or is to be longer."""
        ended = self.ended
        if ended is None or any(ended.get(name) != value for name, value in _length(wanted).items()):
            return None
        return ended["ended"], next(trial for trial in self.trials if trial.number == ended["best"])

    def _append(self, record: Mapping[str, Any]) -> None:
        assert self.path is not None
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(jsonable(record)) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror or error})") from None


def _length(wanted: OptimiseConfig) -> dict[str, float]:
    return {"calls": wanted.calls, "stop_gain": wanted.stop_gain}


def _rewrite(path: Path, text: str) -> None:
    from napari_phaset3m.io.atomic import write_text

    write_text(path, text if text.endswith("\n") else text + "\n")


def found_of(refined: Any, decimals: int = 4) -> dict[str, Any]:
    """What :class:`.objective.Refined` holds, as plain data."""
    if refined is None:
        return {}
    return {
        "shifts_px": np.round(refined.shifts_px, decimals).tolist(),
        "defocus_angstrom": np.round(refined.defocus_angstrom, 2).tolist(),
        "cs_angstrom": refined.microscope.spherical_aberration_angstrom,
        "focal_spread_angstrom": refined.microscope.focal_spread_angstrom,
        "aberrations": dict(refined.microscope.aberrations),
    }
