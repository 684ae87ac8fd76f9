"""How the volumes of a comparison agree: the work of its background thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_phaset3m.analyse.turning import Turning
from napari_phaset3m.gui.compare.items import Content, Shot, shot_of

if TYPE_CHECKING:
    from napari_phaset3m.analyse.compare import Comparison

#: Rotation that is searched at first: none. Runs of one series share their zero of the tilts.
DEFAULT_TURNING: Turning = "none"


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A comparison with the reference, with its difference ready for display.

    Attributes
    ----------
    comparison : Comparison
    difference : Shot
    turning : {"none", "tilt", "all"}
        The rotation that was searched.
    postponed : bool
        A rotation is wanted, but not searched while one of the two is still being reconstructed.
    contents : tuple of Content
        The reference and the volume as they were.
    """

    comparison: Comparison
    difference: Shot
    contents: tuple[Content, Content]
    turning: Turning = "none"
    postponed: bool = False


def measure(
    keys: list[str], names: list[str], contents: list[Content], turning: Turning, going: str
) -> tuple[tuple[list[str], Turning], dict[str, Measured]]:
    """Compare each volume with the first one; for a worker thread.

    The search of a rotation takes seconds, so that it waits for the end of a run whose pictures come faster.

    Parameters
    ----------
    keys, names, contents : list
        Of the volumes, the reference first.
    turning : {"none", "tilt", "all"}
        Rotation to search.
    going : str
        Key of the volume that is still being reconstructed; may be empty.

    Returns
    -------
    (keys, turning), dict of str to Measured
        What was asked, and how each volume compares.

    Raises
    ------
    PhaseT3MError
        Volumes that cannot be compared; the message names them.
    """
    from napari_phaset3m.analyse.compare import compare

    first, found = contents[0], {}
    for key, name, content in zip(keys[1:], names[1:], contents[1:], strict=True):
        postponed = turning != "none" and going in (keys[0], key)
        searched: Turning = "none" if postponed else turning
        comparison = compare(
            first.volume,
            content.volume,
            first.voxel_size_angstrom,
            b_voxel_size_angstrom=content.voxel_size_angstrom,
            names=(names[0], name),
            turning=searched,
        )
        rest = Content(np.asarray(comparison.difference), first.voxel_size_angstrom, "difference")
        found[key] = Measured(comparison, shot_of(rest), (first, content), searched, postponed)
    return (keys, turning), found
