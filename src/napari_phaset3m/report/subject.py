"""What a report is about: one volume and everything that is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_phaset3m.analyse.fourier import slice_count
from napari_phaset3m.analyse.halves import SHARED, SHARED_UNKNOWN
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError

#: Thickness of slices, angstrom: thin against the distance of atomic planes (the paper's figures).
SLICE_ANGSTROM = 2.0

Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """A volume with its mask, halves, series, cell and model, as far as there are any.

    Parameters
    ----------
    name : str
        Short; labels its curves.
    volume : ndarray
        `(nz, ny, nx)`.
    voxel_size_angstrom : float
    unit : str
        ``"V"`` or empty.
    record : mapping
        How it was made (the .json beside a volume); may be empty.
    mask : ndarray, optional
        `(nz, ny, nx)` in 0..1.
    mask_name : str
        In words, for whoever reads the resolution.
    mask_recipe : str
        How it was made, where that is known.
    halves : tuple of ndarray, optional
        Two volumes of the volume's shape, reconstructed from independent halves of the data.
    halves_name : str
        How the data were halved.
    halves_notes : tuple of str
        What else qualifies them.
    free_halves : tuple of ndarray, optional
        The same halves reconstructed without priors, as a control.
    series : TiltFocalSeries, optional
    cell : optional
        What :func:`analyse.bragg.bragg_report` takes.
    model : optional
        Known atoms, as :func:`simulate.specimens.read_xyz` gives them.
    species : int, optional
        Kinds of atoms to tell apart; as many as the model's elements, or one, when omitted.
    max_atoms : int, optional
        At most so many atoms are looked for.
    slice_angstrom : float, optional
        Thickness of slices; 2 Å, when omitted, or the nearest that voxels about the centre allow.
    profile : tuple, optional
        One more line to draw a profile along: start and stop (x, y, z from the rotation centre) and
        thickness, angstrom.
    aperture_mrad : float, optional
        Half-angle of the objective aperture.
    ssnr_defoci_angstrom : tuple of float
        Defoci to show contrast transfer and SSNR of; the series' own when empty.

    Raises
    ------
    DataError
        Mask or halves have another shape than the volume.
    """

    name: str
    volume: np.ndarray
    voxel_size_angstrom: float
    unit: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)
    mask: np.ndarray | None = None
    mask_name: str = ""
    mask_recipe: str = ""
    halves: tuple[np.ndarray, np.ndarray] | None = None
    halves_name: str = ""
    halves_notes: tuple[str, ...] = ()
    free_halves: tuple[np.ndarray, np.ndarray] | None = None
    series: TiltFocalSeries | None = None
    cell: Any = None
    model: Any = None
    species: int | None = None
    max_atoms: int | None = None
    slice_angstrom: float | None = None
    profile: tuple[Point, Point, float] | None = None
    aperture_mrad: float | None = None
    ssnr_defoci_angstrom: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        others = {"mask": self.mask}
        if self.halves is not None:
            others |= {"first half": self.halves[0], "second half": self.halves[1]}
        if self.free_halves is not None:
            pair = zip(("first", "second"), self.free_halves, strict=True)
            others |= {f"{n} half without priors": half for n, half in pair}
        for name, array in others.items():
            if array is not None and array.shape != self.volume.shape:
                raise DataError(
                    f"has shape {array.shape}, but the volume has {self.volume.shape}",
                    field=name,
                    remedy="Both must lie on the same grid",
                )

    @property
    def caveats(self) -> tuple[str, ...]:
        """What the halves have in common, so that their agreement does not test it; of their notes."""
        return tuple(note for note in self.halves_notes if note.startswith(SHARED)) or (
            (SHARED_UNKNOWN,) if self.halves is not None else ()
        )

    @property
    def tilt_deg(self) -> np.ndarray | None:
        """Tilts of the series, degrees, of images in use; None when no series was given."""
        return used_tilts_deg(self.series)

    @property
    def tilt_range_deg(self) -> tuple[float, float] | None:
        """Lowest and highest tilt."""
        return None if self.series is None else self.series.tilt_range_deg

    @property
    def thickness_angstrom(self) -> float:
        """Of slices across z: as many voxels as lie evenly about the rotation centre."""
        return self.thicknesses_angstrom[0]

    @property
    def thicknesses_angstrom(self) -> tuple[float, float, float]:
        """Of slices across z, y, x; they differ where the box has even and odd edges."""
        wanted = SLICE_ANGSTROM if self.slice_angstrom is None else self.slice_angstrom
        voxel = self.voxel_size_angstrom
        z, y, x = (slice_count(n, wanted / voxel) * voxel for n in self.volume.shape)
        return z, y, x

    @property
    def mask_text(self) -> str:
        """The mask in words."""
        if self.mask is None:
            return "none"
        return self.mask_name or f"unnamed, {float(self.mask.mean()):.0%} of the box"


def used_tilts_deg(series: TiltFocalSeries | None) -> np.ndarray | None:
    """Tilts with an image in use, degrees; None without a series."""
    if series is None:
        return None
    assert series.used is not None
    return np.asarray(series.tilt_deg[series.used.any(axis=1)])
