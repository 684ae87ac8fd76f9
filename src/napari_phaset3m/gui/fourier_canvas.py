"""A small OpenGL canvas for the log power of a volume, with resolution rings.

vispy's scene is used directly: a second napari viewer would take seconds to build
in the middle of a run, and its shapes and points would import pandas for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import qtpy
from qtpy.QtWidgets import QWidget

#: Resolutions that may get a ring, Å.
RING_ANGSTROM = (20.0, 10.0, 5.0, 3.0, 2.0, 1.5, 1.2, 1.0, 0.8, 0.6, 0.5)
MAX_RINGS = 3
#: View name -> axis of `(nz, ny, nx)` that is cut (None: the whole volume).
VIEWS: dict[str, int | None] = {"3D": None, "kx–ky": 0, "kx–kz": 1, "ky–kz": 2}
#: From where the volume is seen at first, degrees.
ELEVATION, AZIMUTH = 75.0, 0.0
#: The labels of rings that follow each other are this far apart, degrees.
_LABEL_ANGLES = (-35.0, 35.0, -145.0, 145.0)


class FourierCanvas:
    """Shows one `(nz, ny, nx)` log power as a volume or as a central slice.

    Frequencies are in 1/Å and zero frequency is at the origin, so that the view is
    framed right whatever size the canvas has or gets.
    """

    def __init__(self) -> None:
        from vispy import app, scene
        from vispy.scene.visuals import Line, Text

        self._canvas = scene.SceneCanvas(keys=None, bgcolor="black", app=app.use_app(qtpy.API_NAME))
        self.widget: QWidget = self._canvas.native
        self._view = self._canvas.central_widget.add_view()
        self._volume: Any = None
        self._image: Any = None
        self._power: np.ndarray | None = None
        self._geometry: tuple[Any, ...] = ()
        self._colormap = _inferno()
        self.limits = (0.0, 1.0)
        self.name = "3D"
        self.ring_resolutions: tuple[float, ...] = ()
        state = {"depth_test": False}
        self._rings = Line(
            np.zeros((2, 3)), color=(1, 1, 1, 0.5), connect="segments", parent=self._view.scene
        )
        self._labels = Text("", color="white", font_size=7, anchor_x="left", parent=self._view.scene)
        for visual, order in ((self._rings, 1), (self._labels, 2)):
            visual.set_gl_state("translucent", **state)
            visual.order = order
            visual.visible = False
        self.rings_wanted = True

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
        self.name = name
        if self._power is not None:
            self._fill()
            self._frame()

    def set_rings(self, wanted: bool) -> None:
        """Show or hide the rings with their labels."""
        self.rings_wanted = wanted
        for visual in (self._rings, self._labels):
            visual.visible = wanted and self._power is not None
        self._canvas.update()

    def screenshot(self) -> np.ndarray:
        """`(height, width, 4)` uint8 picture of the canvas."""
        return np.asarray(self._canvas.render())

    def close(self) -> None:
        """Release the context and the textures."""
        self._canvas.close()

    def frequency_of(self, index: tuple[int, ...]) -> tuple[float, ...]:
        """(kz, ky, kx) in 1/Å of a voxel of the volume as it is drawn."""
        point = self._volume.transform.map((*index[::-1], 1.0))
        return tuple(float(v) for v in point[2::-1])

    def _fill(self) -> None:
        cut = VIEWS[self.name]
        if cut is None:
            self._fill_volume()
        else:
            self._fill_slice(cut)
        for visual, shown in ((self._volume, cut is None), (self._image, cut is not None)):
            if visual is not None:
                visual.visible = shown

    def _fill_volume(self) -> None:
        from vispy.scene.visuals import Volume
        from vispy.visuals.transforms import STTransform

        if self._volume is None:
            self._volume = Volume(
                self._power, clim=self.limits, method="mip", cmap=self._colormap, interpolation="linear",
                texture_format="auto", parent=self._view.scene,
            )  # fmt: skip
        else:
            self._volume.set_data(self._power, clim=self.limits)
        steps, origin = frequency_grid(*self._geometry)
        self._volume.transform = STTransform(steps[::-1], origin[::-1])

    def _fill_slice(self, cut: int) -> None:
        from vispy.scene.visuals import Image
        from vispy.visuals.transforms import STTransform

        assert self._power is not None
        plane = np.ascontiguousarray(self._power.take(self._power.shape[cut] // 2, axis=cut))
        if self._image is None:
            self._image = Image(
                plane, clim=self.limits, cmap=self._colormap, interpolation="nearest", texture_format="auto",
                parent=self._view.scene,
            )  # fmt: skip
        else:
            self._image.set_data(plane)
            self._image.clim = self.limits
        steps, origin = (np.delete(v, cut)[::-1] for v in frequency_grid(*self._geometry))
        # a pixel of an image reaches from i to i + 1, a voxel from i - 1/2 to i + 1/2
        self._image.transform = STTransform(steps, origin - steps / 2)

    def _frame(self) -> None:
        from vispy.scene.cameras import PanZoomCamera, TurntableCamera

        edge = 0.5 / self._geometry[1]
        if VIEWS[self.name] is None:
            camera = TurntableCamera(fov=0, elevation=ELEVATION, azimuth=AZIMUTH, center=(0, 0, 0))
            camera.flip = (False, True, True)  # y downwards, as in the main canvas; still right-handed
            camera.scale_factor = 2 * edge * silhouette(ELEVATION, AZIMUTH)
        else:
            camera = PanZoomCamera(aspect=1)
            camera.flip = (False, True, False)
            camera.rect = (-1.04 * edge, -1.04 * edge, 2.08 * edge, 2.08 * edge)
        self._view.camera = camera
        self._draw_rings(edge)

    def _draw_rings(self, edge: float) -> None:
        rings = self.ring_resolutions = fitting_rings(edge)
        if rings:
            self._rings.set_data(np.concatenate([circle(1 / d) for d in rings]))
            angles = np.deg2rad(_LABEL_ANGLES[: len(rings)])
            radii = 1 / np.asarray(rings)
            self._labels.pos = np.stack(
                [radii * np.cos(angles), radii * np.sin(angles), np.zeros(len(rings))], axis=1
            )
            self._labels.text = [f"{d:g} Å" for d in rings]
        self.set_rings(self.rings_wanted and bool(rings))


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


def silhouette(elevation: float, azimuth: float) -> float:
    """Half the height of a cube of edge 2 seen from there (degrees), orthographically."""
    high, turn = np.deg2rad(elevation), np.deg2rad(azimuth)
    return float(abs(np.cos(high)) + abs(np.sin(high)) * (abs(np.cos(turn)) + abs(np.sin(turn))))


def fitting_rings(edge: float) -> tuple[float, ...]:
    """The finest round resolutions (Å) whose rings fit within ``edge`` (1/Å) and stay apart."""
    chosen: list[float] = []
    for d in reversed(RING_ANGSTROM):
        if 1 / d <= edge * (1 + 1e-6) and (not chosen or 1 / chosen[-1] - 1 / d > 0.15 * edge):
            chosen.append(d)
    return tuple(chosen[:MAX_RINGS])


def circle(radius: float, n: int = 96) -> np.ndarray:
    """`(2 n, 3)` end points of the segments of a circle about the origin, in x and y."""
    angle = np.linspace(0, 2 * np.pi, n + 1)
    points = radius * np.stack([np.cos(angle), np.sin(angle), np.zeros(n + 1)], axis=1)
    return np.stack([points[:-1], points[1:]], axis=1).reshape(-1, 3)
