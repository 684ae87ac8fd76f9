"""``phaset3m figure`` and ``phaset3m film``: pictures of a volume for a paper or a talk."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from napari_phaset3m.analyse.figures.publication import COLOUR_MAPS, PANELS, FigureSettings
from napari_phaset3m.analyse.film.frames import slice_film, sweep_film, turntable_film
from napari_phaset3m.cli import running, subjects
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.report.subject import Subject

KINDS = ("turntable", "slices", "sweeps")
_PANELS = f"What to show, comma-separated: {', '.join(PANELS)} (default: all there is)"
_HALVES = "Two half volumes for the FSC"
_SERIES = "The series it came from: outlines the missing wedge"
_KIND = "turntable (about the tilt axis), slices (through the volume), sweeps (several volumes in turn)"


def figure(
    volume: Annotated[Path, typer.Argument(help="Volume: .mrc, .tif, .h5 or .ome.zarr")],
    output: Annotated[Path, typer.Option("-o", "--output", help=".svg, .png (300 dpi) or .pdf")],
    thickness: Annotated[float, typer.Option("--thickness", help="Thickness of slices, Å")] = 2.0,
    colour_map: Annotated[str, typer.Option("--colours", help=", ".join(COLOUR_MAPS))] = "gray",
    panels: Annotated[str, typer.Option(help=_PANELS)] = ",".join(PANELS),
    width: Annotated[float, typer.Option("--width", help="Width on paper, mm (columns: 88, 180)")] = 180.0,
    series: Annotated[Path | None, typer.Option(help=_SERIES)] = None,
    halves: Annotated[tuple[Path, Path] | None, typer.Option(help=_HALVES)] = None,
    voxel: Annotated[float | None, typer.Option(help="Voxel, Å, in place of what the file states")] = None,
) -> None:
    """Draw the figure of a volume: slices, transforms, surface, power spectrum and FSC."""
    from napari_phaset3m.report.paper import require_figure, save_figure

    chosen = tuple(name.strip() for name in panels.split(",") if name.strip())
    settings = FigureSettings(thickness, colour_map, chosen, width)
    require_figure(output)
    inputs: dict[str, Path | None] = {"the volume": volume, "the series": series}
    inputs |= {f"half {number}": path for number, path in enumerate(halves or (), 1)}
    running.check_outputs({"the figure": output}, inputs)
    subject = subjects.load_subject(volume, voxel=voxel)
    tilt_range_deg = None
    if series is not None:
        from napari_phaset3m.io.series import load_series

        tilt_range_deg = load_series(series).tilt_range_deg
    pair: Any = tuple(subjects.same_grid(path, subject, "--halves") for path in halves or ()) or None
    with running.progress_bar() as show:
        save_figure(
            output, subject.volume, subject.voxel_size_angstrom, settings, unit=subject.unit,
            tilt_range_deg=tilt_range_deg, halves=pair, show=show, record=_record(inputs, asdict(settings)),
        )  # fmt: skip
    print(output)


def film(
    volumes: Annotated[list[Path], typer.Argument(help="A volume; for sweeps several, in their order")],
    output: Annotated[Path, typer.Option("-o", "--output", help=".mp4, .gif, or a folder for PNG files")],
    kind: Annotated[str, typer.Option(help=_KIND)] = "turntable",
    look: Annotated[str, typer.Option(help="Of a turntable: mip or surface")] = "mip",
    axis: Annotated[str, typer.Option(help="Along which slices go: z, y or x")] = "z",
    size: Annotated[int, typer.Option(help="Longest edge, px")] = 480,
    frames: Annotated[int | None, typer.Option(help="Frames (default: 90 a turn, each slice)")] = None,
    rate: Annotated[float, typer.Option("--fps", help="Frames per second")] = 15.0,
    level: Annotated[float | None, typer.Option(help="Of the surface (default: Otsu's threshold)")] = None,
    thickness: Annotated[float, typer.Option("--thickness", help="Thickness of a slice, Å")] = 0.0,
    inverted: Annotated[bool, typer.Option("--inverted", help="Dark on white")] = False,
    voxel: Annotated[float | None, typer.Option(help="Voxel, Å, in place of what the file states")] = None,
) -> None:
    """Make a film of a volume: turning, slice by slice, or from sweep to sweep."""
    from napari_phaset3m.io.film import require_film
    from napari_phaset3m.report.paper import save_film

    if kind not in KINDS:
        raise ConfigError(f"--kind: is {kind!r}. Use {', '.join(KINDS)}")
    if len(volumes) > 1 and kind != "sweeps":
        raise ConfigError(f"--kind: {kind} is of one volume, and {len(volumes)} were given. Use sweeps")
    require_film(output)
    inputs: dict[str, Path | None] = {f"volume {number}": path for number, path in enumerate(volumes, 1)}
    running.check_outputs({"the film": output}, inputs)
    subject = subjects.load_subject(volumes[0], voxel=voxel)
    common: dict[str, Any] = {"size": size, "inverted": inverted}
    if kind == "turntable":
        own: dict[str, Any] = {"look": look, "frames": 90 if frames is None else frames, "level": level}
        made = turntable_film(subject.volume, subject.voxel_size_angstrom, **own, **common)
    elif kind == "slices":
        own = {"axis": axis, "frames": frames, "thickness_angstrom": thickness}
        made = slice_film(subject.volume, subject.voxel_size_angstrom, **own, **common)
    else:
        own, made = {}, sweep_film(_sweeps(volumes, subject), subject.voxel_size_angstrom, **common)
    record = _record(inputs, {"kind": kind, **own, **common, "frames_per_second": rate})
    with running.progress_bar() as show:
        save_film(made, output, frames_per_second=rate, record=record, show=show)
    print(output)


def _sweeps(volumes: list[Path], first: Subject) -> list[tuple[str, np.ndarray]]:
    """Name and middle plane of each volume, all on the grid of the first."""
    rest = [subjects.same_grid(path, first, "VOLUMES") for path in volumes[1:]]
    names = subjects.unique_names(volumes)
    return [(name, _middle(v)) for name, v in zip(names, [first.volume, *rest], strict=True)]


def _middle(volume: np.ndarray) -> np.ndarray:
    return np.asarray(volume[len(volume) // 2])


def _record(inputs: dict[str, Path | None], settings: dict[str, Any]) -> dict[str, Any]:
    from napari_phaset3m.io.provenance import provenance

    return provenance([path for path in inputs.values() if path is not None], settings)
