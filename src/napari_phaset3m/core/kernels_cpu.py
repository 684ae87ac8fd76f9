"""Fused elementwise kernels of the CPU multislice, GIL released.

Each has a CUDA twin in ``core/cuda``. Arrays are float32/complex64 and contiguous.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_F = np.float32
_TWO_OVER_PI = _F(0.6366197723675814)
_HALF_PI_HIGH, _HALF_PI_LOW = _F(1.5703125), _F(4.838267948966e-4)
_ONE, _HALF, _ZERO = _F(1.0), _F(0.5), _F(0.0)
_TINY = _F(1e-12)
# Minimax polynomials on [-pi/4, pi/4] (Moshier, Cephes sinf/cosf): unlike libm's
# they vectorise, and the transmission would otherwise cost more than its FFT.
_S1, _S2, _S3 = _F(-1.6666654611e-1), _F(8.3321608736e-3), _F(-1.9515295891e-4)
_C1, _C2, _C3 = _F(4.166664568298827e-2), _F(-1.388731625493765e-3), _F(2.443315711809948e-5)


@njit(nogil=True, fastmath=True, cache=True, inline="always")
def _sincos(angle):  # type: ignore[no-untyped-def]
    q = np.rint(angle * _TWO_OVER_PI)
    r = (angle - q * _HALF_PI_HIGH) - q * _HALF_PI_LOW
    r2 = r * r
    sine = r + r * r2 * (_S1 + r2 * (_S2 + r2 * _S3))
    cosine = _ONE - _HALF * r2 + r2 * r2 * (_C1 + r2 * (_C2 + r2 * _C3))
    quadrant = np.int32(q)
    odd = (quadrant & 1) != 0
    first = cosine if odd else sine
    second = sine if odd else cosine
    sine = -first if (quadrant & 2) != 0 else first
    cosine = -second if ((quadrant + 1) & 2) != 0 else second
    return sine, cosine


@njit(nogil=True, fastmath=True, cache=True)
def transmit(wave, phase, out):  # type: ignore[no-untyped-def]
    """``out = wave * exp(i phase)``; wave, out as float32 pairs `(n, 2)`, phase `(n,)`."""
    for i in range(phase.size):
        s, c = _sincos(phase[i])
        re, im = wave[i, 0], wave[i, 1]
        out[i, 0] = re * c - im * s
        out[i, 1] = re * s + im * c


@njit(nogil=True, fastmath=True, cache=True)
def attenuate(wave, absorption):  # type: ignore[no-untyped-def]
    """``wave *= exp(-absorption)`` in place; wave `(n, 2)`, absorption `(n,)`."""
    for i in range(absorption.size):
        a = np.exp(-absorption[i])
        wave[i, 0] *= a
        wave[i, 1] *= a


@njit(nogil=True, fastmath=True, cache=True)
def phase_gradient(chi, wave, phase):  # type: ignore[no-untyped-def]
    """Gradient by the phase, then carry ``chi`` back through ``exp(i phase)``.

    ``phase`` becomes ``Im(conj(wave) chi)`` and ``chi *= exp(-i phase)``, where
    ``wave`` is the wave after transmission.
    """
    for i in range(phase.size):
        re, im = chi[i, 0], chi[i, 1]
        s, c = _sincos(phase[i])
        phase[i] = wave[i, 0] * im - wave[i, 1] * re
        chi[i, 0] = re * c + im * s
        chi[i, 1] = im * c - re * s


@njit(nogil=True, fastmath=True, cache=True)
def absorption_gradient(chi, wave, absorption):  # type: ignore[no-untyped-def]
    """Gradient by the absorption, then ``chi *= exp(-absorption)`` except its phase.

    ``absorption`` becomes ``-Re(conj(wave) chi)``. The gradient by the phase needs
    ``chi`` before attenuation, so the wave is attenuated instead: only their
    product counts, and the wave is not needed again.
    """
    for i in range(absorption.size):
        a = np.exp(-absorption[i])
        absorption[i] = -(wave[i, 0] * chi[i, 0] + wave[i, 1] * chi[i, 1])
        chi[i, 0] *= a
        chi[i, 1] *= a
        wave[i, 0] /= a
        wave[i, 1] /= a


@njit(nogil=True, fastmath=True, cache=True)
def multiply(a, b):  # type: ignore[no-untyped-def]
    """``a *= b`` for complex numbers as float32 pairs `(n, 2)`."""
    for i in range(a.shape[0]):
        re, im = a[i, 0], a[i, 1]
        a[i, 0] = re * b[i, 0] - im * b[i, 1]
        a[i, 1] = re * b[i, 1] + im * b[i, 0]


@njit(nogil=True, fastmath=True, cache=True)
def multiply_conjugate(a, b):  # type: ignore[no-untyped-def]
    """``a *= conj(b)`` for complex numbers as float32 pairs `(n, 2)`."""
    for i in range(a.shape[0]):
        re, im = a[i, 0], a[i, 1]
        a[i, 0] = re * b[i, 0] + im * b[i, 1]
        a[i, 1] = im * b[i, 0] - re * b[i, 1]


@njit(nogil=True, fastmath=True, cache=True)
def apply_transfer(spectrum, base, ex, ey, out):  # type: ignore[no-untyped-def]
    """``out[f] = base[f or 0] * ex[f, :, None] * ey[f, None, :] * spectrum``.

    spectrum `(nx, ny)`, base `(1 or n, nx, ny)`, ex `(n, nx)`, ey `(n, ny)`,
    out `(n, nx, ny)`, all complex64.
    """
    for f in range(out.shape[0]):
        b = base[f] if base.shape[0] > 1 else base[0]
        for x in range(out.shape[1]):
            left = ex[f, x]
            for y in range(out.shape[2]):
                out[f, x, y] = spectrum[x, y] * b[x, y] * (left * ey[f, y])


@njit(nogil=True, fastmath=True, cache=True)
def apply_transfer_adjoint(spectra, base, ex, ey, out):  # type: ignore[no-untyped-def]
    """``out = sum_f conj(transfer_f) * spectra[f]``: adjoint of :func:`apply_transfer`."""
    out[:] = 0
    for f in range(spectra.shape[0]):
        b = base[f] if base.shape[0] > 1 else base[0]
        for x in range(out.shape[0]):
            left = ex[f, x]
            for y in range(out.shape[1]):
                out[x, y] += spectra[f, x, y] * np.conj(b[x, y] * (left * ey[f, y]))


@njit(nogil=True, fastmath=True, cache=True)
def add_intensity(field, weight, intensity):  # type: ignore[no-untyped-def]
    """``intensity += weight * |field|^2``; field `(n, 2)`, intensity `(n,)`."""
    for i in range(intensity.size):
        intensity[i] += weight * (field[i, 0] * field[i, 0] + field[i, 1] * field[i, 1])


@njit(nogil=True, fastmath=True, cache=True)
def scale_field(field, factor, weight):  # type: ignore[no-untyped-def]
    """``field *= weight * factor`` in place; field `(n, 2)`, factor `(n,)` real."""
    for i in range(factor.size):
        w = weight * factor[i]
        field[i, 0] *= w
        field[i, 1] *= w


@njit(nogil=True, fastmath=True, cache=True)
def amplitude_loss(intensity, amplitude, weight, slope):  # type: ignore[no-untyped-def]
    """``1/2 sum w (sqrt(I) - A)^2``; ``slope`` receives twice its derivative by I."""
    total = 0.0
    for i in range(intensity.size):
        root = np.sqrt(max(intensity[i], _TINY))
        difference = root - amplitude[i]
        total += weight[i] * difference * difference
        slope[i] = weight[i] * difference / root
    return 0.5 * total


@njit(nogil=True, fastmath=True, cache=True)
def poisson_loss(intensity, amplitude, weight, slope):  # type: ignore[no-untyped-def]
    """``1/4 sum w (I - D + D log(D / I))``, D = A^2: a quarter of half the deviance.

    So scaled it equals :func:`amplitude_loss` to second order in sqrt(I) - A.
    """
    total = 0.0
    for i in range(intensity.size):
        data = amplitude[i] * amplitude[i]
        value = max(intensity[i], _F(1e-4))
        term = value - data
        if data > _ZERO:
            term += data * np.log(data / value)
        total += weight[i] * term
        slope[i] = _HALF * weight[i] * (_ONE - data / value)
    return 0.25 * total


@njit(nogil=True, fastmath=True, cache=True)
def intensity_loss(intensity, amplitude, weight, slope):  # type: ignore[no-untyped-def]
    """``1/8 sum w (I - D)^2``, D = A^2: equals :func:`amplitude_loss` near I = 1."""
    total = 0.0
    for i in range(intensity.size):
        difference = intensity[i] - amplitude[i] * amplitude[i]
        total += weight[i] * difference * difference
        slope[i] = _HALF * weight[i] * difference
    return 0.125 * total


LOSSES = {"amplitude": amplitude_loss, "poisson": poisson_loss, "intensity": intensity_loss}
