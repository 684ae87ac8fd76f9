"""Volumes, masks, cells and series as ``analyse`` and ``compare`` take them from the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.errors import ConfigError, DataError, OutputError
from napari_phaset3m.report.subject import Point, Subject

#: Value of --mask that makes one instead of reading it.
AUTO = "auto"


def record_of(path: Path) -> dict[str, Any]:
    """The record beside a volume (how it was made); empty when there is none."""
    from napari_phaset3m.io.provenance import provenance_path

    beside = provenance_path(path)
    if beside == path or not beside.is_file():
        return {}
    try:
        record = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def read_record(path: Path) -> dict[str, Any]:
    """The record in a file that was named for it.

    Raises
    ------
    DataError
        It is no JSON object.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"cannot be read as JSON ({reason})", path=path, field="--from") from None
    if not isinstance(record, dict):
        raise DataError(
            "is no record of a run", path=path, field="--from", remedy="Give the .json of a volume"
        )
    return record


def known(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the flags say of the specimen and its series, as fields of a subject.

    Raises
    ------
    PhaseT3MError
        A file cannot be read, or a cell makes no sense.
    """
    from napari_phaset3m.cli import overrides, running
    from napari_phaset3m.io.series import load_series

    fields: dict[str, Any] = {
        "cell": cell_of(given["cell"], given["cif"]),
        "slice_angstrom": given["slice_angstrom"],
        "species": given["species"],
        "max_atoms": given["max_atoms"],
        "aperture_mrad": given.get("aperture_mrad"),
        "ssnr_defoci_angstrom": _defoci(given.get("ssnr_defoci")),
    }
    if given["model"] is not None:
        from napari_phaset3m.simulate.specimens import read_xyz

        fields["model"] = read_xyz(given["model"])
    if given["series"] is not None:
        fields["series"] = load_series(given["series"], **overrides.collect(given))
        running.tell_left_beside(fields["series"])
    return fields


def _defoci(text: str | None) -> tuple[float, ...]:
    """What --ssnr-defocus lists, angstrom; empty when it was not given."""
    if text is None:
        return ()
    try:
        values = tuple(float(part) for part in text.replace("−", "-").split(","))
    except ValueError:
        values = ()
    if not values or not np.isfinite(values).all():
        raise ConfigError(
            f"--ssnr-defocus: is {text!r}. Give numbers in Å, separated by commas: 500,1000,1500"
        )
    return values


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Short names that differ: the stem, or with the folder, or with a number."""
    for names in ([p.name.partition(".")[0] for p in paths], [p.name for p in paths],
                  [f"{p.resolve().parent.name}/{p.name}" for p in paths]):  # fmt: skip
        if len(set(names)) == len(names):
            return names
    return [f"{n}: {p.name}" for n, p in enumerate(paths, 1)]


def mask_of(given: str | None, volume: np.ndarray, voxel: float) -> dict[str, Any]:
    """The mask that --mask names, what to call it, and its recipe; as fields of a subject.

    Raises
    ------
    DataError
        It cannot be read or lies on another grid.
    """
    if given is None:
        return {}
    if given == AUTO:
        from napari_phaset3m.analyse.masks import automatic
        from napari_phaset3m.analyse.masks_make import make_mask

        recipe = automatic(voxel)
        mask = np.asarray(make_mask(recipe, volume, voxel).mask, np.float32)
        return {"mask": mask, "mask_name": "automatic", "mask_recipe": recipe.describe()}
    from napari_phaset3m.io.mask import load_mask

    found = load_mask(given)
    if found.shape != volume.shape:
        raise DataError(
            f"has shape {found.shape}, but the volume has {volume.shape}", path=given, field="--mask",
            remedy="Make it on this volume (phaset3m mask VOLUME -o MASK.mrc)",
        )  # fmt: skip
    return {"mask": found.mask, "mask_name": found.path.name, "mask_recipe": _recipe(found.recipe)}


def mask_file(given: str | None) -> Path | None:
    """The file that --mask names; None without one."""
    return None if given in (None, AUTO) else Path(str(given))


def _recipe(recipe: Mapping[str, Any] | None) -> str:
    from napari_phaset3m.analyse.masks import Recipe

    if not recipe:
        return ""
    try:
        return Recipe.parse(**recipe).describe()
    except ConfigError:
        return ""


def cell_of(text: str | None, cif: Path | None) -> Any:
    """The unit cell from --cell (edges and angles, centring at the end) or from --cif; None without them.

    Raises
    ------
    ConfigError
        Both are given, or the text is no cell.
    DataError
        The CIF cannot be read.
    """
    from napari_phaset3m.analyse.cell import Cell, read_cell

    if text is not None and cif is not None:
        raise ConfigError("--cell: both --cell and --cif were given. Give one")
    if cif is not None:
        return read_cell(cif)
    if text is None:
        return None
    words = text.replace(",", " ").split()
    centring: Any = words.pop().upper() if words and words[-1].isalpha() else "P"
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        return Cell.cubic(numbers[0], centring)
    if len(numbers) in (3, 6):
        a, b, c, alpha, beta, gamma = [*numbers, 90.0, 90.0, 90.0][:6]
        return Cell(a, b, c, alpha, beta, gamma, centring)
    raise ConfigError(
        f"--cell: is {text!r}. Write the edge of a cubic cell, or three edges (Å), or three edges and three "
        "angles (°), and the centring: '8.084 F'"
    )


def profile_of(text: str | None) -> tuple[Point, Point, float] | None:
    """Start, stop and thickness of a line from ``x,y,z:x,y,z[:thickness]``, angstrom; None without one.

    Raises
    ------
    ConfigError
        It is not written so.
    """
    if text is None:
        return None
    try:
        start, stop, *thick = ([float(v) for v in part.split(",")] for part in text.split(":"))
        (x0, y0, z0), (x1, y1, z1) = start, stop
        ((thickness,),) = thick or [[0.0]]
    except ValueError:
        raise ConfigError(
            f"--profile: is {text!r}. Write two points, Å from the rotation centre, and if wanted a "
            "thickness: -10,0,0:10,0,0:2"
        ) from None
    return (x0, y0, z0), (x1, y1, z1), thickness


def load_subject(path: Path, *, voxel: float | None = None, name: str | None = None, **more: Any) -> Subject:
    """Read a volume and its record; ``more`` are further fields of the subject."""
    from napari_phaset3m.io.volume import load_volume

    volume = load_volume(path, voxel_size_angstrom=voxel)
    more |= mask_of(more.pop("mask", None), volume.data, volume.voxel_size_angstrom)
    return Subject(
        name=name or path.name, volume=volume.data, voxel_size_angstrom=volume.voxel_size_angstrom,
        unit=volume.unit, record=record_of(path), **more,
    )  # fmt: skip


def same_grid(path: Path, like: Subject, field: str) -> np.ndarray:
    """Another volume on the subject's grid.

    Raises
    ------
    DataError
        Its shape or its voxel is another.
    """
    from napari_phaset3m.io.volume import load_volume

    other = load_volume(path, voxel_size_angstrom=None)
    if other.shape != like.volume.shape:
        raise DataError(
            f"has shape {other.shape}, but the volume has {like.volume.shape}", path=path, field=field
        )
    if abs(other.voxel_size_angstrom / like.voxel_size_angstrom - 1) > 1e-3:
        own, wanted = other.voxel_size_angstrom, like.voxel_size_angstrom
        problem = f"has voxels of {own:.4g} Å, but the volume of {wanted:.4g} Å"
        raise DataError(problem, path=path, field=field)
    return other.data


def check_targets(report: Path | None, folder: Path | None, inputs: Mapping[str, Path | None]) -> None:
    """Refuse, before anything is computed, what could not be written or would replace an input.

    Raises
    ------
    OutputError
    ConfigError
        matplotlib is needed and missing.
    """
    from napari_phaset3m.analyse.figures.style import need_matplotlib
    from napari_phaset3m.cli.running import check_outputs

    if report is None and folder is None:
        return
    need_matplotlib()
    if report is not None:
        if report.suffix.lower() not in (".html", ".htm"):
            raise OutputError(f"{report}: unknown suffix. A report is .html")
        check_outputs({"the report": report}, dict(inputs))
    if folder is not None:
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder}: is a file. -o names a folder")
        # A probe in the folder, or in the parent it will be made in.
        check_outputs({"the folder": folder / "report.html" if folder.is_dir() else folder}, dict(inputs))
