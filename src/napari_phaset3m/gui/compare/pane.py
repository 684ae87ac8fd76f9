"""One volume on the comparison's canvas: its section or surface, and its Fourier transform."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_phaset3m.gui.compare.items import Shot
from napari_phaset3m.gui.fourier.canvas import fourier_visuals, place_slice, place_volume, plane_index
from napari_phaset3m.gui.theme import curve_colours

#: View name -> (axis that is cut or None, rendering of the volume).
VIEWS: dict[str, tuple[int | None, str]] = {
    "x–y slice": (0, "mip"),
    "x–z slice": (1, "mip"),
    "y–z slice": (2, "mip"),
    "Surface": (None, "iso"),
    "Projection": (None, "mip"),
}
#: Lower end of the display range, per cent of the voxels.
LOW_PERCENTILE = 1.0
#: Brightness of a surface seen edge on; brightest value, as a multiple of the level (the slope raises it).
_SHADE, _LIT = 0.15, 2.5
#: Where a difference is white: it is symmetric, so both ends are.
_SIGNED = ("#2166ac", "#000000", "#f4a582")


class Pane:
    """The visuals of one volume; they live in whichever views the layout gives them.

    Parameters
    ----------
    place : int
        Position in the comparison; gives the colour of its surface.
    signed : bool
        It is a difference: displayed symmetrically about zero, with its own scale.
    """

    def __init__(self, place: int, *, signed: bool = False) -> None:
        from vispy.color import Color, Colormap
        from vispy.scene.visuals import Image, Volume

        self.signed = signed
        self.shot: Shot | None = None
        empty = np.zeros((2, 2, 2), np.float32)
        colours = curve_colours("dark")
        colour = Color(colours[place % len(colours)])
        self._surface = Colormap([Color(colour.rgb * _SHADE), colour])
        self._grays: Any = Colormap(_SIGNED) if signed else "grays"
        looks = {"clim": (0.0, 1.0), "texture_format": "auto"}
        self.solid = Volume(empty, cmap=self._grays, method="mip", **looks)
        self.flat = Image(empty[0], cmap=self._grays, interpolation="nearest", **looks)
        self.power_solid, self.power_flat = fourier_visuals(None)
        self._view = "x–y slice"
        self._position = 0.0
        self._percentile = 99.9
        #: Frequency of the transform's slice along the axis that is cut, 1/Å.
        self._depth = 0.0
        #: What the visuals hold: the volume, and which planes of it and of its transform (None: all).
        self._filled: tuple[np.ndarray | None, tuple[int, ...] | None] = (None, None)
        self.shown, self.placed = True, False
        self._apply_visibility()

    def put(self, scene: Any, power_scene: Any) -> None:
        """Move into these views (None: into none)."""
        for visual, parent in zip(
            (self.solid, self.flat, self.power_solid, self.power_flat),
            (scene, scene, power_scene, power_scene),
            strict=True,
        ):
            visual.parent = parent
        self.placed = scene is not None

    def set_shot(self, shot: Shot | None) -> None:
        """Show another volume, or nothing."""
        self.shot = shot
        self.refresh()

    def set_view(self, view: str, position_angstrom: float, percentile: float) -> None:
        """Choose what is shown of it.

        Parameters
        ----------
        view : str
            One of :data:`VIEWS`.
        position_angstrom : float
            Of a slice, from the rotation centre.
        percentile : float
            Level of a surface, or upper end of the display range.
        """
        self._view, self._position, self._percentile = view, position_angstrom, percentile
        self.refresh()

    def set_depth(self, frequency: float) -> None:
        """Cut the transform at a frequency, 1/Å, instead of through its middle."""
        if frequency != self._depth:
            self._depth = frequency
            self.refresh()

    def set_shown(self, shown: bool) -> None:
        """Show or hide it (for blinking)."""
        self.shown = shown
        self._apply_visibility()

    def limits(self) -> tuple[float, float]:
        """Display range at the present percentile."""
        if self.shot is None:
            return 0.0, 1.0
        if self.signed:
            high = max(abs(self.shot.level(100 - self._percentile)), abs(self.shot.level(self._percentile)))
            return -max(high, 1e-9), max(high, 1e-9)
        low, high = self.shot.level(LOW_PERCENTILE), self.shot.level(self._percentile)
        return (low, high) if high > low else (low, low + 1e-9)

    def plane_index(self) -> int:
        """Index of the plane nearest to the slice's position."""
        cut, _ = VIEWS[self._view]
        assert self.shot is not None and cut is not None
        n = self.shot.content.volume.shape[cut]
        place = self._position / self.shot.content.voxel_size_angstrom + (n - 1) / 2
        return int(np.clip(np.floor(place + 0.5), 0, n - 1))

    def refresh(self) -> None:
        """Bring the visuals in step with volume, view, position and level."""
        self._apply_visibility()
        if self.shot is None or not self.placed:
            return
        cut, method = VIEWS[self._view]
        if cut is None:
            self._fill_volume(method)
        else:
            self._fill_slice(cut)

    def _must_fill(self, plane: tuple[int, ...] | None) -> bool:
        """Whether the visuals hold something else; from now on they hold this."""
        assert self.shot is not None
        volume, filled = self._filled
        self._filled = (self.shot.content.volume, plane)
        return volume is not self.shot.content.volume or filled != plane

    def _fill_volume(self, method: str) -> None:
        from vispy.visuals.transforms import STTransform

        assert self.shot is not None
        content = self.shot.content
        if self._must_fill(None):
            self.solid.set_data(content.volume)
            step = content.voxel_size_angstrom
            origin = [-(n - 1) / 2 * step for n in content.volume.shape[::-1]]
            self.solid.transform = STTransform((step,) * 3, origin)
            geometry = (self.shot.power.shape, step)
            place_volume(self.power_solid, self.shot.power, geometry, self.shot.power_limits)
        surface = method == "iso" and not self.signed
        wanted = "iso" if surface else "mip"
        if self.solid.method != wanted:
            self.solid.method = wanted
        self.solid.cmap = self._surface if surface else self._grays
        self.solid.clim = self.limits()
        if surface:
            level = self.shot.level(self._percentile)
            self.solid.threshold = level
            if level > 0:  # a surface's value is multiplied with the light that falls on it
                self.solid.clim = (0.0, _LIT * level)

    def _fill_slice(self, cut: int) -> None:
        from vispy.visuals.transforms import STTransform

        assert self.shot is not None
        content, index = self.shot.content, self.plane_index()
        step = content.voxel_size_angstrom
        geometry = (self.shot.power.shape, step)
        deep = plane_index(self._depth, cut, *geometry)
        if self._must_fill((cut, index, deep)):
            self.flat.set_data(np.ascontiguousarray(content.volume.take(index, axis=cut)))
            n = np.delete(content.volume.shape, cut)[::-1]
            # a pixel of an image reaches from i to i + 1
            self.flat.transform = STTransform((step, step), -n / 2 * step)
            plane = self.shot.power.take(deep, axis=cut)
            place_slice(self.power_flat, plane, cut, geometry, self.shot.power_limits)
        self.flat.clim = self.limits()

    def _apply_visibility(self) -> None:
        on = self.shown and self.shot is not None
        flat = VIEWS[self._view][0] is not None
        for visual, is_flat in (
            (self.flat, True), (self.power_flat, True), (self.solid, False), (self.power_solid, False),
        ):  # fmt: skip
            visual.visible = on and is_flat == flat
