"""What is drawn over a log power: resolution rings with their labels, and a mark at one frequency."""

from __future__ import annotations

from typing import Any

import numpy as np

#: Resolutions that may get a ring, Å.
RING_ANGSTROM = (20.0, 10.0, 5.0, 3.0, 2.0, 1.5, 1.2, 1.0, 0.8, 0.6, 0.5)
MAX_RINGS = 3
#: The labels of rings that follow each other are this far apart, degrees.
_LABEL_ANGLES = (-35.0, 35.0, -145.0, 145.0)
_MARK_COLOUR = "#56b4e9"


class FourierMarks:
    """Rings about the origin and a circle around a chosen frequency.

    Parameters
    ----------
    scene : vispy node
        In 1/Å.
    fonts : vispy FontManager, optional
        Of the canvas: drawing letters takes time, and each manager draws its own.
    """

    def __init__(self, scene: Any, fonts: Any = None) -> None:
        from vispy.scene.visuals import Line, Text
        from vispy.visuals.text.text import FontManager

        fonts = fonts or FontManager()

        self.rings = Line(np.zeros((2, 3)), color=(1, 1, 1, 0.5), connect="segments", parent=scene)
        looks = {"anchor_x": "left", "font_manager": fonts, "parent": scene}
        self.labels = Text("", color="white", font_size=7, **looks)
        self.mark = Line(np.zeros((2, 3)), color=_MARK_COLOUR, width=2, connect="segments", parent=scene)
        self.mark_label = Text("", color="white", font_size=8, **looks)
        for visual, order in ((self.rings, 1), (self.labels, 2), (self.mark, 3), (self.mark_label, 4)):
            visual.set_gl_state("translucent", depth_test=False)
            visual.order = order
            visual.visible = False
        self.resolutions: tuple[float, ...] = ()

    def place_rings(self, edge: float) -> None:
        """Choose rings for a transform that reaches to ``edge`` (1/Å)."""
        rings = self.resolutions = fitting_rings(edge)
        if not rings:
            return
        self.rings.set_data(np.concatenate([circle(1 / d) for d in rings]))
        angles = np.deg2rad(_LABEL_ANGLES[: len(rings)])
        radii = 1 / np.asarray(rings)
        flat = np.zeros(len(rings))
        self.labels.pos = np.stack([radii * np.cos(angles), radii * np.sin(angles), flat], axis=1)
        self.labels.text = [f"{d:g} Å" for d in rings]

    def show_rings(self, wanted: bool) -> None:
        """Show or hide the rings with their labels."""
        for visual in (self.rings, self.labels):
            visual.visible = wanted and bool(self.resolutions)

    def show_mark(self, point: tuple[float, ...] | None, radius: float, text: str = "") -> None:
        """Circle a point of the scene, `(x, y, z)` in 1/Å; None takes the circle away."""
        for visual in (self.mark, self.mark_label):
            visual.visible = point is not None
        if point is None:
            return
        self.mark.set_data(circle(radius) + np.asarray(point))
        self.mark_label.pos = (point[0] + 1.15 * radius, point[1], point[2])
        self.mark_label.text = text


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
