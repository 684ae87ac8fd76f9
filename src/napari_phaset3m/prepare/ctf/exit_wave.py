"""Defocus from the consistency of focal groups with one phase object per tilt, where rings cannot be seen.

First the weak-phase likelihood is scanned around the stated defocus; then phase, defocus, shared astigmatism
and the shifts that foci of a tilt still have against each other are found together by Gauss-Newton steps, from
coarse to fine detail. In each step the phase is eliminated at every spatial frequency (it appears there in
the foci of its tilt only), so that the system solved has a handful of unknowns per tilt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import fft

from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.resample import fourier_resample
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.ctf.config import CtfConfig
from napari_phaset3m.prepare.ctf.model import phi12_of
from napari_phaset3m.prepare.ctf.wave_model import Shared, WaveModel
from napari_phaset3m.prepare.events import Finish

#: Finest detail of each stage, as a fraction of the last one's frequency.
STAGES = (0.6, 0.8, 1.0)
#: The images say nothing about a phase where their transfer (squared, summed) is below this.
FLOOR = 0.05
#: Most that one step may change a defocus, angstrom.
MOST_STEP = 60.0


@dataclass(eq=False)
class Tilt:
    """The images of one tilt while they are fitted.

    Attributes
    ----------
    number : int
    foci : list of int
    data : ndarray
        `(n, ny, nx)` complex transforms of ``I - 1``, moved to their stated places.
    steps : ndarray
        `(n,)` stated defocus.
    offset, error : float
        Found change of the stated defocus, and one standard deviation.
    shifts : ndarray
        `(n, 2)` (y, x) pixels left between the foci; the first is 0.
    phase : ndarray
        `(ny, nx)` rad.
    confidence : float
    """

    number: int
    foci: list[int]
    data: np.ndarray
    steps: np.ndarray
    offset: float
    shifts: np.ndarray
    phase: np.ndarray
    error: float = float("nan")
    confidence: float = 0.0


def can_serve(series: TiltFocalSeries) -> str | None:
    """Why exit-wave consistency cannot be used, or None."""
    if series.defocus_angstrom is None:
        return "the defocus of the foci is not stated"
    assert series.used is not None
    if not (series.used.sum(1) >= 2).any():
        return "no tilt has two or more foci in use"
    return None


class ExitWaveFit:
    """Fits all focal groups of a series together.

    Parameters
    ----------
    series : TiltFocalSeries
        Aligned: the foci of a tilt agree to about a pixel after ``shifts_px``.
    config : CtfConfig
    microscope : Microscope

    Raises
    ------
    DataError
        There are no focal groups with stated defocus.
    """

    def __init__(self, series: TiltFocalSeries, config: CtfConfig, microscope: Microscope) -> None:
        reason = can_serve(series)
        if reason is not None:
            raise DataError(
                f"exit-wave consistency cannot be used: {reason}",
                field="defocus_values",
                remedy="State the defocus of each focus, or fit Thon rings (--method thon)",
            )
        self.config = config
        self.limit = min(1 / config.exit_wave_resolution_angstrom, 0.45 / series.pixel_size_angstrom)
        images, pixel = series.images, series.pixel_size_angstrom
        small = [int(np.ceil(n * pixel * 3.2 * self.limit / 2)) * 2 for n in series.image_shape]
        self.shape = (small[0], small[1]) if small[0] < 0.8 * series.image_shape[0] else series.image_shape
        self.pixel = pixel * series.image_shape[0] / self.shape[0]
        self.model = WaveModel(self.shape, self.pixel, microscope)
        cos, sin = phi12_of(dict(series.aberrations))
        self.shared = Shared(cos, sin)
        self.names = [] if config.astigmatism == "given" else ["c12_cos", "c12_sin"]
        if config.fit_spherical_aberration:
            self.names.append("cs_change")
        assert series.used is not None
        self.tilts = [
            self._tilt(series, images, number)
            for number in range(series.n_tilt)
            if series.used[number].sum() >= 2
        ]
        self.noise, self.prior = self._powers()
        #: Mean and standard deviation of the tilts' changes of defocus, angstrom.
        self.centre, self.spread = 0.0, config.nominal_error_angstrom

    def _tilt(self, series: TiltFocalSeries, images: np.ndarray, number: int) -> Tilt:
        assert series.used is not None and series.defocus_angstrom is not None
        assert series.shifts_px is not None
        foci = [int(f) for f in np.flatnonzero(series.used[number])]
        ratio = self.shape[0] / series.image_shape[0]
        data = np.empty((len(foci), *self.shape), np.complex128)
        for place, focus in enumerate(foci):
            small = fourier_resample(images[number, focus], self.shape)
            data[place] = fft.fft2(small.astype(np.float64) - 1)
            data[place] *= self.back(series.shifts_px[number, focus] * ratio)
        return Tilt(
            number, foci, data, np.asarray(series.defocus_angstrom[number, foci]), 0.0,
            np.zeros((len(foci), 2)), np.zeros(self.shape),
        )  # fmt: skip

    def back(self, shift: np.ndarray) -> np.ndarray:
        """What moves a feature from p + shift to p."""
        return np.asarray(np.exp(2j * np.pi * self.pixel * (self.model.ky * shift[0] + self.model.kx * shift[1])))

    def _powers(self) -> tuple[float, np.ndarray]:
        """Power of the noise, from the corners of the spectrum, and `(ny, nx)` that of the phase."""
        power = np.mean([np.mean(np.abs(tilt.data) ** 2, axis=0) for tilt in self.tilts], axis=0)
        corner = self.model.k > 0.95 * self.model.k.max() / np.sqrt(2)
        noise = float(np.median(power[corner]))
        ring = np.rint(self.model.k * self.pixel * min(self.shape)).astype(int)
        mean = np.bincount(ring.ravel(), power.ravel()) / np.maximum(np.bincount(ring.ravel()), 1)
        # Over the foci the transfer -2 sin gamma has a mean square of 2 at most.
        signal = np.maximum(mean - noise, 0.02 * mean) / (2 * self.model.envelope**2 + 1e-3)[0, 0]
        return noise, np.maximum(signal, 1e-12 * signal.max())[ring]

    def run(self, finish: Finish | None = None) -> Iterator[tuple[str, float]]:
        """Scan, then refine stage by stage; tells what is being done and the done part."""
        limits = [self.limit * part for part in STAGES]
        total = len(self.tilts) * (1 + len(STAGES) * self.config.exit_wave_steps)
        done = 0
        curves = []
        for tilt in self.tilts:
            curves.append(self._scan(tilt, limits[0]))
            done += 1
            yield f"Exit wave: tilt {tilt.number + 1} scanned", done / total
        self._start(np.array(curves))
        for stage, limit in enumerate(limits):
            for step in range(self.config.exit_wave_steps):
                system = System(self, limit)
                for tilt in self.tilts:
                    system.add(tilt)
                    done += 1
                    yield f"Exit wave: {1 / limit:.2g} Å, step {step + 1}", done / total
                # The phase needs a step or two before its images tell anything about the optics.
                if stage > 0 or step > 1:
                    system.solve()
                if finish is not None and finish.finish_requested():
                    system.errors()
                    return
        system.errors()

    def _scan(self, tilt: Tilt, limit: float) -> np.ndarray:
        """Minus log likelihood of the weak-phase model at each offset of :meth:`_offsets`."""
        mask = self.model.lowpass(limit) > 0.5
        loss, rest = np.array([self._weak_loss(tilt, float(o), mask) for o in self.offsets(limit)]).T
        typical = float(np.median(rest))
        tilt.confidence = float(np.clip(1 - rest[loss.argmin()] / typical, 0, 1)) if typical > 0 else 0.0
        return np.asarray(loss)

    def offsets(self, limit: float) -> np.ndarray:
        """Changes of the stated defocus that are tried; the phase of the transfer turns by 0.2 rad between two."""
        reach = self.config.nominal_error_angstrom
        turn = float(self.model.focus.ravel()[1] / self.model.k2.ravel()[1]) * limit**2
        return np.linspace(-reach, reach, int(np.clip(np.ceil(2 * reach * turn / 0.2), 21, 401)))

    def _start(self, losses: np.ndarray) -> None:
        """Mean and scatter of the series' offsets, and the most likely offset of each tilt given both.

        Empirical Bayes: a tilt that says little (noise) is drawn to the others, one that says much is not.
        """
        tried = self.offsets(self.limit * STAGES[0])
        likely = np.exp(-(losses - losses.min(axis=1, keepdims=True)))
        best, least = (0.0, self.config.nominal_error_angstrom / 2), np.inf
        for spread in self.config.nominal_error_angstrom * np.geomspace(0.03, 0.6, 16):
            for mean in tried:
                prior = np.exp(-0.5 * ((tried - mean) / spread) ** 2)
                loss = -float(np.log(likely @ (prior / prior.sum()) + 1e-300).sum())
                if loss < least:
                    best, least = (float(mean), float(spread)), loss
        self.centre, self.spread = best
        pull = 0.5 * ((tried - self.centre) / self.spread) ** 2
        for tilt, loss in zip(self.tilts, losses, strict=True):
            tilt.offset = float(tried[int((loss + pull).argmin())])

    def _weak_loss(self, tilt: Tilt, offset: float, mask: np.ndarray) -> tuple[float, float]:
        """Minus the logarithm of the likelihood, and the power that the foci do not have in common.

        Data of n foci at one frequency have the covariance ``noise 1 + prior c c^T``.
        """
        mixed, strength, power = 0.0, 0.0, 0.0
        for data, step in zip(tilt.data, tilt.steps, strict=True):
            transfer = self.model.weak(self.model.gamma(step + offset, self.shared))[mask]
            mixed = mixed + transfer * data[mask]
            strength = strength + transfer**2
            power = power + np.abs(data[mask]) ** 2
        common = np.abs(mixed) ** 2
        prior = self.prior[mask]
        # Nonlinear terms and overlap are noise to this model as well.
        noise = self.noise + 0.1 * prior
        # Half: each frequency is there as k and as -k.
        loss = 0.5 * (np.log1p(prior * strength / noise) - prior * common / (noise * (noise + prior * strength)))
        rest = power - common / (strength + FLOOR)
        return float(loss.sum()), float(rest.sum() - self.noise * (len(tilt.foci) - 1) * mask.sum())


class System:
    """The Gauss-Newton system of one step for all tilts.

    Unknowns: for each tilt its defocus and the shifts of all foci but the first, then what is shared.
    """

    def __init__(self, owner: ExitWaveFit, limit: float) -> None:
        mask = owner.model.lowpass(limit)
        # Only these frequencies are compared: a twentieth to a fifth of all.
        self.where = np.flatnonzero(mask.ravel() > 1e-3)
        self.owner, self.mask = owner, mask.ravel()[self.where]
        self.first: list[int] = []
        place = 0
        for tilt in owner.tilts:
            self.first.append(place)
            place += 1 + 2 * (len(tilt.foci) - 1)
        self.size, self.shared = place + len(owner.names), place
        self.normal = np.zeros((self.size, self.size))
        self.right = np.zeros(self.size)
        self.rest, self.number = 0.0, 0
        self._next = 0

    def add(self, tilt: Tilt) -> None:
        """Linearise a tilt around its present state, improve its phase, and add what it says of the rest."""
        owner, model = self.owner, self.owner.model
        wave = fft.fft2(np.exp(1j * tilt.phase))
        slopes = model.derivatives(["focus", *owner.names])
        count, fixed = len(tilt.foci), 1 + len(owner.names)
        changes = np.zeros((fixed + 2 * (count - 1), count, self.where.size), np.complex128)
        residual = np.empty((count, self.where.size), np.complex128)
        transfer = np.empty((count, self.where.size))
        for i in range(count):
            gamma = model.gamma(tilt.steps[i] + tilt.offset, owner.shared)
            every = [self._cut(item) for item in model.image(wave, gamma, slopes)]
            # Images are moved back, so that all foci see one phase in one place.
            back = self._cut(owner.back(tilt.shifts[i]))
            residual[i] = (self._cut(tilt.data[i]) * back - every[0]) * self.mask
            changes[:fixed, i] = np.array(every[1:]) * self.mask
            if i > 0:
                for axis, factor in enumerate(model.shift_factors()):
                    changes[fixed + 2 * (i - 1) + axis, i] = self._cut(factor) * every[0] * self.mask
            transfer[i] = self._cut(model.weak(gamma))
        strength = (transfer**2).sum(0) + FLOOR
        gain = (transfer * residual).sum(0) / strength
        whole = np.zeros(model.k2.size, np.complex128)
        whole[self.where] = gain
        tilt.phase += fft.ifft2(whole.reshape(owner.shape)).real
        clean = changes - transfer * ((transfer * changes).sum(1, keepdims=True) / strength)
        first = self.first[self._next]
        places = [first, *range(self.shared, self.size), *range(first + 1, first + 1 + 2 * (count - 1))]
        flat, other = clean.reshape(len(places), -1), changes.reshape(len(places), -1)
        self.right[places] += (flat.conj() @ residual.ravel()).real
        self.normal[np.ix_(places, places)] += (flat.conj() @ other.T).real
        self.rest += float(np.sum(np.abs(residual - transfer * gain) ** 2))
        self.number += int((self.mask > 0.5).sum()) * (count - 1)
        self._next += 1

    def _cut(self, item: np.ndarray) -> np.ndarray:
        return item.ravel()[self.where]

    def _prior(self) -> tuple[np.ndarray, np.ndarray]:
        """What is known of the unknowns besides the images, added to the diagonal and to the right side."""
        owner, weight, pull = self.owner, np.zeros(self.size), np.zeros(self.size)
        variance = self.rest / max(self.number, 1)
        for first, tilt in zip(self.first, owner.tilts, strict=True):
            weight[first] = variance / owner.spread**2
            pull[first] = weight[first] * (owner.centre - tilt.offset)
            # Foci of an aligned series are within a pixel or so of each other.
            shifts = slice(first + 1, first + 1 + 2 * (len(tilt.foci) - 1))
            weight[shifts] = variance
            pull[shifts] = -variance * tilt.shifts[1:].ravel()
        return weight, pull

    def solve(self) -> None:
        """One damped step of all unknowns."""
        owner = self.owner
        weight, pull = self._prior()
        matrix = self.normal + np.diag(weight + 1e-3 * np.diag(self.normal) + 1e-12)
        step = np.linalg.solve(matrix, self.right + pull)
        for first, tilt in zip(self.first, owner.tilts, strict=True):
            reach = owner.config.nominal_error_angstrom
            moved = tilt.offset + float(np.clip(step[first], -MOST_STEP, MOST_STEP))
            tilt.offset = float(np.clip(moved, -reach, reach))
            shifts = step[first + 1 : first + 1 + 2 * (len(tilt.foci) - 1)].reshape(-1, 2)
            tilt.shifts[1:] += np.clip(shifts, -0.5, 0.5)
        most = {"cs_change": 2e6}
        for name, change in zip(owner.names, step[self.shared :], strict=True):
            bound = most.get(name, MOST_STEP)
            value = getattr(owner.shared, name) + float(np.clip(change, -bound, bound))
            owner.shared = replace(owner.shared, **{name: value})

    def errors(self) -> None:
        """One standard deviation of each tilt's defocus: curvature, and what is left over."""
        variance = self.rest / max(self.number, 1)
        covariance = np.linalg.pinv(self.normal + np.diag(self._prior()[0])) * variance
        for first, tilt in zip(self.first, self.owner.tilts, strict=True):
            tilt.error = float(np.sqrt(max(covariance[first, first], 0.0)))


def found_defocus(tilts: Sequence[Tilt]) -> dict[tuple[int, int], float]:
    """Defocus of each fitted image by (tilt, focus), angstrom."""
    return {
        (tilt.number, focus): float(step + tilt.offset)
        for tilt in tilts
        for focus, step in zip(tilt.foci, tilt.steps, strict=True)
    }
