"""A small OpenGL canvas for the log power of a volume, with resolution rings.

vispy's scene is used directly: a second napari viewer would take seconds to build
in the middle of a run, and its shapes and points would import pandas for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtWidgets import QWidget

from napari_phaset3m.gui.canvas.gl_canvas import discard, new_canvas
from napari_phaset3m.gui.fourier.marks import FourierMarks
from napari_phaset3m.gui.fourier.wedge import WEDGE_VIEWS, FourierWedge

#: View name -> axis of `(nz, ny, nx)` that is cut (None: the whole volume).
VIEWS: dict[str, int | None] = {"3D": None, "kx–ky": 0, "kx–kz": 1, "ky–kz": 2}
#: From where the volume is seen at first, degrees.
ELEVATION, AZIMUTH = 75.0, 0.0
#: Half the width shown around a peak, and the radius of its mark, as parts of Nyquist.
CLOSE_UP, MARK_RADIUS = 0.3, 0.04


class FourierCanvas:
    """Shows one `(nz, ny, nx)` log power as a volume or as a slice.

    Frequencies are in 1/Å and zero frequency is at the origin, so that the view is
    framed right whatever size the canvas has or gets. Everything that takes time to
    make is made at once, so that the first power is shown as quickly as any other.

    Parameters
    ----------
    on_lost : callable
        Called when it has lost its OpenGL context, and another canvas is needed.
    """

    def __init__(self, on_lost: Callable[[], None]) -> None:
        self._canvas = new_canvas(on_lost)
        self.widget: QWidget = self._canvas.native
        self._view = self._canvas.central_widget.add_view()
        self._volume, self._image = fourier_visuals(self._view.scene)
        self.marks = FourierMarks(self._view.scene)
        self.wedge = FourierWedge(self._view.scene)
        self._solid, self._flat = fourier_cameras()
        self._view.camera = self._solid
        self._power: np.ndarray | None = None
        self._geometry: tuple[Any, ...] = ()
        #: Frequency of the slice along the axis it cuts, 1/Å.
        self.depth = 0.0
        self.limits = (0.0, 1.0)
        self.name = "3D"
        self.rings_wanted = self.wedge_wanted = True
        self._tilts: tuple[float, float] | None = None

    def show(self, power: np.ndarray, voxel_angstrom: float, limits: tuple[float, float]) -> None:
        """Take a new log power.

        Parameters
        ----------
        power : ndarray
            `(nz, ny, nx)` float32, zero frequency at ``n // 2``.
        voxel_angstrom : float
            Voxel of the volume it was computed from, Å.
        limits : tuple of float
            Display range.
        """
        geometry = (power.shape, voxel_angstrom)
        anew, self._geometry = geometry != self._geometry, geometry
        self._power, self.limits = np.ascontiguousarray(power, np.float32), limits
        self._fill()
        if anew:
            self._frame()

    def set_view(self, name: str) -> None:
        """Show the whole volume or one of the central slices, framed to fit."""
        self.name, self.depth = name, 0.0
        if self._power is not None:
            self._fill()
            self._frame()

    def fly_to(self, frequency: tuple[float, float, float], text: str = "") -> None:
        """Bring a frequency into the middle, enlarged and circled, in the slice that holds it.

        Parameters
        ----------
        frequency : tuple of float
            (kz, ky, kx) in 1/Å.
        text : str
            Written beside the circle.

        Notes
        -----
        Seen as a volume, it is turned about; a slice stays in its plane and moves to
        the frequency's depth, rounded to the nearest plane.
        """
        if self._power is None:
            return
        edge = 0.5 / self._geometry[1]
        cut = VIEWS[self.name]
        point: tuple[float, ...] = frequency[::-1]
        if cut is None:
            self._solid.center = point
            self._solid.scale_factor = 2 * CLOSE_UP * edge
        else:
            self.depth = frequency[cut]
            self._fill()
            across = tuple(float(v) for v in np.delete(frequency, cut)[::-1])
            half = CLOSE_UP * edge
            self._flat.rect = (across[0] - half, across[1] - half, 2 * half, 2 * half)
            point = (*across, 0.0)
        self.marks.show_mark(point, MARK_RADIUS * edge, text)
        self.marks.show_rings(self.rings_wanted and self.depth == 0)
        self.set_wedge(self.wedge_wanted)

    def set_rings(self, wanted: bool) -> None:
        """Show or hide the rings with their labels."""
        self.rings_wanted = wanted
        self.marks.show_rings(wanted and self._power is not None)
        self._canvas.update()

    def set_wedge(self, wanted: bool) -> None:
        """Show or hide the outline of the missing wedge, in the views where it can be seen."""
        self.wedge_wanted = wanted
        here = self._power is not None and self.name in WEDGE_VIEWS and self.depth == 0
        self.wedge.show(wanted and here)
        self._canvas.update()

    def set_tilt_range(self, tilt_range_deg: tuple[float, float] | None) -> None:
        """Take the lowest and the highest tilt of what is shown, degrees; None: not known."""
        if tilt_range_deg != self._tilts:
            self._tilts = tilt_range_deg
            self._place_wedge()

    def screenshot(self) -> np.ndarray:
        """`(height, width, 4)` uint8 picture of the canvas."""
        return np.asarray(self._canvas.render())

    def close(self) -> None:
        """Release the context and the textures."""
        discard(self._canvas)

    def frequency_of(self, index: tuple[int, ...]) -> tuple[float, ...]:
        """(kz, ky, kx) in 1/Å of a voxel of the volume as it is drawn."""
        point = self._volume.transform.map((*index[::-1], 1.0))
        return tuple(float(v) for v in point[2::-1])

    def middle(self) -> tuple[float, ...]:
        """What is in the middle of the view, 1/Å: (x, y) on screen of a slice, (x, y, z) of a volume."""
        if VIEWS[self.name] is None:
            return tuple(float(v) for v in self._solid.center)
        centre = self._flat.rect.center
        return float(centre[0]), float(centre[1])

    def plane(self) -> np.ndarray:
        """The slice that is shown."""
        assert self._power is not None
        cut = VIEWS[self.name] or 0
        return self._power.take(plane_index(self.depth, cut, *self._geometry), axis=cut)

    def _fill(self) -> None:
        cut = VIEWS[self.name]
        if cut is None:
            place_volume(self._volume, self._power, self._geometry, self.limits)
        else:
            place_slice(self._image, self.plane(), cut, self._geometry, self.limits)
        self._volume.visible, self._image.visible = cut is None, cut is not None

    def _frame(self) -> None:
        edge = 0.5 / self._geometry[1]
        self.marks.show_mark(None, 0.0)
        if VIEWS[self.name] is None:
            self._solid.elevation, self._solid.azimuth, self._solid.center = ELEVATION, AZIMUTH, (0, 0, 0)
            self._solid.scale_factor = 2 * edge * silhouette(ELEVATION, AZIMUTH)
            self._view.camera = self._solid
        else:
            self._flat.rect = (-1.04 * edge, -1.04 * edge, 2.08 * edge, 2.08 * edge)
            self._view.camera = self._flat
        self.marks.place_rings(edge)
        self.set_rings(self.rings_wanted)
        self._place_wedge()

    def _place_wedge(self) -> None:
        if self._power is not None:
            self.wedge.place(self._tilts, 0.5 / self._geometry[1], flat=VIEWS[self.name] is not None)
            self.set_wedge(self.wedge_wanted)


def fourier_visuals(scene: Any) -> tuple[Any, Any]:
    """A volume and an image for log powers, with next to nothing in them; hidden."""
    from vispy.scene.visuals import Image, Volume

    looks: dict[str, Any] = {"clim": (0.0, 1.0), "cmap": _inferno(), "texture_format": "auto"}
    empty = np.zeros((2, 2, 2), np.float32)
    volume = Volume(empty, method="mip", interpolation="linear", parent=scene, **looks)
    image = Image(empty[0], interpolation="nearest", parent=scene, **looks)
    volume.visible = image.visible = False
    return volume, image


def fourier_cameras() -> tuple[Any, Any]:
    """A camera for the volume and one for slices; y downwards, as in the main canvas, and right-handed."""
    from vispy.scene.cameras import PanZoomCamera, TurntableCamera

    solid = TurntableCamera(fov=0, elevation=ELEVATION, azimuth=AZIMUTH, center=(0, 0, 0))
    solid.flip = (False, True, True)
    flat = PanZoomCamera(aspect=1)
    flat.flip = (False, True, False)
    return solid, flat


def place_volume(visual: Any, power: Any, geometry: tuple[Any, ...], limits: tuple[float, float]) -> None:
    """Put a log power into a volume visual, in 1/Å."""
    from vispy.visuals.transforms import STTransform

    visual.set_data(power, clim=limits)
    steps, origin = frequency_grid(*geometry)
    visual.transform = STTransform(steps[::-1], origin[::-1])


def place_slice(
    visual: Any, plane: np.ndarray, cut: int, geometry: tuple[Any, ...], limits: tuple[float, float]
) -> None:
    """Put a plane of a log power into an image visual, in 1/Å."""
    from vispy.visuals.transforms import STTransform

    visual.set_data(np.ascontiguousarray(plane))
    visual.clim = limits
    steps, origin = (np.delete(v, cut)[::-1] for v in frequency_grid(*geometry))
    # a pixel of an image reaches from i to i + 1, a voxel from i - 1/2 to i + 1/2
    visual.transform = STTransform(steps, origin - steps / 2)


def _inferno() -> Any:
    """napari's colours as vispy's colormap; asked for by name, vispy would import matplotlib."""
    from napari.utils.colormaps import ensure_colormap
    from vispy.color import Colormap

    return Colormap(ensure_colormap("inferno").colors[::15])


def frequency_grid(shape: tuple[int, ...], voxel_angstrom: float) -> tuple[np.ndarray, np.ndarray]:
    """Steps and origin (1/Å, per axis) that put frequency zero of a centred transform at 0."""
    count = np.asarray(shape)
    steps = 1.0 / (count * voxel_angstrom)
    return steps, -(count // 2) * steps


def plane_index(depth: float, cut: int, shape: tuple[int, ...], voxel_angstrom: float) -> int:
    """Index of the plane at a frequency (1/Å) along the axis that is cut, within the volume."""
    steps, origin = frequency_grid(shape, voxel_angstrom)
    return int(np.clip(round((depth - origin[cut]) / steps[cut]), 0, shape[cut] - 1))


def silhouette(elevation: float, azimuth: float) -> float:
    """Half the height of a cube of edge 2 seen from there (degrees), orthographically."""
    high, turn = np.deg2rad(elevation), np.deg2rad(azimuth)
    return float(abs(np.cos(high)) + abs(np.sin(high)) * (abs(np.cos(turn)) + abs(np.sin(turn))))
