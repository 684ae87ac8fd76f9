"""The missing wedge over a log power: the planes of the lowest and the highest tilt."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_phaset3m.gui.fourier.marks import circle

_COLOUR = "#2fc59b"
#: View names in which the planes are seen edge on or as a whole; in the others they fall together.
WEDGE_VIEWS = ("3D", "kx–kz")


class FourierWedge:
    """Outline of what no tilt measured, with its angle.

    Parameters
    ----------
    scene : vispy node
        In 1/Å.
    """

    def __init__(self, scene: Any) -> None:
        from vispy.scene.visuals import Line, Text

        self.lines = Line(np.zeros((2, 3)), color=_COLOUR, width=2, connect="segments", parent=scene)
        self.label = Text("", color=_COLOUR, font_size=8, anchor_x="left", parent=scene)
        for visual, order in ((self.lines, 2), (self.label, 3)):
            visual.set_gl_state("translucent", depth_test=False)
            visual.order = order
            visual.visible = False
        self.tilt_range: tuple[float, float] | None = None
        #: Write the angle above it all, along the beam, where there is no room beside it.
        self.centred = False

    def place(self, tilt_range_deg: tuple[float, float] | None, edge: float, *, flat: bool = False) -> None:
        """Take lowest and highest tilt (degrees; None: not known) of a transform that reaches to ``edge``.

        Parameters
        ----------
        edge : float
            1/Å.
        flat : bool
            In the plane (kx, kz) instead of in space.
        """
        self.tilt_range = tilt_range_deg
        if tilt_range_deg is None:
            self.show(False)
            return
        lines = wedge_lines(tilt_range_deg, edge)
        low, high = tilt_range_deg
        place = edge * np.array([0.45, -0.97, 0.0])  # at the end of the tilt axis, off the bright middle
        if self.centred:
            place = edge * np.array([0.0, 0.0, 1.12])
        if flat:
            middle = np.deg2rad((low + 180 + high) / 2)
            within = 0.85 * edge * np.array([np.cos(middle), 0.0, -np.sin(middle)])
            lines, place = in_plane(lines), in_plane((within if within[2] <= 0 else -within)[None])[0]
        self.lines.set_data(lines)
        self.label.anchors = ("center" if self.centred and not flat else "left", "center")
        self.label.pos = place
        self.label.text = f"missing wedge, {180 - (high - low):g}°"

    def show(self, wanted: bool) -> None:
        """Show or hide it."""
        for visual in (self.lines, self.label):
            visual.visible = wanted and self.tilt_range is not None


def in_plane(points: np.ndarray) -> np.ndarray:
    """`(n, 3)` points (kx, ky, kz) as they are drawn in the plane (kx, kz)."""
    return np.stack([points[:, 0], points[:, 2], np.zeros(len(points))], axis=1)


def wedge_lines(tilt_range_deg: tuple[float, float], radius: float) -> np.ndarray:
    """`(n, 3)` segments of the planes of the lowest and the highest tilt, (kx, ky, kz).

    At tilt θ the measured plane is spanned by y and (cos θ, 0, −sin θ), as
    :func:`analyse.figures.pictures.draw_wedge` has it.
    """
    parts = []
    flat = circle(radius)
    for tilt in np.deg2rad(tilt_range_deg):
        across = np.array([np.cos(tilt), 0.0, -np.sin(tilt)])
        parts.append(flat[:, :1] * across + flat[:, 1:2] * np.array([0.0, 1.0, 0.0]))
        parts.append(np.stack([-radius * across, radius * across]))
    parts.append(np.array([[0.0, -radius, 0.0], [0.0, radius, 0.0]]))
    return np.concatenate(parts)
