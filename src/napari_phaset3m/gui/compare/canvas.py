"""The canvas of a comparison: columns of volumes with their transforms below, on linked cameras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtWidgets import QWidget

from napari_phaset3m.gui.canvas.gl_canvas import discard, new_canvas
from napari_phaset3m.gui.compare.pane import VIEWS, Pane
from napari_phaset3m.gui.fourier.canvas import (
    AZIMUTH,
    CLOSE_UP,
    ELEVATION,
    MARK_RADIUS,
    fourier_cameras,
    silhouette,
)
from napari_phaset3m.gui.fourier.marks import FourierMarks

#: Round lengths for the scale bar, Å.
_BARS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


class Column:
    """Two views above each other, with what is drawn in them beside the volumes."""

    def __init__(self, fonts: Any) -> None:
        from vispy import scene
        from vispy.scene.visuals import Text

        self.above, self.below = scene.widgets.ViewBox(), scene.widgets.ViewBox()
        self.cameras = [fourier_cameras(), fourier_cameras()]
        self.marks = FourierMarks(self.below.scene, fonts)
        looks = {"anchor_x": "left", "anchor_y": "bottom", "font_manager": fonts}
        self.title = Text("", color="white", font_size=8, **looks)
        self.title.parent = self.above
        self.title.pos, self.title.order = (8, 8), 10

    def choose_cameras(self, *, solid: bool) -> None:
        """Look at volumes, or at planes."""
        for view, (turning, flat) in zip((self.above, self.below), self.cameras, strict=True):
            wanted = turning if solid else flat
            if view.camera is not wanted:
                view.camera = wanted

    def link(self, other: Column) -> None:
        """Move and turn together with another column."""
        for mine, its in zip(self.cameras, other.cameras, strict=True):
            for one, two in zip(mine, its, strict=True):
                one.link(two)


class CompareCanvas:
    """Columns of views in angstrom, each with one or (for blinking) several panes.

    All views of a row share one camera's motion: drag, zoom or turn one, and the
    others follow. Views are kept when the layout changes: making them takes time.

    Parameters
    ----------
    on_lost : callable
        Called when it has lost its OpenGL context, and another canvas is needed.
    """

    def __init__(self, on_lost: Callable[[], None]) -> None:
        from vispy.visuals.text.text import FontManager

        self._fonts = FontManager()
        self._canvas = new_canvas(on_lost)
        self.widget: QWidget = self._canvas.native
        self._grid: Any = None
        self._shape = (0, False)
        self._made: list[Column] = []
        self._panes: list[list[Pane]] = []
        #: Axis that is cut; None where volumes are shown.
        self._cut: int | None = None
        self._bar: ScaleBar | None = None

    @property
    def columns(self) -> list[Column]:
        """The columns of the present layout."""
        return self._made[: len(self._panes)]

    def prepare(self, count: int) -> bool:
        """Make one more column; False when there are as many as are wanted.

        A column takes vispy some 50 ms: made one by one, they do not hold up the window.
        """
        if len(self._made) >= count:
            return False
        self._made.append(Column(self._fonts))
        if len(self._made) > 1:
            self._made[0].link(self._made[-1])
        return True

    def lay_out(self, panes: list[list[Pane]], view: str, *, fourier: bool) -> None:
        """Arrange panes anew; every view is framed.

        Parameters
        ----------
        panes : list of list of Pane
            One list for each column; panes of the same column lie on each other.
        view : str
            One of :data:`compare_pane.VIEWS`.
        fourier : bool
            With a row of Fourier transforms.
        """
        for pane in (pane for column in self._panes for pane in column):
            if not any(pane in column for column in panes):
                pane.put(None, None)
        self._panes, self._cut = panes, VIEWS[view][0]
        while self.prepare(len(panes)):
            pass
        self._arrange_views(fourier)
        for column, there in zip(self.columns, panes, strict=True):
            column.choose_cameras(solid=self._cut is None)
            for pane in there:
                pane.put(column.above.scene, column.below.scene if fourier else None)
        self.frame()

    def _arrange_views(self, fourier: bool) -> None:
        if self._shape == (len(self._panes), fourier):
            return
        self._shape = (len(self._panes), fourier)
        for column in self._made:
            column.above.parent = column.below.parent = None
        if self._grid is not None:
            self._grid.parent = None
        self._grid = self._canvas.central_widget.add_grid(spacing=2)
        for number, column in enumerate(self.columns):
            self._grid.add_widget(column.above, row=0, col=number)
            if fourier:
                self._grid.add_widget(column.below, row=1, col=number)
        if self._bar is None and self._made:
            self._bar = ScaleBar(self._made[0].above.scene, self._fonts)

    def frame(self) -> None:
        """Bring everything into view."""
        shots = [pane.shot for column in self._panes for pane in column if pane.shot is not None]
        if not shots or self._bar is None:
            return
        half = max(max(s.content.volume.shape) * s.content.voxel_size_angstrom for s in shots) / 2
        edge = max(0.5 / s.content.voxel_size_angstrom for s in shots)
        for (turning, flat), reach in zip(self._made[0].cameras, (half, edge), strict=True):
            if self._cut is None:
                turning.elevation, turning.azimuth, turning.center = ELEVATION, AZIMUTH, (0, 0, 0)
                turning.scale_factor = 2 * reach * silhouette(ELEVATION, AZIMUTH)
            else:
                flat.rect = (-1.03 * reach, -1.03 * reach, 2.06 * reach, 2.06 * reach)
        for column in self.columns:
            column.marks.place_rings(edge)
            column.marks.show_rings(True)
            column.marks.show_mark(None, 0.0)
        self._set_depths([0.0] * len(self._panes))
        self._bar.place(half)
        self._canvas.update()

    def fly_to(self, frequencies: list[tuple[float, float, float]], text: str = "") -> None:
        """Bring a frequency into the middle of all transforms, enlarged and circled.

        Slices stay in their plane and move to the frequency's depth.

        Parameters
        ----------
        frequencies : list of tuple of float
            (kz, ky, kx) in 1/Å, one for each column (the first for all panes of a column): volumes may be
            turned against each other.
        text : str
        """
        shots = [pane.shot for column in self._panes for pane in column if pane.shot is not None]
        if not shots:
            return
        edges = [0.5 / shot.content.voxel_size_angstrom for shot in shots]
        half = CLOSE_UP * max(edges)
        turning, flat = self._made[0].cameras[1]
        points = [self._on_screen(frequency) for frequency in frequencies]
        if self._cut is None:
            turning.center, turning.scale_factor = points[0], 2 * half
        else:
            flat.rect = (points[0][0] - half, points[0][1] - half, 2 * half, 2 * half)
            self._set_depths([frequency[self._cut] for frequency in frequencies])
        for column, point in zip(self.columns, points, strict=True):
            column.marks.show_mark(point, MARK_RADIUS * max(edges), text)
            column.marks.show_rings(self._cut is None)
        self._canvas.update()

    def _on_screen(self, frequency: tuple[float, float, float]) -> tuple[float, float, float]:
        """(x, y, z) in a transform's view."""
        if self._cut is None:
            return frequency[2], frequency[1], frequency[0]
        y, x = (float(v) for v in np.delete(frequency, self._cut))
        return x, y, 0.0

    def _set_depths(self, depths: list[float]) -> None:
        for column, depth in zip(self._panes, depths, strict=True):
            for pane in column:
                pane.set_depth(depth)

    def framed(self) -> bool:
        """Whether there was anything to frame in this layout."""
        return any(pane.shot is not None for column in self._panes for pane in column)

    def set_titles(self, titles: list[str]) -> None:
        """Write the names of the columns."""
        for column, title in zip(self.columns, titles, strict=False):
            column.title.text = title
        self._canvas.update()

    def update(self) -> None:
        """Paint again soon."""
        self._canvas.update()

    def screenshot(self) -> np.ndarray:
        """`(height, width, 4)` uint8 picture of the canvas."""
        return np.asarray(self._canvas.render())

    def close(self) -> None:
        """Release the context and the textures."""
        discard(self._canvas)


class ScaleBar:
    """A line of a round length in the lower left corner of what is framed.

    Parameters
    ----------
    scene : vispy node
        In angstrom.
    fonts : vispy FontManager
    """

    def __init__(self, scene: Any, fonts: Any) -> None:
        from vispy.scene.visuals import Line, Text

        self._line = Line(np.zeros((2, 3)), color="white", width=3, parent=scene)
        self._text = Text("", color="white", font_size=8, anchor_x="center", font_manager=fonts, parent=scene)
        for visual in (self._line, self._text):
            visual.set_gl_state("translucent", depth_test=False)
            visual.order = 5

    def place(self, half_angstrom: float) -> None:
        """Fit it to what reaches ``half_angstrom`` from the centre."""
        length = bar_length(half_angstrom)
        left, bottom = -0.92 * half_angstrom, 0.92 * half_angstrom
        self._line.set_data(np.array([[left, bottom, 0], [left + length, bottom, 0]]))
        self._text.pos = (left + length / 2, bottom - 0.07 * half_angstrom, 0)
        self._text.text = f"{length / 10:g} nm" if length >= 100 else f"{length:g} Å"


def bar_length(half_angstrom: float) -> float:
    """The longest round length of at most a third of the width, angstrom."""
    fitting = [bar for bar in _BARS if bar <= 2 * half_angstrom / 3]
    return float(fitting[-1]) if fitting else 2 * half_angstrom / 3
