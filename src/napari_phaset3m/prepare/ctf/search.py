"""The coarse search: a matched filter for rings over defocus, astigmatism and phase shift.

For each sector of the spectrum and each defocus tried, the filter's answer and its norm are tabulated
once. A candidate with astigmatism then only looks up, for each sector, the defocus that it has there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_phaset3m.prepare.ctf.model import CtfValues
from napari_phaset3m.prepare.ctf.observe import BACKGROUND_TERMS, Observation, ring_signal, splines
from napari_phaset3m.prepare.ctf.spectrum import SECTORS

#: Sectors of the spectrum are joined by this many for the tables.
JOIN = 4
#: Change of the rings' phase (2 gamma) at the highest frequency between two defoci tried, rad.
PHASE_STEP = 0.7
#: Greatest C12 that is searched, as a part of the defocus.
MOST_BENT = 0.75
#: More defoci than these are not tried: the highest frequencies are left to the refinement.
MOST_DEFOCI = 3000


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place worth refining from.

    Attributes
    ----------
    values : CtfValues
    gain : float
        Squared answer of the matched filter in units of the noise: chi-squared that the rings explain.
    """

    values: CtfValues
    gain: float


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """Candidates, best first, and `(n_observation,)` the best gain of each spectrum by itself."""

    candidates: tuple[Candidate, ...]
    alone: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """Answers of the filter, `(n_observation, n_sector, n_defocus)`, and the defoci."""

    defocus: np.ndarray
    answer: np.ndarray
    norm: np.ndarray
    azimuth: np.ndarray


def defoci(found: Sequence[Observation], low: float, high: float) -> tuple[np.ndarray, float]:
    """Defoci to try, and the highest frequency that they resolve."""
    item = found[0]
    slope = 2 * float(item.model.slope[0, 0] / max(item.spectrum.grid.k[0, item.first], 1e-9) ** 2)
    signal = ring_signal(found)
    strong = np.flatnonzero(signal > 0.15 * signal.max())
    top = float(item.k[strong[-1]])
    # At least half of the range: weak rings further out decide between neighbouring minima.
    top = max(top, 0.5 * float(item.k[-1]))
    top = min(top, np.sqrt(PHASE_STEP * MOST_DEFOCI / (slope * (high - low))))
    step = PHASE_STEP / (slope * top**2)
    number = int(np.clip(np.ceil((high - low) / step) + 1, 3, MOST_DEFOCI))
    return np.linspace(low, high, number), max(top, float(item.k[min(20, item.k.size - 1)]))


def tables(found: Sequence[Observation], low: float, high: float, phase_shift_rad: float = 0.0) -> Tables:
    """Tabulate the filter for defoci from low to high, wide enough for every spectrum's known step."""
    tried, top = defoci(found, low, high)
    spacing = tried[1] - tried[0]
    steps = [item.focus_step_angstrom + item.height_angstrom for item in found]
    before = int(np.ceil(max(0.0, -min(steps)) / spacing))
    after = int(np.ceil(max(0.0, max(steps)) / spacing))
    wide = tried[0] + spacing * np.arange(-before, tried.size + after)
    signal = ring_signal(found)
    answers, norms = [], []
    for item in found:
        answer, norm = _one(item, wide, top, signal, phase_shift_rad)
        answers.append(answer)
        norms.append(norm)
    azimuth = (np.arange(SECTORS // JOIN) + 0.5) * np.pi * JOIN / SECTORS
    return Tables(wide, np.stack(answers), np.stack(norms), azimuth)


def _one(
    item: Observation, wide: np.ndarray, top: float, signal: np.ndarray, phase_shift_rad: float
) -> tuple[np.ndarray, np.ndarray]:
    """Answer and norm for one spectrum: rings of each sector taken as those of a circle."""
    use = item.k <= top
    k, envelope = item.k[use], signal[use]
    shape = (SECTORS // JOIN, JOIN, int(use.sum()))
    weight = item.weight[:, use].reshape(shape).sum(1)
    y = (item.weight * item.y)[:, use].reshape(shape).sum(1)  # weighted sums
    fixed = np.median(item.model.fixed[:, use], axis=0) + phase_shift_rad
    per_k2 = (
        item.model.slope[:, use].sum()
        / (item.spectrum.grid.k[:, item.first :][:, : use.size][:, use] ** 2).sum()
    )
    rings = -np.cos(2 * (fixed[:, None] + per_k2 * k[:, None] ** 2 * wide[None, :])) * envelope[:, None]
    # What a smooth background would take away is taken from the rings.
    basis = splines(k, BACKGROUND_TERMS)
    total = weight.sum(0)
    rings -= (
        basis
        @ np.linalg.lstsq(basis * np.sqrt(total)[:, None], rings * np.sqrt(total)[:, None], rcond=None)[0]
    )
    return (y @ rings) / item.noise, (weight @ rings**2) / item.noise


def scores(table: Tables, found: Sequence[Observation], values: CtfValues, tried: np.ndarray) -> np.ndarray:
    """`(n_observation, n_tried)` gain at each defocus, for the astigmatism of ``values``."""
    spacing = table.defocus[1] - table.defocus[0]
    bend = values.c12_cos * np.cos(2 * table.azimuth) + values.c12_sin * np.sin(2 * table.azimuth)
    first = np.rint((tried - table.defocus[0]) / spacing).astype(int)
    last = table.defocus.size - 1
    gain = np.zeros((len(found), tried.size))
    for number, item in enumerate(found):
        answer, norm, inside = np.zeros(tried.size), np.zeros(tried.size), np.zeros(tried.size)
        for sector, offset in enumerate(np.rint((item.step(values) - bend) / spacing).astype(int)):
            index = first + offset
            good = (index >= 0) & (index <= last)
            index = np.clip(index, 0, last)
            answer += table.answer[number, sector, index] * good
            norm += table.norm[number, sector, index] * good
            inside += good
        # Half of the sectors at least must lie in the range, or a good part answers for the whole.
        fair = (inside > 0.5 * bend.size) & (norm > 0)
        gain[number] = np.where(fair, np.maximum(answer, 0) ** 2 / np.maximum(norm, 1e-12), 0)
    return gain


def unlikely(c12_angstrom: float, defocus_angstrom: np.ndarray | float) -> np.ndarray:
    """What an astigmatism must explain to be believed: 8 of chi-squared for each tenth of the defocus.

    The search tries ever more azimuths the larger it is, and noise fits one of them.
    """
    return np.asarray(8 * c12_angstrom / (0.1 * np.abs(defocus_angstrom) + 50.0))


def search(
    found: Sequence[Observation],
    low: float,
    high: float,
    *,
    given: CtfValues | None = None,
    astigmatism_max: float | None = None,
    phase_shifts_rad: Sequence[float] = (0.0,),
    keep: int = 4,
) -> Search:
    """The best places, best first, and what each spectrum would gain by itself.

    Parameters
    ----------
    found : sequence of Observation
        Spectra of a group, whose defoci differ by known steps.
    low, high : float
        Range of defocus, angstrom.
    given : CtfValues, optional
        Astigmatism to hold; it is searched when omitted.
    astigmatism_max : float, optional
        Greatest C12; three quarters of the defocus when omitted.
    phase_shifts_rad : sequence of float
    keep : int
    """
    best: list[Candidate] = []
    alone = np.zeros(len(found))
    for shift in phase_shifts_rad:
        table = tables(found, low, high, shift)
        tried = table.defocus[(table.defocus >= low - 1e-6) & (table.defocus <= high + 1e-6)]
        for values in _astigmatisms(given, tried, astigmatism_max):
            some = tried if given is not None or astigmatism_max is not None else _bearing(tried, values)
            if some.size < 3:
                continue
            each = scores(table, found, values, some)
            alone = np.maximum(alone, each.max(axis=1))
            gain = each.sum(0)
            if given is None:
                gain = gain - unlikely(values.c12_angstrom, some)
            for index in _peaks(gain, keep):
                place = values.with_(defocus_angstrom=float(some[index]), phase_shift_rad=float(shift))
                best.append(Candidate(place, float(gain[index])))
    best.sort(key=lambda item: -item.gain)
    chosen = _distinct(best, 3 * float(tried[1] - tried[0]), keep)
    return Search(tuple(chosen) or (Candidate(given or CtfValues(0.5 * (low + high)), 0.0),), alone)


def _bearing(tried: np.ndarray, values: CtfValues) -> np.ndarray:
    """Defoci of which an astigmatism is at most :data:`MOST_BENT`."""
    return np.asarray(tried[values.c12_angstrom <= MOST_BENT * np.abs(tried) + 1])


def _astigmatisms(given: CtfValues | None, tried: np.ndarray, most: float | None) -> list[CtfValues]:
    if given is not None:
        return [given]
    found = [CtfValues(0.0)]
    largest = MOST_BENT * float(np.abs(tried).max()) if most is None else most
    spacing = float(tried[1] - tried[0])
    size = 2.5 * spacing
    while size <= largest:
        # As many azimuths as keep the change of defocus between two below that between two sizes.
        number = int(np.clip(np.ceil(2 * np.pi * size / (5 * spacing)), 6, 18))
        for angle in np.arange(number) * 2 * np.pi / number:
            found.append(CtfValues(0.0, float(size * np.cos(angle)), float(size * np.sin(angle))))
        size *= 1.5
    return found


def _peaks(gain: np.ndarray, keep: int) -> list[int]:
    inner = np.concatenate([[-np.inf], gain, [-np.inf]])
    tops = np.flatnonzero((gain >= inner[:-2]) & (gain >= inner[2:]) & (gain > 0))
    return [int(i) for i in tops[np.argsort(-gain[tops])[:keep]]]


def _distinct(found: Sequence[Candidate], apart: float, keep: int) -> list[Candidate]:
    chosen: list[Candidate] = []
    for item in found:
        a = item.values
        if all(
            abs(a.defocus_angstrom - b.values.defocus_angstrom) > apart
            or abs(a.phase_shift_rad - b.values.phase_shift_rad) > 0.5
            for b in chosen
        ):
            chosen.append(item)
        if len(chosen) == keep:
            break
    return chosen
