"""``phaset3m analyse``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_phaset3m.cli import options, overrides, reporting, running, subjects
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.report.subject import SLICE_ANGSTROM, Subject

_HALVES = "Half volumes for the FSC"
_KNOWN = "What is known of the specimen"


def _analyse(
    volume: Annotated[Path, typer.Argument(help="Volume: .mrc, .tif, .h5, .ome.zarr")],
    series: Annotated[
        Path | None, typer.Option(help="The series it came from: missing wedge, SSNR, CTF, halves")
    ] = None,
    half1: Annotated[Path | None, typer.Option(help="First half volume", rich_help_panel=_HALVES)] = None,
    half2: Annotated[Path | None, typer.Option(help="Second half volume", rich_help_panel=_HALVES)] = None,
    mask: Annotated[
        str | None,
        typer.Option(help="Mask volume, 0..1, or auto: as phaset3m mask makes it", metavar="FILE|auto"),
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(
            help="Unit cell: edge(s) in Å, angles in °, centring, e.g. '8.084 F'; else fitted to the peaks",
            rich_help_panel=_KNOWN,
        ),
    ] = None,
    cif: Annotated[Path | None, typer.Option(help="Unit cell from a CIF", rich_help_panel=_KNOWN)] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Known atoms (.xyz), Å from the rotation centre", rich_help_panel=_KNOWN),
    ] = None,
    thickness: Annotated[
        float | None,
        typer.Option(
            "--slice", help=f"Thickness of slices, Å (default: {SLICE_ANGSTROM:g} or a voxel)", min=0
        ),
    ] = None,
    voxel: Annotated[float | None, typer.Option(help="Voxel, Å, in place of what the file states")] = None,
    report: Annotated[Path | None, typer.Option(help="One self-contained page, .html")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for the page, CSV, PNG and SVG")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON")] = False,
    **fields: Any,
) -> None:
    """Measure a volume: resolution, Bragg peaks, atoms, missing wedge, SSNR; and report it."""
    inputs = {"volume": volume, "series": series, "half1": half1, "half2": half2, "cif": cif, "model": model,
              "mask": _mask_file(mask)}  # fmt: skip
    _check(inputs)
    subjects.check_targets(report, output, inputs)
    subject = _subject(inputs, mask, cell, voxel, thickness, overrides.collect(fields))
    settings = {
        "cell": cell,
        "slice_angstrom": subject.thickness_angstrom,
        "mask": subject.mask_text,
        "voxel_size_angstrom": subject.voxel_size_angstrom,
        "halves": subject.halves_name,
    }
    from napari_phaset3m.report.analysis import analyse as measure

    with running.progress_bar(quiet=as_json) as show:
        done = measure(subject, reporting.provenance_of(inputs, settings), show)
    reporting.deliver(done, report, output, as_json=as_json)


#: The command with a flag for each field of a series.
analyse = options.with_flags(_analyse, overrides.parameters())


def _mask_file(given: str | None) -> Path | None:
    return None if given in (None, subjects.AUTO) else Path(given)


def _check(inputs: dict[str, Path | None]) -> None:
    if (inputs["half1"] is None) != (inputs["half2"] is None):
        raise ConfigError("--half1: needs --half2, and the other way round. Give both half volumes")


def _subject(
    inputs: dict[str, Path | None],
    mask: str | None,
    cell: str | None,
    voxel: float | None,
    thickness: float | None,
    given: dict[str, Any],
) -> Subject:
    from dataclasses import replace

    from napari_phaset3m.io.series import load_series

    path = inputs["volume"]
    assert path is not None
    known: dict[str, Any] = {"cell": subjects.cell_of(cell, inputs["cif"]), "slice_angstrom": thickness}
    if inputs["series"] is not None:
        known["series"] = load_series(inputs["series"], **given)
    subject = subjects.load_subject(path, voxel=voxel, mask=mask, **known)
    one, two = inputs["half1"], inputs["half2"]
    if one is None or two is None:
        return subject
    halves = subjects.same_grid(one, subject, "--half1"), subjects.same_grid(two, subject, "--half2")
    return replace(subject, halves=halves, halves_name=f"the half volumes {one.name} and {two.name}")
