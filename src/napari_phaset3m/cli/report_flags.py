"""Flags of ``analyse`` and ``compare``, as tables: those that both share exist once."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Optional

import typer

from napari_phaset3m.report.subject import SLICE_ANGSTROM

_KNOWN = "What is known of the specimen"
_OUT = "Output"
_HALVES = "Half volumes for the FSC"
_RUN = "Methods run on a series"


class Flag(NamedTuple):
    """One flag: field name, type, help, panel, default, how its value is called, other spellings."""

    name: str
    kind: Any
    text: str
    panel: str | None = None
    default: Any = None
    metavar: str | None = None
    spelling: tuple[str, ...] = ()


_FOCI = "Defoci of the SSNR and CTF curves, Å; several: separated by commas (default: the series' own)"
_CELL = "Unit cell: edge(s) Å, angles °, centring, e.g. '8.084 F'; else fitted to the peaks"
_MANY = "Keep the strongest so many atoms (default: all over Otsu's threshold)"
_METHODS = (
    "Reconstruct with these and compare them too; settings follow a colon: "
    "'multislice,sirt:ctf_correction=wiener:iterations=60'"
)
_CONTROL = "With --halves: the same halves without priors too, as a control"
_TURN = "Rotation searched before comparing, up to 6°: none, tilt (about the tilt axis) or all (three axes)"
_SLICE = f"Thickness of slices, Å (default: {SLICE_ANGSTROM:g} or a voxel)"
_PROFILE = "Values along one more line, Å from the rotation centre, e.g. -10,0,0:10,0,0:2"

KNOWN = (
    Flag("mask", str, "Mask, 0..1, on the volume's grid; auto: as phaset3m mask", metavar="FILE|auto"),
    Flag("cell", str, _CELL, _KNOWN),
    Flag("cif", Path, "Unit cell from a CIF", _KNOWN),
    Flag("model", Path, "Known atoms (.xyz), Å from the rotation centre", _KNOWN),
    Flag("species", int, "Kinds of atoms to tell apart (default: elements of the model, or 1)", _KNOWN),
    Flag("max_atoms", int, _MANY, _KNOWN),
)
OUTPUT = (
    Flag("slice_angstrom", float, _SLICE, _OUT, spelling=("--slice",)),
    Flag("report", Path, "One self-contained page, .html", _OUT),
    Flag("output", Path, "Folder for page, CSV, PNG, SVG and volumes", _OUT, spelling=("-o", "--output")),
    Flag("as_json", bool, "Print the results as JSON", _OUT, False, spelling=("--json",)),
)
ANALYSE = (
    Flag("series", Path, "The series it came from: missing wedge, SSNR, CTF, halves"),
    Flag("voxel", float, "Voxel, Å, in place of what the file states"),
    Flag("aperture_mrad", float, "Objective aperture, half-angle, mrad", spelling=("--aperture",)),
    Flag("ssnr_defoci", str, _FOCI, metavar="VALUES", spelling=("--ssnr-defocus",)),
    Flag("profile", str, _PROFILE, metavar="X,Y,Z:X,Y,Z[:THICK]"),
    Flag("half1", Path, "First half volume", _HALVES),
    Flag("half2", Path, "Second half volume", _HALVES),
    Flag("halves", str, "Reconstruct halves with the volume's settings: tilts, foci or dose", _HALVES),
    Flag("control", bool, _CONTROL, _HALVES, False),
    Flag("source", Path, "Settings of the halves (default: VOL.json)", _HALVES, spelling=("--from",)),
    Flag("seed", int, "Of dose halves", _HALVES, 0),
    Flag("device", str, "For the halves: auto, cpu or cuda", _HALVES, "auto"),
)
COMPARE = (
    Flag("series", Path, "The series: missing wedge; with --methods also what is reconstructed"),
    Flag("truth", Path, "What the volumes should be (simulations)", _KNOWN),
    Flag("methods", str, _METHODS, _RUN),
    Flag("iterations", str, "Sweeps: one number, one per method (20,50), or auto", _RUN),
    Flag("device", str, "auto, cpu or cuda", _RUN, "auto"),
    Flag("turning", str, _TURN, None, "none", spelling=("--rotate",)),
)


def parameters(*tables: tuple[Flag, ...]) -> list[inspect.Parameter]:
    """Keyword parameters for :func:`.options.with_flags`."""
    return [_parameter(flag) for table in tables for flag in table]


def _parameter(flag: Flag) -> inspect.Parameter:
    names = flag.spelling or ("--" + flag.name.replace("_", "-"),)
    more: dict[str, Any] = {"metavar": flag.metavar} if flag.metavar else {}
    if flag.kind in (int, float):
        # a thickness of nothing holds no plane; the other numbers may be 0
        more["min"] = 1e-3 if flag.name == "slice_angstrom" else 0
    option = typer.Option(*names, help=flag.text, rich_help_panel=flag.panel, **more)
    kind = Optional[flag.kind] if flag.default is None else flag.kind  # noqa: UP045
    return inspect.Parameter(
        flag.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=flag.default,
        annotation=Annotated[kind, option],
    )
