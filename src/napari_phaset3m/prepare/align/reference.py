"""A volume of some of the images, and what it predicts for the others.

The reference is rebuilt from zero whenever it is needed: a volume that was made with the
images' old places would pull them back to where they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np

from napari_phaset3m.core.backend import resolve_device
from napari_phaset3m.core.contrast import contrast_transfer
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.core.transfer import TransferModel
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.reference_settings import Kind, forward_model, reference_config
from napari_phaset3m.reconstruct.methods.linear import LinearMethod
from napari_phaset3m.reconstruct.methods.multislice import MultisliceMethod
from napari_phaset3m.reconstruct.refine import Hook
from napari_phaset3m.reconstruct.stage import Stage

#: A volume whose misfit falls by more than this part per sweep gets up to so many times the sweeps.
STILL, LONGEST = 0.05, 2


class Reference:
    """A volume from the images marked as used, at a bin of the series' pixel.

    Parameters
    ----------
    series : TiltFocalSeries
        With the shifts, defoci and used images to build it from.
    config : AlignConfig
    bin_ : int
    sweeps : int, optional
        The configured number when omitted.
    hooks : sequence of Hook
        Called after every sweep.
    kind : {"sparse", "plain", "thin", "joint", "fine", "confined", "judged"}
        See :func:`.reference_settings.reference_config`.
    mask : ndarray, optional
        `(nz, ny, nx)` in 0..1: where the volume may hold anything.
    """

    def __init__(
        self,
        series: TiltFocalSeries,
        config: AlignConfig,
        bin_: int,
        sweeps: int | None = None,
        hooks: tuple[Hook, ...] = (),
        kind: Kind = "sparse",
        mask: np.ndarray | None = None,
    ) -> None:
        self.series, self.linear = series, forward_model(series, config) == "sirt"
        self._settings = reference_config(series, config, bin_, sweeps, kind)
        self.stage = Stage(series, self._settings, resolve_device("cpu"), mask, 1, hooks)
        self._extends = sweeps is None and not self.linear
        self.errors: list[float] = []
        self._volume: np.ndarray | None = None
        self._models: dict[int, tuple[Microscope, TransferModel]] = {}

    @property
    def grid(self) -> Grid:
        """Sampling of the images `(nx, ny)`."""
        return self.stage.problem.grid

    @property
    def scale(self) -> float:
        """Pixels of the series in one of this grid."""
        return self.grid.pixel_size_angstrom / self.series.pixel_size_angstrom

    @property
    def positive(self) -> bool:
        """Whether the volume is held positive."""
        return self._settings.constraints.positivity

    @property
    def volume(self) -> np.ndarray:
        """`(n_channel, nz, nx, ny)` in the method's unit."""
        assert self._volume is not None
        return self._volume

    def public_volume(self) -> np.ndarray:
        """`(nz, ny, nx)`, volts or density."""
        return np.ascontiguousarray(self.volume[0].swapaxes(1, 2)) * REAL(self.stage.method.volts_per_unit)

    def sweeps(self) -> Iterator[float]:
        """Build the volume; yields the done part after every step."""
        solver, total = self.stage.solver, cast(int, self._settings.iterations)
        most = LONGEST * total if self._extends else total
        state = solver.initial_state(None, self.stage.step())
        last, shown = 1.0, 0.0
        while state.sweep < total:
            for number, _ in enumerate(solver.sweep(state), start=1):
                shown = max(shown, (state.sweep + number / solver.n_steps) / total)
                yield shown
            if not solver.finish_sweep(state, last) or state.error <= last:
                self.stage.refine(state)
            self.errors.append(state.error)
            if state.sweep == total < most and state.error < (1 - STILL) * last:
                total += 1  # weak transfer of what is coarse, as of vesicles: far from done
            last = min(last, state.error)
        self._volume = np.asarray(solver.potential(state.previous))

    def objective(self) -> tuple[np.ndarray, float]:
        """What the sweeps make small, of the volume as it is now: misfit of each used tilt, and L1 penalty.

        In the unit of the loss. Told with the volume at rest: while it moves within a sweep, the misfit
        ripples by more than a turn of the axis changes it.
        """
        solver = self.stage.solver
        losses = np.array(
            [solver.gradient(self.volume, solver.tilts[[n]])[1] for n in range(solver.tilts.size)]
        )
        penalty = solver.sparsity * float(np.abs(self.volume[0]).sum(dtype=np.float64))
        return losses, solver.tilts.size * penalty

    def measured(self, tilt: int) -> np.ndarray:
        """`(n_focus, nx, ny)` complex spectra of the images' contrast, mean removed."""
        images = self.stage.problem.images[tilt]
        contrast = 1 - images if self.linear else images - 1
        return _spectra(contrast * self.stage.problem.pixel_weight)

    def predicted(self, tilt: int, offsets_angstrom: np.ndarray | None = None) -> np.ndarray:
        """Contrast of the volume at the tilt, with its images' present shifts.

        Parameters
        ----------
        tilt : int
        offsets_angstrom : ndarray, optional
            `(n,)` changes of the tilt's defoci.

        Returns
        -------
        ndarray
            `(n, n_focus, nx, ny)` complex spectra, mean removed; n is 1 without offsets.
        """
        if self.linear:
            return self._projected(tilt)
        offsets = [0.0] if offsets_angstrom is None else [float(o) for o in offsets_angstrom]
        return self.predicted_with(tilt, [(self.microscope, offset) for offset in offsets])

    @property
    def microscope(self) -> Microscope:
        """Of the multislice model."""
        assert self.stage.problem.microscope is not None
        return self.stage.problem.microscope

    def amplitudes(self, tilt: int) -> tuple[np.ndarray, np.ndarray]:
        """`(n_focus, nx, ny)` contrast of amplitudes, measured and predicted with the present shifts.

        ``sqrt(I) - 1`` (linear model: projections), 0 in the padding.
        """
        problem = self.stage.problem
        if self.linear:
            seen, expected = self.measured(tilt), self.predicted(tilt)[0]
            return np.fft.ifft2(seen).real, np.fft.ifft2(expected).real
        images = cast(MultisliceMethod, self.stage.method).predict(self.volume, tilt)
        pair = (np.sqrt(np.maximum(i, 0)) - 1 for i in (problem.images[tilt], images))
        measured, predicted = (np.asarray(p * problem.pixel_weight, np.float64) for p in pair)
        return measured, predicted

    def predicted_with(self, tilt: int, variants: Sequence[tuple[Microscope, float]]) -> np.ndarray:
        """`(n, n_focus, nx, ny)` as :meth:`predicted`, with other microscopes and changes of defocus."""
        method, problem = cast(MultisliceMethod, self.stage.method), self.stage.problem
        assert problem.defocus_angstrom is not None
        shifts = [(float(y), float(x)) for y, x in problem.shifts_px[tilt]]
        plane = method.plane_angstrom(tilt)
        transfers = [
            self._model(microscope)((problem.defocus_angstrom[tilt] + offset).tolist(), shifts, plane)
            for microscope, offset in variants
        ]
        images = method.predict_transfers(self.volume, tilt, transfers)
        return np.stack([_spectra((one - 1) * problem.pixel_weight) for one in images])

    def _model(self, microscope: Microscope) -> TransferModel:
        key = id(microscope)
        if key not in self._models:
            # The microscope is kept, so that its id stays its own.
            self._models[key] = (microscope, TransferModel(self.grid, microscope))
        return self._models[key][1]

    def _projected(self, tilt: int) -> np.ndarray:
        method, problem = cast(LinearMethod, self.stage.method), self.stage.problem
        spectrum = _spectra(method.predict(self.volume, tilt) * problem.pixel_weight)[0]
        found = []
        for f, (y, x) in enumerate(problem.shifts_px[tilt]):
            turns = problem.grid.kx[:, None] * x + problem.grid.ky[None, :] * y
            ramp = np.exp(-2j * np.pi * problem.grid.pixel_size_angstrom * turns)
            sign = np.ones(())
            if self._settings.ctf_correction != "none":
                assert problem.microscope is not None and problem.defocus_angstrom is not None
                defocus = float(problem.defocus_angstrom[tilt, f])
                transfer = contrast_transfer(problem.grid, problem.microscope, defocus)
                sign = np.where(transfer < 0, -1.0, 1.0)
            found.append(spectrum * ramp * sign)
        return np.stack(found)[None]

    def close(self) -> None:
        """Stop the threads and free the buffers."""
        self.stage.solver.close()


def _spectra(images: np.ndarray) -> np.ndarray:
    found = np.fft.fft2(images)
    found[..., 0, 0] = 0
    return found
