"""Rotation as three Fourier shears, with the exact transpose.

The angle is split into exact quarter turns (transposes) and a rest of at most
45 degrees, which is ``shear x, shear z, shear x``; each shear shifts whole lines
by a phase ramp on a zero-padded canvas, so band-limited volumes keep all of their
power. The tilt axis y is the batch axis, worked through in chunks.

Source: Unser, Thevenaz, Yaroslavsky, IEEE Trans. Image Process. 4 (1995) 1371;
Welling, Eddy, Young, Graphical Models 68 (2006) 356.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import fft

from napari_phaset3m.core.fft import smooth_size
from napari_phaset3m.core.geometry import TiltGeometry

_CHUNK_BYTES = 16 << 20
_MARGIN = 8  # voxels that let the sinc tails of sharp edges die off before they wrap


def _ramp(shift: np.ndarray, size: int) -> np.ndarray:
    # exp(2 pi i k d / size) on the rfft grid; the Nyquist term is the mean of the
    # two aliases, so that the operator stays real and its transpose is its conjugate.
    k = np.arange(size // 2 + 1)
    ramp = np.exp(2j * np.pi / size * shift[:, None] * k)
    if size % 2 == 0:
        ramp[:, -1] = ramp[:, -1].real
    return ramp


def _ramp_slope(shift: np.ndarray, rate: np.ndarray, size: int) -> np.ndarray:
    k = np.arange(size // 2 + 1)
    slope = 2j * np.pi / size * k * rate[:, None] * np.exp(2j * np.pi / size * shift[:, None] * k)
    if size % 2 == 0:
        slope[:, -1] = slope[:, -1].real
    return np.asarray(slope)


@dataclass(frozen=True, slots=True)
class Shear:
    """``out[line, i] = in[line, i + shift[line]]`` along ``axis`` of (z, x, y) arrays.

    ``rate`` is the derivative of the shifts by the tilt angle, per radian.
    """

    axis: int
    size: int
    shift: np.ndarray
    rate: np.ndarray

    def _filter(self, data: np.ndarray, ramp: np.ndarray) -> np.ndarray:
        spectrum = fft.rfft(data, axis=self.axis)
        lined = ramp[:, :, None] if self.axis == 1 else ramp.T[:, :, None]
        spectrum *= lined.astype(spectrum.dtype)
        return np.asarray(fft.irfft(spectrum, n=self.size, axis=self.axis, overwrite_x=True))

    def apply(self, data: np.ndarray) -> np.ndarray:
        return self._filter(data, _ramp(self.shift, self.size)) if self.shift.any() else data

    def transpose(self, data: np.ndarray) -> np.ndarray:
        ramp = _ramp(self.shift, self.size).conj()
        return self._filter(data, ramp) if self.shift.any() else data

    def derivative(self, data: np.ndarray) -> np.ndarray:
        return self._filter(data, _ramp_slope(self.shift, self.rate, self.size))


def _quarter_turn(volume: np.ndarray, turns: int) -> np.ndarray:
    # A view w with w(p) = volume(R(90 turns) p): lab axes after exact quarter turns.
    if turns % 4 == 1:
        return volume.swapaxes(0, 1)[:, ::-1]
    if turns % 4 == 2:
        return volume[::-1, ::-1]
    return volume.swapaxes(0, 1)[::-1] if turns % 4 == 3 else volume


def _canvas_size(extent: float) -> int:
    # Multiples of an eighth or so: the tilts share a few sizes, for which a GPU makes FFT plans.
    least = int(extent) + 1
    step = 1 << max(0, least.bit_length() - 4)
    size = -(-least // step) * step
    while smooth_size(size) != size:
        size += step
    return size


class ShearPlan:
    """Canvas and shears of one tilt.

    Attributes
    ----------
    turns : int
        Quarter turns that come first; `(wz, wx)` is the shape after them.
    mz, mx : int
        Canvas; input and output box begin at `z_in`, `x_in`, `z_out`, `x_out` in it.
    depth, width : int
        Of the output box.
    edges : ndarray
        Slices in it.
    first, second, third : Shear
        Along x, z, x.
    """

    def __init__(self, geometry: TiltGeometry, tilt: int) -> None:
        degrees = float(geometry.tilt_deg[tilt])
        self.turns = round(degrees / 90)
        angle = np.radians(degrees - 90 * self.turns)
        sin, tan = np.sin(angle), np.tan(angle / 2)
        self.edges = geometry.edges(tilt)
        self.depth, self.width = int(self.edges[-1]), geometry.nx
        wz, wx = geometry.nz, geometry.nx
        if self.turns % 2:
            wz, wx = wx, wz
        self.wz, self.wx = wz, wx
        extent_x = max(wx + abs(tan) * wz, self.width) + _MARGIN
        extent_z = max(wz * np.cos(angle) + wx * abs(sin), wz, self.depth) + _MARGIN
        self.mx, self.mz = _canvas_size(extent_x), _canvas_size(extent_z)
        self.x_in, self.x_out = (self.mx - wx) // 2, (self.mx - self.width) // 2
        self.z_in, self.z_out = (self.mz - wz) // 2, (self.mz - self.depth) // 2
        self._shears(angle, float(sin), float(tan))

    def _shears(self, angle: float, sin: float, tan: float) -> None:
        z_in = np.arange(self.wz) - (self.wz - 1) / 2
        x_in = np.arange(self.mx) - self.x_in - (self.wx - 1) / 2
        z_out = np.arange(self.depth) - (self.depth - 1) / 2
        # Boxes of unlike parity have centres half a voxel apart.
        half_z = self.z_in + (self.wz - 1) / 2 - self.z_out - (self.depth - 1) / 2
        half_x = self.x_in + (self.wx - 1) / 2 - self.x_out - (self.width - 1) / 2
        rate = 0.5 * (1 + tan * tan)
        self.first = Shear(1, self.mx, tan * z_in, rate * z_in)
        self.second = Shear(0, self.mz, half_z - sin * x_in, -np.cos(angle) * x_in)
        self.third = Shear(1, self.mx, half_x + tan * z_out, rate * z_out)

    @property
    def _in_x(self) -> slice:
        return slice(self.x_in, self.x_in + self.wx)

    @property
    def _in_z(self) -> slice:
        return slice(self.z_in, self.z_in + self.wz)

    @property
    def _out_z(self) -> slice:
        return slice(self.z_out, self.z_out + self.depth)

    @property
    def _out_x(self) -> slice:
        return slice(self.x_out, self.x_out + self.width)

    def chunks(self, ny: int) -> list[slice]:
        step = max(1, _CHUNK_BYTES // (4 * self.mx * self.mz))
        return [slice(y, min(y + step, ny)) for y in range(0, ny, step)]

    def _embed(self, data: np.ndarray, where: tuple[slice, slice], shape: Any) -> np.ndarray:
        canvas = np.zeros((*shape, data.shape[2]), data.dtype)
        canvas[where] = data
        return canvas

    def load(self, volume: np.ndarray) -> np.ndarray:
        turned = _quarter_turn(volume, self.turns)
        return self._embed(turned, (slice(None), self._in_x), (self.wz, self.mx))

    def deepen(self, data: np.ndarray) -> np.ndarray:
        return self._embed(data, (self._in_z, slice(None)), (self.mz, self.mx))

    def forward(self, volume: np.ndarray) -> np.ndarray:
        """Make the rotated box `(depth, width, ny)` of a chunk of the volume."""
        data = self.deepen(self.first.apply(self.load(volume)))
        return self.third.apply(self.second.apply(data)[self._out_z])[:, self._out_x]

    def transpose(self, box: np.ndarray) -> np.ndarray:
        """Adjoint of :meth:`forward`."""
        canvas = self._embed(box, (slice(None), self._out_x), (self.depth, self.mx))
        canvas = self.third.transpose(canvas)
        deep = self._embed(canvas, (self._out_z, slice(None)), (self.mz, self.mx))
        flat = self.second.transpose(deep)[self._in_z]
        return _quarter_turn(self.first.transpose(flat)[:, self._in_x], -self.turns)

    def derivative(self, volume: np.ndarray) -> np.ndarray:
        """Differentiate :meth:`forward` by the angle: the product rule over the shears."""
        loaded = self.load(volume)
        one, d_one = self.deepen(self.first.apply(loaded)), self.deepen(self.first.derivative(loaded))
        two = self.second.apply(one)[self._out_z]
        d_two = (self.second.apply(d_one) + self.second.derivative(one))[self._out_z]
        return np.asarray(self.third.apply(d_two) + self.third.derivative(two))[:, self._out_x]


class FourierRotator:
    """Three-shear Fourier rotation in the plane across the tilt axis.

    Parameters
    ----------
    geometry : TiltGeometry
    """

    def __init__(self, geometry: TiltGeometry) -> None:
        self.geometry = geometry
        self._plans = [ShearPlan(geometry, i) for i in range(geometry.n_tilt)]

    def project(self, volume: np.ndarray, tilt: int, out: np.ndarray) -> None:
        """Overwrite ``out`` `(n_slice, nx, ny)` with the slices seen at ``tilt``."""
        plan = self._plans[tilt]
        for chunk in plan.chunks(volume.shape[2]):
            out[:, :, chunk] = np.add.reduceat(plan.forward(volume[:, :, chunk]), plan.edges[:-1])

    def backproject(self, slices: np.ndarray, tilt: int, gradient: np.ndarray) -> None:
        """Add the exact adjoint of :meth:`project` to ``gradient`` `(nz, nx, ny)`."""
        plan = self._plans[tilt]
        for chunk in plan.chunks(slices.shape[2]):
            box = np.repeat(slices[:, :, chunk], np.diff(plan.edges), axis=0)
            gradient[:, :, chunk] += plan.transpose(box)

    def project_derivative(self, volume: np.ndarray, tilt: int, out: np.ndarray) -> None:
        """Overwrite ``out`` with the derivative by the tilt angle, per radian."""
        plan = self._plans[tilt]
        for chunk in plan.chunks(volume.shape[2]):
            out[:, :, chunk] = np.add.reduceat(plan.derivative(volume[:, :, chunk]), plan.edges[:-1])
