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
_I1, _I2 = np.int32(1), np.int32(2)
# Minimax polynomials on [-pi/4, pi/4] (Moshier, Cephes sinf/cosf): unlike libm's
# they vectorise, and the transmission would otherwise cost more than its FFT.
_S1, _S2, _S3 = _F(-1.6666654611e-1), _F(8.3321608736e-3), _F(-1.9515295891e-4)
_C1, _C2, _C3 = _F(4.166664568298827e-2), _F(-1.388731625493765e-3), _F(2.443315711809948e-5)


@njit(nogil=True, fastmath=True, cache=True, inline="always")
def _sincos(angle):  # type: ignore[no-untyped-def]
    turns = angle * _TWO_OVER_PI
    # Rounding by int32 and quadrants by int32 bits: float rint and int64 do not vectorise.
    quadrant = np.int32(turns + (_HALF if turns > _ZERO else -_HALF))
    q = np.float32(quadrant)
    r = (angle - q * _HALF_PI_HIGH) - q * _HALF_PI_LOW
    r2 = r * r
    sine = r + r * r2 * (_S1 + r2 * (_S2 + r2 * _S3))
    cosine = _ONE - _HALF * r2 + r2 * r2 * (_C1 + r2 * (_C2 + r2 * _C3))
    odd = np.float32(quadrant & _I1)
    sine_sign = np.float32(_I1 - (quadrant & _I2))
    cosine_sign = np.float32(_I1 - ((quadrant + _I1) & _I2))
    return sine_sign * (sine + odd * (cosine - sine)), cosine_sign * (cosine + odd * (sine - cosine))


@njit(nogil=True, fastmath=True, cache=True)
def transmit(wave, phase, out):  # type: ignore[no-untyped-def]
    """``out = wave * exp(i phase)``; all `(n,)`."""
    for i in range(phase.size):
        sine, cosine = _sincos(phase[i])
        out[i] = wave[i] * np.complex64(complex(cosine, sine))


@njit(nogil=True, fastmath=True, cache=True)
def attenuate(wave, absorption):  # type: ignore[no-untyped-def]
    """``wave *= exp(-absorption)`` in place; both `(n,)`."""
    for i in range(absorption.size):
        wave[i] *= np.exp(-absorption[i])


@njit(nogil=True, fastmath=True, cache=True)
def phase_gradient(chi, wave, phase):  # type: ignore[no-untyped-def]
    """Gradient by the phase, then carry ``chi`` back through ``exp(i phase)``.

    ``phase`` becomes ``Im(conj(wave) chi)`` and ``chi *= exp(-i phase)``, where
    ``wave`` is the wave after transmission.
    """
    for i in range(phase.size):
        sine, cosine = _sincos(phase[i])
        value = chi[i]
        phase[i] = (np.conj(wave[i]) * value).imag
        chi[i] = value * np.complex64(complex(cosine, -sine))


@njit(nogil=True, fastmath=True, cache=True)
def absorption_gradient(chi, wave, absorption):  # type: ignore[no-untyped-def]
    """Gradient by the absorption, then ``chi *= exp(-absorption)`` except its phase.

    ``absorption`` becomes ``-Re(conj(wave) chi)``. The gradient by the phase needs
    ``chi`` before attenuation, so the wave is attenuated instead: only their
    product counts, and the wave is not needed again.
    """
    for i in range(absorption.size):
        a = np.exp(-absorption[i])
        absorption[i] = -(np.conj(wave[i]) * chi[i]).real
        chi[i] *= a
        wave[i] /= a


@njit(nogil=True, fastmath=True, cache=True)
def multiply(a, b):  # type: ignore[no-untyped-def]
    """``a *= b``; complex64 `(n,)`."""
    for i in range(a.size):
        a[i] *= b[i]


@njit(nogil=True, fastmath=True, cache=True)
def multiply_conjugate(a, b):  # type: ignore[no-untyped-def]
    """``a *= conj(b)``; complex64 `(n,)`."""
    for i in range(a.size):
        a[i] *= np.conj(b[i])


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
    """``intensity += weight * |field|^2``; both `(n,)`."""
    for i in range(intensity.size):
        value = field[i]
        intensity[i] += weight * (value.real * value.real + value.imag * value.imag)


@njit(nogil=True, fastmath=True, cache=True)
def scale_field(field, factor, weight):  # type: ignore[no-untyped-def]
    """``field *= weight * factor`` in place; field complex, factor real, `(n,)`."""
    for i in range(factor.size):
        field[i] *= weight * factor[i]


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
