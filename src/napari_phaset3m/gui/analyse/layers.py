"""What the analysis shows in the viewer: atoms as points, the line of a profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_phaset3m.gui.layers.publisher import LayerPublisher, LayerSpec

if TYPE_CHECKING:
    from napari_phaset3m.analyse.atoms import Atoms
    from napari_phaset3m.gui.mask.sources import MaskSource

ATOMS, LINE = "atoms", "profile line"
#: Okabe and Ito, in the order of the curves: told apart by colour-blind readers.
SPECIES_COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7")
#: Symbols differ as well.
SPECIES_SYMBOLS = ("disc", "square", "diamond", "triangle_up")
_LINE_COLOUR = "#56b4e9"
_AXES = ("z", "y", "x")


def show_atoms(publisher: LayerPublisher, atoms: Atoms, centre: tuple[float, ...], of: str) -> Any:
    """Put the atoms into the viewer, coloured by species; the layer, or None when nothing is shown.

    Parameters
    ----------
    publisher : LayerPublisher
    atoms : Atoms
    centre : tuple of float
        (z, y, x) of the volume's middle in the viewer, angstrom.
    of : str
        The volume's name.
    """
    spec = LayerSpec(
        data=atoms.positions_angstrom[:, ::-1] + np.asarray(centre),
        name="Atoms",
        axis_labels=_AXES,
        scale=(1.0,) * 3,
        translate=(0.0,) * 3,
        metadata={"role": "atoms", "of": of, "count": len(atoms)},
        looks={
            "size": 0.6 * atoms.min_distance_angstrom,
            "border_width": 0,
            "projection_mode": "rescale_spherical",  # a slice cuts the spheres
            "blending": "translucent_no_depth",  # else the volume hides what is inside of it
        },
        kind="points",
    )
    layer: Any = publisher.show(ATOMS, spec, exact=True)
    if layer is None:
        return None
    with layer.events.blocker_all():
        # napari draws once for each of these, and the next one no longer fits what was there
        layer.features = {"species": atoms.species, "intensity": atoms.intensity}
        layer.symbol = [SPECIES_SYMBOLS[s % len(SPECIES_SYMBOLS)] for s in atoms.species]
        layer.size = 0.6 * atoms.min_distance_angstrom
    layer.face_color = np.array(
        [_rgba(SPECIES_COLOURS[s % len(SPECIES_COLOURS)]) for s in atoms.species]
    ).reshape(-1, 4)
    layer.refresh()
    return layer


def begin_line(publisher: LayerPublisher, source: MaskSource) -> Any:
    """Give the user a line to draw in the slice that is shown."""
    viewer = publisher.viewer
    if viewer is None:
        return None
    viewer.dims.ndisplay = 2
    layer: Any = publisher.layer(LINE)
    if layer is None:
        z, y, x = source.centre()
        half = 0.4 * source.data.shape[2] * source.voxel[2]
        spec = LayerSpec(
            data=np.array([[[z, y, x - half], [z, y, x + half]]]),
            name="Line profile",
            axis_labels=_AXES,
            scale=(1.0,) * 3,
            translate=(0.0,) * 3,
            metadata={"role": "line"},
            looks={"shape_type": "line", "edge_width": source.voxel[2], "edge_color": _LINE_COLOUR},
            kind="shapes",
        )
        layer = publisher.show(LINE, spec, exact=True)
        viewer.dims.set_point(range(viewer.dims.ndim)[-3:], (z, y, x))
    layer.visible = True
    viewer.layers.selection.active = layer
    layer.mode = "add_line"
    return layer


def line_of(layer: Any, source: MaskSource) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Both ends (x, y, z) from the middle of the box, angstrom, of the line drawn last; None without one."""
    lines = [np.asarray(data, float) for data in layer.data if len(data) == 2]
    if not lines or np.array_equal(lines[-1][0], lines[-1][1]):
        return None
    half = (np.asarray(source.data.shape) - 1) / 2 * np.asarray(source.voxel)
    ends = np.clip(lines[-1] - source.centre(), -half, half)[:, ::-1]
    one, two = (tuple(float(v) for v in end) for end in ends)
    return None if one == two else (one, two)


def _rgba(colour: str) -> tuple[float, ...]:
    return (*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)), 1.0)
