"""The loops over slices on the CPU, whole: one call that holds no GIL per tilt and direction.

At 96 x 96 pixels a kernel takes 10 to 30 us; handing the GIL over between them made
two threads hardly faster than one. Where FFTW cannot be called from compiled code
(:mod:`.fftw`) the same functions run as Python (``.py_func``) on plans that are callables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import njit

from napari_phaset3m.core import kernels_cpu as kernels
from napari_phaset3m.core.fft import plan_fft2
from napari_phaset3m.core.fftw import FftwPlan, execute_address, run_plan

Plan = Callable[[], None]

_add_intensity, _apply_transfer = kernels.add_intensity, kernels.apply_transfer
_apply_transfer_adjoint, _scale_field = kernels.apply_transfer_adjoint, kernels.scale_field
_attenuate, _absorption_gradient = kernels.attenuate, kernels.absorption_gradient
_transmit, _phase_gradient = kernels.transmit, kernels.phase_gradient
_multiply, _multiply_conjugate = kernels.multiply, kernels.multiply_conjugate


@njit(nogil=True, fastmath=True, cache=True)
def exit_wave(execute, to_work, to_psi, buffers, phase, absorption, propagators, which):  # type: ignore[no-untyped-def]
    """Fill ``waves``, each after its slice; ``buffers`` are (waves, work, psi), pixels flat.

    phase, absorption `(n_slice, n)`, the latter with no slices where there is none;
    propagators `(n_distance, n)`; ``which[s]`` leads from slice s - 1 to s.
    """
    waves, work, psi = buffers
    psi[:] = 1
    for s in range(phase.shape[0]):
        if s:
            run_plan(execute, to_work[s - 1])
            _multiply(work, propagators[which[s]])
            run_plan(execute, to_psi)
        _transmit(psi, phase[s], waves[s])
        if absorption.shape[0]:
            _attenuate(waves[s], absorption[s])


@njit(nogil=True, fastmath=True, cache=True)
def images(execute, to_work, to_fields, buffers, transfer, intensity):  # type: ignore[no-untyped-def]
    """Intensities `(n_focus, n)`.

    ``buffers`` are (work, spectra, fields), ``transfer`` (base, ex, ey, weights).
    """
    work, spectra, fields = buffers
    base, ex, ey, weights = transfer
    run_plan(execute, to_work)
    _apply_transfer(work, base, ex, ey, spectra)
    run_plan(execute, to_fields)
    intensity[:] = 0
    for i in range(fields.shape[0]):
        _add_intensity(fields[i], weights[i % weights.size], intensity[i // weights.size])


@njit(nogil=True, fastmath=True, cache=True)
def image_gradient(execute, to_spectra, to_psi, buffers, transfer, slope):  # type: ignore[no-untyped-def]
    """Adjoint of :func:`images` at ``slope`` `(n_focus, n)`, left in the plane of the last slice (psi)."""
    work, spectra, fields = buffers
    base, ex, ey, weights = transfer
    for i in range(fields.shape[0]):
        _scale_field(fields[i], slope[i // weights.size], weights[i % weights.size])
    run_plan(execute, to_spectra)
    _apply_transfer_adjoint(spectra, base, ex, ey, work)
    run_plan(execute, to_psi)


@njit(nogil=True, fastmath=True, cache=True)
def slice_gradients(execute, to_work, to_psi, buffers, phase, absorption, propagators, which):  # type: ignore[no-untyped-def]
    """Adjoint of :func:`exit_wave`: phase and absorption become the gradients by them."""
    waves, work, psi = buffers
    for s in range(phase.shape[0] - 1, -1, -1):
        if absorption.shape[0]:
            _absorption_gradient(psi, waves[s], absorption[s])
        _phase_gradient(psi, waves[s], phase[s])
        if s:
            run_plan(execute, to_work)
            _multiply_conjugate(work, propagators[which[s]])
            run_plan(execute, to_psi)


class Plans:
    """The FFTs of a workspace, and the way to run a loop with them.

    Parameters
    ----------
    waves, spectra, fields : ndarray
        `(n, nx, ny)` complex64.
    work, psi : ndarray
        `(nx, ny)` complex64.
    """

    def __init__(
        self, waves: np.ndarray, work: np.ndarray, psi: np.ndarray, spectra: np.ndarray, fields: np.ndarray
    ) -> None:
        self.waves_to_work = tuple(plan_fft2(wave, work) for wave in waves)
        self.psi_to_work = plan_fft2(psi, work)
        self.work_to_psi = plan_fft2(work, psi, inverse=True)
        self.spectra_to_fields = plan_fft2(spectra, fields, inverse=True)
        self.fields_to_spectra = plan_fft2(fields, spectra)
        native = isinstance(self.psi_to_work, FftwPlan)
        self._execute = np.uintp(execute_address() if native else 0)

    def run(self, loop: Any, plans: Sequence[Plan | tuple[Plan, ...]], *arguments: Any) -> None:
        """Run a loop of this module: compiled where FFTW is, else the same function in Python."""
        if self._execute:
            loop(self._execute, *map(_address, plans), *arguments)
        else:
            loop.py_func(self._execute, *plans, *arguments)


def _address(plan: Plan | tuple[Plan, ...]) -> Any:
    if isinstance(plan, tuple):
        return np.array([_address(p) for p in plan], np.uintp)
    assert isinstance(plan, FftwPlan)
    return np.uintp(plan.address)
