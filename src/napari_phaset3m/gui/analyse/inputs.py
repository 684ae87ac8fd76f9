"""What an analysis is about: volume, mask, halves, series and cell, as the user chose them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from napari_phaset3m.analyse.cell import Cell, Centring
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.gui.mask.sources import MaskSource
from napari_phaset3m.gui.widgets.numbers import parse_number
from napari_phaset3m.io.provenance import provenance_path
from napari_phaset3m.report.subject import Subject

if TYPE_CHECKING:
    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.session import NamedMask, RunRecord, Session

#: Under which a session keeps its analysis.
WORK = "analyse work"
#: Voxels count as cubic, and as equal, up to this part.
_SAME = 1e-3


@dataclass(frozen=True, eq=False)
class Halves:
    """Two volumes of independent halves of the data.

    Attributes
    ----------
    volumes : tuple of ndarray
        `(nz, ny, nx)` each.
    voxel_size_angstrom : float
    name : str
        How the data were halved, as resolutions state it.
    of : str
        What they are halves of.
    notes : tuple of str
    record : mapping
        How they were made; empty for files.
    unit : str
    free : tuple of ndarray or None
        The same halves without priors.
    """

    volumes: tuple[np.ndarray, np.ndarray]
    voxel_size_angstrom: float
    name: str
    of: str = ""
    notes: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)
    unit: str = ""
    free: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class NamedModel:
    """Known atoms, as :func:`simulate.specimens.read_xyz` gives them, and the name of their file."""

    name: str
    atoms: Any


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """Everything that an analysis takes.

    Attributes
    ----------
    source : MaskSource or None
        The volume.
    mask : NamedMask or None
    halves : Halves or None
    series : TiltFocalSeries or None
    cell : Cell or None
    slice_angstrom : float
    species : int
        Kinds of atoms to tell apart.
    model : NamedModel or None
        Atoms that the volume should show.
    aperture_mrad : float
        Half-angle of the objective aperture; 0: none is known.
    ssnr_defoci_angstrom : tuple of float
        Defoci to show transfer and SSNR of; the series' own when empty.
    line : tuple or None
        Both ends (x, y, z) of the line profile, angstrom from the middle of the box.
    """

    source: MaskSource | None = None
    mask: NamedMask | None = None
    halves: Halves | None = None
    series: TiltFocalSeries | None = None
    cell: Cell | None = None
    slice_angstrom: float = 2.0
    species: int = 2
    model: NamedModel | None = None
    aperture_mrad: float = 0.0
    ssnr_defoci_angstrom: tuple[float, ...] = ()
    line: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def stamp(self, names: tuple[str, ...]) -> tuple[Any, ...]:
        """What a result was made of; compare with :func:`same_stamp`."""
        parts: list[Any] = []
        for name in names:
            value = getattr(self, name)
            if name == "source":
                value = None if value is None else value.data
            parts.append(value.mask if name == "mask" and value is not None else value)
        return tuple(parts)


def inputs_of(session: Session, *, series: bool) -> Inputs:
    """Mask, cell, model and settings that an analysis uses at present, and the series where it applies."""
    work = session.attachments.get(WORK)
    chosen = Inputs() if work is None else work.inputs
    shared = session.series if series else None
    return replace(chosen, source=None, halves=None, mask=session.analysis_mask, series=shared)


def same_stamp(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether two stamps are of the same things: objects by identity, numbers and cells by value."""
    return len(one) == len(other) and all(
        a is b or (isinstance(a, int | float | tuple | Cell) and a == b)
        for a, b in zip(one, other, strict=True)
    )


def why_not_mask(mask: NamedMask | None, source: MaskSource | None) -> str:
    """Why a mask cannot be used with a volume; empty when it can."""
    if mask is None:
        return "No mask for analysis: make one and press Use for analysis (step Mask)"
    if source is None:
        return ""
    fits = mask.mask.shape == source.data.shape and np.allclose(
        mask.voxel_size_angstrom, source.voxel, rtol=_SAME
    )
    return "" if fits else "The mask is of another grid than the volume: make it of this one (step Mask)"


def why_not_volume(source: MaskSource | None) -> str:
    """Why a volume cannot be analysed; empty when it can."""
    if source is None:
        return "Choose a volume first: reconstruct something, or open one."
    if np.ptp(source.voxel) > _SAME * max(source.voxel):
        z, y, x = (f"{v:.4g}" for v in source.voxel)
        return f"{source.name}: voxels of {x} × {y} × {z} Å are not cubic. Resample the volume first."
    return ""


def subject_of(inputs: Inputs, told: Mapping[str, Any] | None = None) -> Subject:
    """The inputs as the report package takes them; ``told`` is how the volume was made.

    Raises
    ------
    DataError
        There is no volume, or it does not fit the mask or the halves.
    """
    source, mask, halves = inputs.source, inputs.mask, inputs.halves
    why = why_not_volume(source) or (why_not_mask(mask, source) if mask is not None else "")
    if source is None or why:
        raise DataError(why)
    if halves is not None and abs(halves.voxel_size_angstrom / source.voxel[0] - 1) > _SAME:
        raise DataError(
            f"have voxels of {halves.voxel_size_angstrom:.4g} Å, but the volume of {source.voxel[0]:.4g} Å",
            field="halves",
            remedy="Choose the volume they are halves of",
        )
    return Subject(
        name=source.name,
        volume=np.asarray(source.data, np.float32),
        voxel_size_angstrom=float(source.voxel[0]),
        unit=source.unit,
        record=told or {},
        mask=None if mask is None else mask.mask,
        mask_name="" if mask is None else mask.name,
        mask_recipe="" if mask is None else described(mask.recipe),
        halves=None if halves is None else halves.volumes,
        halves_name="" if halves is None else halves.name,
        halves_notes=() if halves is None else halves.notes,
        free_halves=None if halves is None else halves.free,
        series=inputs.series,
        cell=inputs.cell,
        species=inputs.species,
        model=None if inputs.model is None else inputs.model.atoms,
        aperture_mrad=inputs.aperture_mrad or None,
        ssnr_defoci_angstrom=inputs.ssnr_defoci_angstrom,
        slice_angstrom=inputs.slice_angstrom,
    )


def described(recipe: Mapping[str, Any]) -> str:
    """A mask's steps in words; empty when they are not known."""
    from napari_phaset3m.analyse.masks import Recipe

    try:
        return Recipe.parse(**recipe).describe() if recipe else ""
    except ConfigError:
        return ""


def file_record(path: Path | None) -> dict[str, Any]:
    """The .json beside a volume; empty when there is none."""
    if path is None or provenance_path(path) == path or not provenance_path(path).is_file():
        return {}
    try:
        found = json.loads(provenance_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def made_by(record: RunRecord | None, path: Path | None) -> dict[str, Any]:
    """How a volume was made: by a run of this window, or as the .json beside its file says."""
    from napari_phaset3m.jobs.run_files import run_record

    if record is None or record.volume is None:
        return file_record(path)
    source = record.source
    return run_record(source.path, record.config, record.device, record, source.overrides, source.edits)


def parse_cell(text: str) -> Cell | None:
    """Read the edge of a cubic cell with its centring, like ``8.084 F``; None for no text.

    Raises
    ------
    ConfigError
    """
    words = text.replace("Å", " ").split()
    if not words:
        return None
    centring: Any = words.pop().upper() if len(words) > 1 and words[-1].isalpha() else "P"
    try:
        if len(words) == 1 and centring in get_args(Centring):
            return Cell.cubic(parse_number(words[0], "Å"), centring)
    except ConfigError:
        pass  # told below, with what to write instead
    raise ConfigError(
        f"“{text.strip()}” is no cubic cell. Write its edge in Å and the centring: 8.084 F; or open a CIF"
    )


def cell_text(cell: Cell | None) -> str:
    """A cell as the line shows it."""
    if cell is None:
        return ""
    if cell.is_cubic:
        return f"{cell.a:.4g} {cell.centring}"
    return f"{cell.a:.4g} × {cell.b:.4g} × {cell.c:.4g} Å {cell.centring}"
