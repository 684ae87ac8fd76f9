"""Shifts and tilt axis from what the projections of one object have in common; no reconstruction.

For a fixed frequency k along the tilt axis, the images are line projections ``p(x, theta)`` of one
plane function that vanishes beyond a radius R. Expanded in Chebyshev polynomials of the second kind,
``q_n(theta) = integral p(x, theta) U_n(x / R) dx`` must be a combination of ``cos(l theta)`` and
``sin(l theta)`` with l = n, n - 2, ... (Helgason 1965; Ludwig, Commun. Pure Appl. Math. 19 (1966) 49;
n = 0 is the common line). An image that is moved, or an axis that is turned, breaks this. With
Gaussian coefficients of power tau^2 and noise sigma^2 (both found from the data, by maximum likelihood
for every n and k) the misfit is ``q^H (tau^2 B B^T + sigma^2)^-1 q``, and Gauss-Newton steps on it find
all shifts and the axis at once, with their covariance. An isotropic contrast transfer that all tilts
share changes the object and not the condition.

Moments are summed straight from the given pixels at their aligned places: nothing is interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_RATIOS = np.logspace(-4, 2.5, 14)
_POOLED = 3
#: Ratio of signal to noise from which a moment tells of the axis.
_STRONG = 1.0
#: Log-likelihood that signal must gain over pure noise; less is taken for chance.
_GAIN = 4.0


@dataclass(frozen=True, slots=True)
class Window:
    """What of the aligned frame is used.

    Attributes
    ----------
    half_x_px : ndarray
        `(n_tilt,)` half width across the axis at each tilt, faded out over its outer fifth.
    half_y_px : float
        Half length along the axis, faded out over its outer fifth.
    radius_px : float
        R of the polynomials.
    """

    half_x_px: np.ndarray
    half_y_px: float
    radius_px: float


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Moments of all images; `(n_tilt, degree, k)` complex.

    Attributes
    ----------
    value, lever : ndarray
        Of the images, and of the images times y.
    """

    value: np.ndarray
    lever: np.ndarray


def _edge(distance: np.ndarray, half: float) -> np.ndarray:
    """Window at a distance from its middle: 1, and a cosine over the outer fifth."""
    part = np.clip((np.abs(distance) / half - 0.8) / 0.2, 0, 1)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * part))


def _polynomials(u: np.ndarray, count: int) -> np.ndarray:
    """`(count, n)` U_0 .. at u in -1..1, by recurrence."""
    value = np.empty((count, u.size))
    value[0] = 1
    if count > 1:
        value[1] = 2 * u
    for n in range(2, count):
        value[n] = 2 * u * value[n - 1] - value[n - 2]
    return value


def moments(
    images: np.ndarray,
    shifts_px: np.ndarray,
    turn_rad: np.ndarray,
    window: Window,
    frequencies_per_px: np.ndarray,
    degrees: int,
) -> Moments:
    """Moments of the images at the aligned places of their pixels.

    Parameters
    ----------
    images : ndarray
        `(n_tilt, ny, nx)`, background 0.
    shifts_px : ndarray
        `(n_tilt, 2)` (y, x).
    turn_rad : ndarray
        `(n_tilt,)` rotation from the aligned to the given image.
    window : Window
    frequencies_per_px : ndarray
        `(k,)` along the axis, multiples of the first.
    degrees : int
        U_0 .. U_(degrees - 1).
    """
    n_tilt, ny, nx = images.shape
    count = frequencies_per_px.size
    found = np.empty((n_tilt, 2 * degrees, count), np.complex128)
    gy, gx = (np.arange(n) - (n - 1) / 2 for n in (ny, nx))
    for tilt in range(n_tilt):
        cos, sin = np.cos(turn_rad[tilt]), np.sin(turn_rad[tilt])
        dy, dx = np.meshgrid(gy - shifts_px[tilt, 0], gx - shifts_px[tilt, 1], indexing="ij")
        x, y = (cos * dx + sin * dy).ravel(), (cos * dy - sin * dx).ravel()
        inside = (np.abs(x) < window.half_x_px[tilt]) & (np.abs(y) < window.half_y_px)
        x, y, data = x[inside], y[inside], images[tilt].ravel()[inside].astype(np.float64)
        data *= _edge(x, float(window.half_x_px[tilt])) * _edge(y, window.half_y_px)
        across = _polynomials(np.clip(x / window.radius_px, -1, 1), degrees) * data
        # Powers of the first wave, as real and imaginary parts: cheaper than so many exponentials.
        first = np.exp(-2j * np.pi * frequencies_per_px[0] * y)
        waves = np.multiply.accumulate(np.broadcast_to(first, (count, first.size)), axis=0)
        rows = np.concatenate((across, across * y))
        found[tilt].real, found[tilt].imag = rows @ waves.real.T, rows @ waves.imag.T
    return Moments(found[:, :degrees], found[:, degrees:])


def spectral_bases(tilt_deg: np.ndarray, degrees: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each degree the eigenvalues `(n_tilt,)` and eigenvectors of B B^T over the tilts."""
    angle = np.radians(tilt_deg)
    found = []
    for n in range(degrees):
        orders = np.arange(n % 2, n + 1, 2)
        columns = [np.cos(orders[:, None] * angle), np.sin(orders[orders > 0][:, None] * angle)]
        basis = np.concatenate(columns).T
        values, vectors = np.linalg.eigh(basis @ basis.T / basis.shape[1])
        found.append((np.maximum(values, 0), vectors))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """Power of signal and noise of moments, and what of them is signal.

    Attributes
    ----------
    weight : ndarray
        `(degree, k, n_tilt)` inverse variances in the eigenbases.
    signal : ndarray
        `(n_tilt, degree, k)` posterior mean of the moments without noise.
    quiet : ndarray
        `(degree, k)` 1 / sigma^2.
    """

    weight: np.ndarray
    signal: np.ndarray
    quiet: np.ndarray


def spectrum(value: np.ndarray, bases: list[tuple[np.ndarray, np.ndarray]]) -> Spectrum:
    """Estimate tau^2 and sigma^2 of each degree and k by maximum likelihood, a few k together."""
    _, degrees, count = value.shape
    weight, signal = np.empty((degrees, count, value.shape[0])), np.empty_like(value)
    quiet = np.empty((degrees, count))
    each = np.arange(count)
    for n, (eigen, vectors) in enumerate(bases):
        parts = vectors.T @ value[:, n, :]
        power = np.abs(parts) ** 2
        near = [power[:, max(0, k - _POOLED) : k + _POOLED + 1].mean(1) for k in range(count)]
        pooled = np.stack(near, 1)
        spread = 1 + eigen[None, :] / _RATIOS[:, None]
        noise = (pooled[None] / spread[:, :, None]).mean(1)
        cost = np.log(np.maximum(noise, 1e-300)) + np.log(spread).mean(1)[:, None]
        best = cost.argmin(0)
        samples = value.shape[0] * np.array([min(count, k + _POOLED + 1) - max(0, k - _POOLED) for k in each])
        gain = (np.log(pooled.mean(0)) - cost[best, each]) * samples
        silent = gain < _GAIN
        weight[n] = 1 / np.maximum(noise[best, each][:, None] * spread[best], 1e-300)
        weight[n, silent] = 1 / np.maximum(pooled.mean(0)[silent, None], 1e-300)
        quiet[n] = np.where(
            silent, 1 / np.maximum(pooled.mean(0), 1e-300), 1 / np.maximum(noise[best, each], 1e-300)
        )
        signal[:, n] = vectors @ (parts * np.where(silent, 0.0, (1 - 1 / spread[best]).T))
    return Spectrum(weight, signal, quiet)


def _signal_derivatives(
    signal: np.ndarray, lever: np.ndarray, radius_px: float, frequencies_per_px: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Derivatives as of moments, of the signal alone: those of the noise would pass for information.

    With U_n' = 2 sum of (m + 1) U_m over m = n - 1, n - 3, ... and 2 u U_n = U_(n+1) + U_(n-1); the
    window is taken as flat.
    """
    degrees = signal.shape[1]
    n, m = np.arange(degrees)[:, None], np.arange(degrees)[None, :]
    lower = np.where((m < n) & ((n - m) % 2 == 1), 2.0 * (m + 1) / radius_px, 0.0)
    wave = -2j * np.pi * frequencies_per_px
    by_x = np.einsum("nm,tmk->tnk", lower, signal)
    by_y = signal * wave
    lifted = np.zeros_like(signal)
    lifted[:, :-1] += signal[:, 1:]
    lifted[:, 1:] += signal[:, :-1]
    by_turn = np.einsum("nm,tmk->tnk", lower, lever) - 0.5 * radius_px * wave * lifted
    by_turn[:, -1] = 0  # its neighbour above is not known
    return by_x, by_y, by_turn


@dataclass(frozen=True, slots=True)
class Step:
    """One Gauss-Newton step.

    Attributes
    ----------
    shifts_px : ndarray
        `(n_tilt, 2)` change (y, x) in aligned axes.
    turn_rad : float
        Change of the axis angle; too short far from the solution, so that it is the place of its zero
        that counts.
    shift_error_px, turn_error_rad
        One standard deviation.
    misfit : float
        Of all moments, expected about 1 for each.
    """

    shifts_px: np.ndarray
    turn_rad: float
    shift_error_px: np.ndarray
    turn_error_rad: float
    misfit: float


def scoring_step(
    found: Moments,
    bases: list[tuple[np.ndarray, np.ndarray]],
    window: Window,
    frequencies_per_px: np.ndarray,
) -> Step:
    """Steps of the shifts, and of the axis by itself, that make the moments agree (Fisher scoring).

    Parameters
    ----------
    found : Moments
    bases : list of tuple of ndarray
        From :func:`spectral_bases`.
    window : Window
    frequencies_per_px : ndarray

    Returns
    -------
    Step
        What the images do not tell (a translation of the specimen) is left at zero. The step of the axis
        uses only moments whose signal outweighs their noise: where it does not, what is taken for noise
        still holds signal, and turning the images moves it between moments, which biases the axis.
    """
    n_tilt = found.value.shape[0]
    power = spectrum(found.value, bases)
    lever = spectrum(found.lever, bases).signal
    by_x, by_y, by_turn = _signal_derivatives(power.signal, lever, window.radius_px, frequencies_per_px)
    strong = (np.abs(power.signal) ** 2).mean(0) * power.quiet > _STRONG
    # A shift of the given image by s brings its pixels to aligned places less s.
    slopes = np.concatenate((-by_y, -by_x))
    normal, slope = np.zeros((2 * n_tilt, 2 * n_tilt)), np.zeros(2 * n_tilt)
    turning, curvature, misfit = 0.0, 0.0, 0.0
    for n, (_, vectors) in enumerate(bases):
        operator = np.einsum("ti,ki,ui->ktu", vectors, power.weight[n], vectors, optimize=True)
        value, parts = found.value[:, n].T, slopes[:, n].T
        weighed = np.einsum("ktu,ku->kt", operator, value)
        misfit += float((value.conj() * weighed).real.sum())
        slope += (parts.conj() * np.tile(weighed, 2)).real.sum(0)
        wide = np.tile(operator, (1, 2, 2))
        normal += np.einsum("kt,ktu,ku->tu", parts.conj(), wide, parts, optimize=True).real
        turned = by_turn[:, n].T[strong[n]]
        turning += float((turned.conj() * weighed[strong[n]]).real.sum())
        both = np.einsum("kt,ktu,ku->k", turned.conj(), operator[strong[n]], turned, optimize=True)
        curvature += float(both.real.sum())
    inverse = _inverse(normal)
    change = -inverse @ slope
    # -ln p of complex Gaussians is q^H C^-1 q, so that its second derivative is twice this matrix.
    error = np.sqrt(np.maximum(np.diag(inverse) / 2, 0))
    return Step(
        shifts_px=np.stack((change[:n_tilt], change[n_tilt:]), -1),
        turn_rad=-turning / curvature if curvature > 0 else 0.0,
        shift_error_px=np.stack((error[:n_tilt], error[n_tilt:]), -1),
        turn_error_rad=float(1 / np.sqrt(2 * curvature)) if curvature > 0 else np.inf,
        misfit=misfit / found.value.size,
    )


def _inverse(normal: np.ndarray) -> np.ndarray:
    # Scaled, so that pixels and radians compare; the three translations of the specimen drop out.
    scale = 1 / np.sqrt(np.maximum(np.diag(normal), 1e-300))
    values, vectors = np.linalg.eigh(normal * scale * scale[:, None])
    kept = values > 1e-4 * values.max()
    part = vectors[:, kept] / values[kept] @ vectors[:, kept].T
    return np.asarray(part * scale * scale[:, None])
