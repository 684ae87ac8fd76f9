"""The stage "optics": Cs and astigmatism, from several values of Cs so that no false minimum keeps it.

The trade of Cs with defocus and with the volume itself has false minima; from each trial value a
few rounds are made, and the one from which the images are predicted best goes on.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np

from napari_phaset3m.core.constants import wavelength_angstrom
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.prepare.align.defoci import defocus_sigma
from napari_phaset3m.prepare.align.matching import match_bins
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.optics import Shared
from napari_phaset3m.prepare.align.reference_settings import why_not_multislice
from napari_phaset3m.prepare.align.rounds import Plan, run_round, taken
from napari_phaset3m.prepare.align.work import Judged, Share, StageEvents, Work, detail, judge
from napari_phaset3m.prepare.events import Progress

#: The least standard deviation of a stated Cs, angstrom, and its fraction otherwise.
CS_SIGMA, CS_FRACTION = 5e5, 0.2
#: How far, in standard deviations of Cs, trials reach; rounds from each; their part of the stage.
REACH, TRIAL_ROUNDS, TRIAL_PART = 1.5, 2, 0.6
#: Phase (rad) at the finest frequency below which a standard deviation of either is not looked for.
LEAST_PHASE = 0.1


def optics(work: Work, share: Share) -> StageEvents:
    """The stage "optics"; see the module.

    Raises
    ------
    ConfigError
        The model of the images knows no optics.
    """
    why = why_not_multislice(work.original, work.config)
    if why:
        raise ConfigError(f"stages: optics {why}; leave it out")
    stated, spread, start = Shared.of(work.original), priors(work), work.alignment
    best: tuple[Judged, Work] | None = None
    trials, starts = Share(share.begin, TRIAL_PART * share.size), cs_starts(work)
    for number, trial in enumerate(starts):
        part = trials.part(number, len(starts))
        text = f"Cs {Shared.of(trial.original).values[0] * 1e-7:.2f} mm"
        for n in range(TRIAL_ROUNDS):
            plan = _plan(trial, (5, number, n), text)
            trial = yield from shared_round(trial, start, (stated, spread), plan, part.part(n, 3))
        judged = yield from judge(trial, match_bins(work)[-1], part.part(2, 3), text)
        if best is None or judged.information > best[0].information:
            best = (judged, trial)
    assert best is not None
    work = best[1]
    rest, rounds = Share(trials.at(1.0), (1 - TRIAL_PART) * share.size), work.config.optics.optics_rounds
    passed: list[Work] = []
    for n in range(rounds):
        if work.finishing:
            break
        part = rest.part(n, rounds)
        plan = _plan(work, (6, n), "Cs and astigmatism")
        work = yield from shared_round(work, start, (stated, spread), plan, part)
        passed.append(work)
        yield Progress(f"Cs {Shared.of(work.original).values[0] * 1e-7:.2f} mm", part.at(1.0), detail(work))
    return mean_of(passed[len(passed) // 2 :]) if passed else work


def cs_starts(work: Work) -> list[Work]:
    """The same with different values of Cs, evenly about the stated one, to begin from."""
    count, stated = work.config.optics.optics_trials, Shared.of(work.original)
    offsets = np.linspace(-REACH, REACH, count) * priors(work)[0] if count > 1 else np.zeros(1)
    return [
        replace(work, original=stated.changed(np.array([offset, 0, 0])).put(work.original))
        for offset in offsets
    ]


def tells(work: Work) -> bool:
    """Whether what may be wrong with Cs or the astigmatism shows in images as finely sampled as these."""
    k = 0.5 / (work.original.pixel_size_angstrom * match_bins(work)[-1])
    wavelength = wavelength_angstrom(work.original.energy_ev)
    cs, astigmatism = priors(work)[:2]
    phases = (0.5 * np.pi * cs * wavelength**3 * k**4, np.pi * astigmatism * wavelength * k**2)
    return bool(max(phases) > LEAST_PHASE)


def mean_of(works: list[Work]) -> Work:
    """The mean of what rounds arrived at: their chance errors average out."""
    shared = Shared(np.mean([Shared.of(w.original).values for w in works], axis=0))
    last = works[-1]
    shifts = np.mean([w.alignment.shifts_px for w in works], axis=0)
    defoci = [w.alignment.defocus_angstrom for w in works if w.alignment.defocus_angstrom is not None]
    alignment = last.alignment.replace(shifts_px=shifts, defocus_angstrom=np.mean(defoci, axis=0))
    return replace(last, original=shared.put(last.original)).at(alignment)


def priors(work: Work) -> np.ndarray:
    """`(3,)` standard deviations of Cs and both components of the astigmatism, angstrom."""
    settings, stated = work.config.optics, abs(work.original.spherical_aberration_angstrom or 0.0)
    cs = settings.optics_cs_sigma_angstrom
    sigma = max(CS_FRACTION * stated, CS_SIGMA) if cs == "auto" else float(cs)
    return np.array([sigma, *[settings.optics_astigmatism_sigma_angstrom] * 2])


def shared_round(
    work: Work, start: Alignment, about: tuple[Shared, np.ndarray], plan: Plan, share: Share
) -> Generator[Progress, None, Work]:
    """One round of matching, and one step of what all images share.

    Parameters
    ----------
    work : Work
    start : Alignment
        What the priors of shifts and defoci are about.
    about : tuple
        What those of the optics are about, and `(3,)` their standard deviations (:func:`priors`).
    plan : Plan
        That looks at the optics.
    share : Share
    """
    found = yield from run_round(work, start, plan, share)
    work = taken(work, [found])
    assert found.optics is not None
    change, follow, _ = found.optics.solve(*about, defocus_sigma(work))
    now, alignment = found.optics.now.changed(change), work.alignment
    if alignment.defocus_angstrom is not None and defocus_sigma(work):
        alignment = alignment.replace(defocus_angstrom=alignment.defocus_angstrom + follow[:, None])
    return replace(work, original=now.put(work.original), alignment=alignment)


def _plan(work: Work, seed: tuple[int, ...], text: str) -> Plan:
    return Plan(match_bins(work)[-1], seed[-1] % 2 == 1, seed, text, optics=True)
