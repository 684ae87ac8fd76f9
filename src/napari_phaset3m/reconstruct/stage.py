"""One resolution stage of a run: problem, method, constraints and solver, assembled."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from napari_phaset3m.analyse.masks_shapes import linear
from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import Device, array_module, asnumpy
from napari_phaset3m.core.precision import REAL, Array
from napari_phaset3m.core.resample import fourier_resample
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.reconstruct.constraints import AtomicBasis, Constraint, Mask, build_constraints
from napari_phaset3m.reconstruct.events import Event, Preview, SweepDone
from napari_phaset3m.reconstruct.methods import METHODS, make_method
from napari_phaset3m.reconstruct.plan import Plan, make_plan, relaxation, settings
from napari_phaset3m.reconstruct.problem import Problem, build_problem, is_linear
from napari_phaset3m.reconstruct.refine import Hook, adopt_optics, hooks_for, recall, refined, remember
from napari_phaset3m.reconstruct.solver import Solver, SolverState
from napari_phaset3m.reconstruct.sparsity import penalty
from napari_phaset3m.reconstruct.stepsize import automatic_step, heaviest_ratio, probed_subset
from napari_phaset3m.reconstruct.volumes import binned, from_public, to_public


class Stage:
    """Everything that lives as long as one sampling of the volume.

    Parameters
    ----------
    series : TiltFocalSeries
    config : ReconstructionConfig
    device : Device
    mask : ndarray, optional
        `(nz, ny, nx)` in 0..1.
    bin_ : int
    hooks : sequence of Hook
        Called after every accepted sweep, after those that the parameters switch on.
    """

    def __init__(
        self,
        series: TiltFocalSeries,
        config: ReconstructionConfig,
        device: Device,
        mask: np.ndarray | None,
        bin_: int = 1,
        hooks: Sequence[Hook] = (),
    ) -> None:
        self.series, self.config, self.bin = series, config, bin_
        self._first_step: float | None = None
        self.problem: Problem = build_problem(series, config, bin_)
        self.plan: Plan = make_plan(config, self.problem)
        # Scattering methods need a workspace for each tilt in flight, linear ones share slabs.
        slots = self.plan.threads
        if not is_linear(config):
            slots = min(slots, self.plan.subset_size)
        self.method = make_method(self.problem, config, slots, device)
        self.hooks: tuple[Hook, ...] = (*hooks_for(config, self.method), *hooks)
        self._on_result = METHODS[config.method].constrained == "result"
        voxel = self.problem.geometry.voxel_size_angstrom
        sigma = self.plan.basis_sigma_angstrom
        self.constraints = self._build_constraints(mask)
        self.solver = Solver(
            self.method,
            config,
            self._visited(),
            subset_size=self.plan.subset_size,
            threads=self.plan.threads,
            constraints=() if self._on_result else self.constraints,
            basis=AtomicBasis(sigma, voxel, threads=self.plan.threads) if sigma else None,
            sparsity=penalty(config, self.problem),
        )

    def _visited(self) -> np.ndarray:
        # Golden steps are steps of angle, so the tilts come sorted; files list them as acquired.
        tilts = self.problem.tilts
        if self.config.tilt_order != "golden":
            return tilts
        angles = np.asarray(self.problem.geometry.tilt_deg)[tilts]
        return np.asarray(tilts[np.argsort(angles, kind="stable")])

    def _build_constraints(self, mask: np.ndarray | None) -> tuple[Constraint, ...]:
        updates = -(-self.problem.tilts.size // max(1, self.plan.subset_size))
        return build_constraints(
            self.config.constraints,
            voxel_size_angstrom=self.problem.geometry.voxel_size_angstrom,
            volts_per_unit=self.method.volts_per_unit,
            mask=None if mask is None else self._engine_mask(mask),
            threads=self.plan.threads,
            updates_per_sweep=1 if self._on_result else updates,
        )

    def _engine_mask(self, mask: np.ndarray) -> np.ndarray:
        shape = self.problem.geometry.volume_shape
        # Linear: nothing rings, so that what is 0 outside stays 0.
        return from_public(mask, shape, self.problem.border, "mask", linear)

    def replace_mask(self, mask: np.ndarray | None) -> None:
        """Use another mask, or none, from the next sweep on."""
        self.constraints = self._build_constraints(mask)
        if not self._on_result:
            self.solver.constraints = self.constraints

    def confine(self, coefficients: Array) -> None:
        """Empty, in place, what the mask leaves nothing of."""
        for constraint in () if self._on_result else self.constraints:
            if isinstance(constraint, Mask):
                coefficients *= array_module(coefficients).asarray(constraint.values > 0)

    def settings(self) -> dict[str, Any]:
        """Resolved settings as plain data; what was refined, as it stands."""
        found = settings(self.config, self.problem, self.plan)
        if self._first_step is not None and not is_linear(self.config):
            found["resolved"]["step"] = self._first_step * self.problem.geometry.nz
        if self.hooks:
            found["refined"] = refined(self.problem, self.series)
        return found

    def refine(self, state: SolverState) -> None:
        """Let the hooks see the last sweep's volume; keeps for a resumed run what they changed."""
        acting = [hook for hook in self.hooks if hook.active(state.sweep - 1)]
        volume = self.solver.potential(state.previous) if acting else None
        for hook in acting:
            hook.refine(self.method, self.problem, volume)
        if self.hooks:
            remember(self.problem, state.memory)

    def take_note(self) -> str:
        """What the method had to change since this was last asked, for the user; "" for nothing."""
        take = getattr(self.method, "take_note", None)
        return "" if take is None else str(take())

    @property
    def label(self) -> str:
        """What its sweeps are told as."""
        return f"bin {self.bin}" if self.config.multiresolution else ""

    def adopt(self, state: SolverState, history: Sequence[SweepDone] = ()) -> None:
        """Go on from a state that was read from a file, after the sweeps of ``history``."""
        label = self.label
        self._first_step = next((h.step_size for h in history if h.stage == label), state.step)
        recall(self.problem, state.memory)
        self.solver.adopt(state)

    def step(self) -> float:
        """Step size in the solver's unit, to begin with."""
        self._first_step = self._step()
        return self._first_step

    def _step(self) -> float:
        if is_linear(self.config):
            return relaxation(self.config)
        if self.config.step != "auto":
            return self.config.step / self.problem.geometry.nz
        weight, tilts = self.problem.weight, self.problem.tilts
        # A subset that holds tilts of more dose curves more than the one that is probed.
        heavier = heaviest_ratio(weight, probed_subset(self.solver), tilts)
        return automatic_step(self.solver, self.config.seed) / heavier

    def start(self, volume: np.ndarray | None) -> np.ndarray | None:
        """Solver coefficients from a public `(nz, ny, nx)` start volume."""
        if volume is None:
            return None
        if METHODS[self.config.method].direct:
            label = METHODS[self.config.method].label
            raise ConfigError(f"start: {label} is direct and cannot start from a volume")
        shape = self.problem.geometry.volume_shape
        engine = from_public(volume, shape, self.problem.border, "start volume")
        result = np.zeros(self.method.volume_shape, REAL)
        result[0] = engine / self.method.volts_per_unit
        return self._coefficients(result)

    def _coefficients(self, volume: np.ndarray) -> np.ndarray:
        """What the solver iterates on, of a volume in its unit."""
        basis = self.solver.basis
        return volume if basis is None else asnumpy(basis.fit(volume))

    def upsample(self, coefficients: Array, other: Stage) -> np.ndarray:
        """Result of this stage on a finer stage's grid, in that stage's unit."""
        if self.hooks:
            other.problem.shifts_px[...] = self.problem.shifts_px * (
                self.problem.grid.pixel_size_angstrom / other.problem.grid.pixel_size_angstrom
            )
            if self.problem.defocus_angstrom is not None and other.problem.defocus_angstrom is not None:
                other.problem.defocus_angstrom[...] = self.problem.defocus_angstrom
            adopt_optics(other.problem, self.problem)
        finer = self._resampled(coefficients, other) / REAL(other.method.volts_per_unit)
        if self.config.constraints.positivity:
            np.maximum(finer, 0, out=finer)
        return other._coefficients(finer)

    def _resampled(self, coefficients: np.ndarray, other: Stage) -> np.ndarray:
        """Volts on the other stage's grid; without the padding where theirs is not as wide."""
        potential, scale = asnumpy(self.solver.potential(coefficients)), self.method.volts_per_unit
        shape, borders = other.method.volume_shape[1:], (self.problem.border, other.problem.border)
        sides = zip(shape[1:], potential.shape[2:], strict=True)
        if all(borders[0] * finer == borders[1] * coarse for finer, coarse in sides):
            return fourier_resample(potential * REAL(scale), shape)
        parts = [to_public(part, scale, borders[0]) for part in potential]
        return np.stack([from_public(part, shape, borders[1], "volume") for part in parts])

    def public(self, coefficients: Array) -> tuple[np.ndarray, np.ndarray | None]:
        """`(nz, ny, nx)` potential and absorption (or None) in the method's unit."""
        volume = asnumpy(self.solver.potential(coefficients))
        if self.solver.basis is not None:
            self.confine(volume)  # the tails of Gaussians at the mask's edge
        if self._on_result:
            volume = volume.copy()
            for constraint in self.constraints:
                constraint.apply(volume, self.plan.n_sweeps - 1)
        scale, border = self.method.volts_per_unit, self.problem.border
        absorption = to_public(volume[1], scale, border) if len(volume) > 1 else None
        return to_public(volume[0], scale, border), absorption

    def preview(self, state: SolverState, longest: int) -> Iterator[Event]:
        """A binned copy of the volume as it stands."""
        begun = time.monotonic()
        volume, factor = binned(self.public(state.volume)[0], longest)
        voxel = self.problem.geometry.voxel_size_angstrom * factor
        shown = np.array(volume, REAL)
        yield Preview(shown, voxel, state.sweep, time.monotonic() - begun)
