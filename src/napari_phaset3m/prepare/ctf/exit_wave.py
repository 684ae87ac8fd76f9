"""Defocus from the consistency of focal groups with one phase object per tilt, where rings cannot be seen.

First the weak-phase likelihood is scanned around the stated defocus; then phase, defocus, shared
astigmatism and the shifts that foci of a tilt still have against each other are found together by
Gauss-Newton steps, from coarse to fine detail. In each step the phase is eliminated at every spatial
frequency (it appears there in the foci of its tilt only), so that the system solved has a handful of
unknowns per tilt.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import fft
from scipy.signal.windows import tukey

from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.resample import fourier_resample
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.ctf.apart import foci_apart
from napari_phaset3m.prepare.ctf.config import CtfConfig
from napari_phaset3m.prepare.ctf.model import CtfValues, phi12_of
from napari_phaset3m.prepare.ctf.result import ImageCtf
from napari_phaset3m.prepare.ctf.wave_model import Shared, WaveModel
from napari_phaset3m.prepare.ctf.wave_system import System, Tilt
from napari_phaset3m.prepare.events import Finish

#: Finest detail of each stage, as a fraction of the last one's frequency.
STAGES = (0.6, 0.8, 1.0)
#: Edge of the field that is compared, pixels of the images.
MOST_PX = 512
#: When the scan leaves the defocus of a typical tilt more uncertain than this (angstrom), noise is too strong
#: for the refinement, which would follow it; what the scan says is the result.
TOO_UNSURE = 45.0
#: Part of the range searched beyond which an offset lies at its end.
AT_END = 0.9


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
        self.config, self._size = config, (series.n_tilt, series.n_focus)
        self.limit = min(1 / config.exit_wave_resolution_angstrom, 0.45 / series.pixel_size_angstrom)
        pixel, (ny, nx) = series.pixel_size_angstrom, series.image_shape
        #: The middle of large images is enough, and its defocus differs less over a tilted specimen.
        self.field = (min(ny, MOST_PX), min(nx, MOST_PX)) if min(ny, nx) > MOST_PX else (ny, nx)
        small = [int(np.ceil(n * pixel * 3.2 * self.limit / 2)) * 2 for n in self.field]
        self.shape = (small[0], small[1]) if small[0] < 0.8 * self.field[0] else self.field
        self.pixel = pixel * self.field[0] / self.shape[0]
        self.model = WaveModel(self.shape, self.pixel, microscope)
        cos, sin = phi12_of(dict(series.aberrations))
        self.shared = Shared(cos, sin)
        self.names = [] if config.astigmatism == "given" else ["c12_cos", "c12_sin"]
        if config.fit_spherical_aberration:
            self.names.append("cs_change")
        assert series.used is not None
        self.tilts = [
            self._tilt(series, number) for number in range(series.n_tilt) if series.used[number].sum() >= 2
        ]
        self.noise, self.prior = self._powers()
        #: Mean and standard deviation of the tilts' changes of defocus, angstrom.
        self.centre, self.spread = 0.0, config.nominal_error_angstrom
        #: Whether the noise allowed more than the scan.
        self.refined = False
        #: Finest detail compared so far, 1/angstrom.
        self.reached = self.limit * STAGES[0]

    def defocus(self) -> np.ndarray:
        """`(n_tilt, n_focus)` as it is now, angstrom; nan where there is no group."""
        found = np.full(self._size, np.nan)
        for tilt in self.tilts:
            found[tilt.number, tilt.foci] = tilt.steps + tilt.offset
        return found

    def apart_px(self) -> float | None:
        """How far apart the foci of a tilt lie, pixels of the series; None: noise hides it."""
        apart = foci_apart(self.model, self.tilts, self.shared, self.limit)
        return None if apart is None else apart * self.field[0] / self.shape[0]

    def _tilt(self, series: TiltFocalSeries, number: int) -> Tilt:
        assert series.used is not None and series.defocus_angstrom is not None
        assert series.shifts_px is not None
        foci = [int(f) for f in np.flatnonzero(series.used[number])]
        ratio = self.shape[0] / self.field[0]
        data = np.empty((len(foci), *self.shape), np.complex128)
        for place, focus in enumerate(foci):
            small = fourier_resample(self._middle(series.images[number, focus]), self.shape)
            data[place] = fft.fft2(small.astype(np.float64))
            data[place] *= self.back(series.shifts_px[number, focus] * ratio)
        return Tilt(
            number, foci, data, np.asarray(series.defocus_angstrom[number, foci]), 0.0,
            np.zeros((len(foci), 2)), np.zeros(self.shape),
        )  # fmt: skip

    def _middle(self, image: np.ndarray) -> np.ndarray:
        """The field of an image minus 1; where it was cut out, with a soft edge."""
        (ny, nx), (my, mx) = image.shape, self.field
        y, x = (ny - my) // 2, (nx - mx) // 2
        cut = image[y : y + my, x : x + mx] - 1
        if (my, mx) == (ny, nx):
            return np.asarray(cut)
        return np.asarray((cut - cut.mean()) * tukey(my, 0.1)[:, None] * tukey(mx, 0.1)[None, :])

    def back(self, shift: np.ndarray) -> np.ndarray:
        """What moves a feature from p + shift to p."""
        return np.asarray(
            np.exp(2j * np.pi * self.pixel * (self.model.ky * shift[0] + self.model.kx * shift[1]))
        )

    def _powers(self) -> tuple[float, np.ndarray]:
        """Power of the noise, from the corners of the spectrum, and `(ny, nx)` that of the phase."""
        power = np.mean([np.mean(np.abs(tilt.data) ** 2, axis=0) for tilt in self.tilts], axis=0)
        corner = self.model.k > 0.95 * self.model.k.max() / np.sqrt(2)
        noise = float(np.median(power[corner]))
        ring = np.rint(self.model.k * self.pixel * min(self.shape)).astype(int)
        mean = np.bincount(ring.ravel(), power.ravel()) / np.maximum(np.bincount(ring.ravel()), 1)
        # Over the foci the transfer -2 sin gamma has a mean square of 2 at most.
        mean = np.convolve(np.pad(mean, 2, "edge"), np.full(5, 0.2), "valid")
        signal = np.maximum(mean - noise, 1e-3 * mean) / (2 * self.model.envelope**2 + 1e-3)[0, 0]
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
        self.refined = float(np.median([tilt.error for tilt in self.tilts])) < TOO_UNSURE
        if not self.refined:
            return
        for stage, limit in enumerate(limits):
            self.reached = limit
            before = np.array([tilt.offset for tilt in self.tilts])
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
                    break
            system.errors(before)
            if finish is not None and finish.finish_requested():
                return

    def image(self, tilt: Tilt, focus: int, step: float, shared: CtfValues) -> ImageCtf:
        """What was found of one image, whose stated defocus is ``step``."""
        return ImageCtf(
            tilt.number,
            focus,
            method="exit wave",
            defocus_angstrom=step + tilt.offset,
            defocus_error_angstrom=tilt.error,
            c12_angstrom=shared.c12_angstrom,
            phi12_rad=shared.phi12_rad,
            confidence=tilt.confidence,
            resolution_angstrom=1 / self.reached,
        )

    def at_end(self, tilt: Tilt) -> bool:
        """Whether a tilt's best offset lies at the end of what was searched: then it is none."""
        return abs(tilt.offset) > AT_END * self.config.nominal_error_angstrom

    def _scan(self, tilt: Tilt, limit: float) -> np.ndarray:
        """Minus log likelihood of the weak-phase model at each offset of :meth:`_offsets`."""
        mask = self.model.lowpass(limit) > 0.5
        return np.array([self._weak_loss(tilt, float(o), mask) for o in self.offsets(limit)])

    def offsets(self, limit: float) -> np.ndarray:
        """Changes of the stated defocus that are tried: 0.2 rad of the transfer's phase apart."""
        reach = self.config.nominal_error_angstrom
        turn = float(self.model.focus.ravel()[1] / self.model.k2.ravel()[1]) * limit**2
        return np.linspace(-reach, reach, int(np.clip(np.ceil(2 * reach * turn / 0.2), 21, 401)))

    def _start(self, losses: np.ndarray) -> None:
        """Offset and error of each tilt from its likelihood and what the others say of the series.

        The offsets of the tilts scatter about a mean; both are unknown, and everything is averaged over
        what the images leave possible of them (a hierarchical model; the scatter has a half-normal
        prior as wide as the stated values' error). A tilt that says little is drawn to the others, and
        where all say little, the errors are large.
        """
        tried = self.offsets(self.limit * STAGES[0])
        likely = np.exp(-(losses - losses.min(axis=1, keepdims=True)))
        spreads = self.config.nominal_error_angstrom * np.geomspace(0.03, 0.6, 16)
        logs, firsts, seconds = [], [], []
        for spread in spreads:
            prior = np.exp(-0.5 * ((tried[:, None] - tried[None, :]) / spread) ** 2)  # (mean, offset)
            prior /= prior.sum(1, keepdims=True)
            evidence = likely @ prior.T + 1e-300
            known = -0.5 * (spread / self.config.stated_error_angstrom) ** 2
            logs.append(np.log(evidence).sum(0) + known)
            firsts.append((likely * tried) @ prior.T / evidence)
            seconds.append((likely * tried**2) @ prior.T / evidence)
        weight = np.exp(np.array(logs) - np.max(logs))
        weight /= weight.sum()
        self.centre = float((weight.sum(0) * tried).sum())
        self.spread = float(np.sqrt((weight.sum(1) * spreads**2).sum()))
        means = np.einsum("sm,stm->t", weight, np.array(firsts))
        squares = np.einsum("sm,stm->t", weight, np.array(seconds))
        grain = (tried[1] - tried[0]) ** 2 / 12
        for tilt, mean, square in zip(self.tilts, means, squares, strict=True):
            tilt.offset = float(mean)
            tilt.error = float(np.sqrt(max(square - mean**2, 0.0) + grain))
            tilt.confidence = 1 / (1 + (tilt.error / TOO_UNSURE) ** 2)

    def _weak_loss(self, tilt: Tilt, offset: float, mask: np.ndarray) -> float:
        """Minus the logarithm of the likelihood, but for a constant.

        Data of n foci at one frequency have the covariance ``noise 1 + prior c c^T``.
        """
        mixed, strength = np.zeros(1), np.zeros(1)
        for data, step in zip(tilt.data, tilt.steps, strict=True):
            transfer = self.model.weak(self.model.gamma(step + offset, self.shared))[mask]
            mixed = mixed + transfer * data[mask]
            strength = strength + transfer**2
        common = np.abs(mixed) ** 2
        prior = self.prior[mask]
        # Nonlinear terms and overlap are noise to this model as well.
        noise = self.noise + 0.1 * prior
        # Half: each frequency is there as k and as -k.
        loss = 0.5 * (
            np.log1p(prior * strength / noise) - prior * common / (noise * (noise + prior * strength))
        )
        return float(loss.sum())
