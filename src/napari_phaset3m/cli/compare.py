"""``phaset3m compare``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from napari_phaset3m.analyse.turning import Turning
from napari_phaset3m.cli import (
    compare_methods,
    comparing,
    options,
    overrides,
    report_flags,
    reporting,
    running,
    subjects,
)
from napari_phaset3m.errors import DataError


def _compare(
    volumes: Annotated[
        list[Path] | None,
        typer.Argument(help="Two or more volumes; the first is the reference when there is no --truth"),
    ] = None,
    **given: Any,
) -> None:
    """Compare volumes, or methods on a series: aligned, scaled, side by side, and by how much."""
    paths = volumes or []
    plans = compare_methods.plans(given["methods"], given["iterations"])
    _check(given, len(paths) + len(plans), bool(plans))
    inputs: dict[str, Path | None] = {f"volume {n}": path for n, path in enumerate(paths, 1)}
    inputs |= {name: given[name] for name in ("series", "truth", "cif", "model")}
    inputs["mask"] = subjects.mask_file(given["mask"])
    subjects.check_targets(given["report"], given["output"], inputs)
    known = subjects.known(given)
    found = comparing.load_all(paths, known, [plan.name for plan in plans])
    run = {"device": given["device"], "folder": given["output"], "path": given["series"],
           "given": overrides.collect(given)}  # fmt: skip
    found += comparing.reconstruct_all(plans, known, run, quiet=given["as_json"])
    truth, found = comparing.with_mask(found, given["truth"], given["mask"], known)
    from napari_phaset3m.report.comparison import compare_volumes

    names = ("cell", "mask", "methods", "iterations", "slice_angstrom", "species", "max_atoms", "turning")
    record = reporting.provenance_of(inputs, {name: given[name] for name in names})
    with running.progress_bar(quiet=given["as_json"]) as show:
        done = compare_volumes(found, record, truth=truth, turning=given["turning"], show=show)
    reporting.deliver(done, given["report"], given["output"], as_json=given["as_json"])


#: The command with its flags and one for each field of a series.
compare = options.with_flags(
    _compare,
    [
        *report_flags.parameters(report_flags.COMPARE, report_flags.KNOWN, report_flags.OUTPUT),
        *overrides.parameters(),
    ],
)


def _check(given: Mapping[str, Any], count: int, runs: bool) -> None:
    if runs and given["series"] is None:
        raise DataError("needs --series", field="--methods", remedy="Name the series to reconstruct")
    if given["turning"] not in get_args(Turning):
        raise DataError(f"is {given['turning']!r}", field="--rotate", remedy="Use none, tilt or all")
    if given["device"] not in ("auto", "cpu", "cuda"):
        raise DataError(f"is {given['device']!r}", field="--device", remedy="Use auto, cpu or cuda")
    if count < (1 if given["truth"] else 2):
        remedy = "Name two or more, or --methods with a --series, or --truth with one"
        raise DataError("too few to compare", field="VOLUMES", remedy=remedy)
