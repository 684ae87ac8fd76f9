"""``phaset3m analyse``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_phaset3m.cli import halving, options, overrides, report_flags, reporting, running, subjects
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.report.subject import Subject


def _analyse(
    volume: Annotated[Path, typer.Argument(help="Volume: .mrc, .tif, .h5, .ome.zarr")], **given: Any
) -> None:
    """Measure a volume: resolution, Bragg peaks, atoms, missing wedge, SSNR; and report it."""
    given["volume"] = volume
    inputs = _inputs(given)
    _check(given)
    subjects.check_targets(given["report"], given["output"], inputs)
    subject = _subject(given)
    if given["halves"]:
        subject = halving.with_halves(subject, _wish(given, subject), quiet=given["as_json"])
    from napari_phaset3m.report.analysis import analyse as measure

    with running.progress_bar(quiet=given["as_json"]) as show:
        done = measure(subject, reporting.provenance_of(inputs, _settings(given, subject)), show)
    reporting.deliver(done, given["report"], given["output"], as_json=given["as_json"])


#: The command with its flags and one for each field of a series.
analyse = options.with_flags(
    _analyse,
    [
        *report_flags.parameters(report_flags.ANALYSE, report_flags.KNOWN, report_flags.OUTPUT),
        *overrides.parameters(),
    ],
)


def _inputs(given: Mapping[str, Any]) -> dict[str, Path | None]:
    files = {name: given[name] for name in ("volume", "series", "half1", "half2", "cif", "model", "source")}
    return files | {"mask": subjects.mask_file(given["mask"])}


def _check(given: Mapping[str, Any]) -> None:
    """Combinations of flags that make no sense, in one line each."""
    if (given["half1"] is None) != (given["half2"] is None):
        raise ConfigError("--half1: needs --half2, and the other way round. Give both half volumes")
    if given["half1"] is not None and given["half1"].resolve() == given["half2"].resolve():
        raise ConfigError(f"--half2: {given['half2']} is the file of --half1 too, which agrees with itself. "
                          "Give the other half")  # fmt: skip
    halving.check_kind(given["halves"])
    if given["halves"] and given["half1"]:
        raise ConfigError("--halves: half volumes were given with --half1 and --half2. Use one or the other")
    if given["halves"] and given["series"] is None:
        raise DataError("needs --series", field="--halves", remedy="Name the series to reconstruct")
    if given["control"] and not given["halves"]:
        raise ConfigError("--control: needs --halves tilts, foci or dose")
    if given["source"] and not given["halves"]:
        raise ConfigError("--from: only matters with --halves")
    if given["ssnr_defoci"] and given["series"] is None:
        raise DataError("needs --series", field="--ssnr-defocus", remedy="It states the microscope")
    if given["device"] not in ("auto", "cpu", "cuda"):
        raise DataError(f"is {given['device']!r}", field="--device", remedy="Use auto, cpu or cuda")


def _subject(given: Mapping[str, Any]) -> Subject:
    from napari_phaset3m.analyse.profiles import line_profile

    subject = subjects.load_subject(
        given["volume"], voxel=given["voxel"], mask=given["mask"], **subjects.known(given)
    )
    subject = replace(subject, profile=subjects.profile_of(given["profile"]))
    if subject.profile is not None:
        # refused before anything else is computed when it leaves the box
        start, stop, thick = subject.profile
        line_profile(subject.volume, subject.voxel_size_angstrom, start, stop, thickness_angstrom=thick)
    one, two = given["half1"], given["half2"]
    if one is None:
        return subject
    halves = subjects.same_grid(one, subject, "--half1"), subjects.same_grid(two, subject, "--half2")
    notes = (_shared_by(one, two, subject.voxel_size_angstrom),)
    return replace(subject, halves=halves, halves_name=_name_halves(one, two), halves_notes=notes)


def _shared_by(one: Path, two: Path, voxel: float) -> str:
    """What both halves have in common, by their records; where these say nothing, that."""
    from napari_phaset3m.analyse.halves import SHARED_UNKNOWN
    from napari_phaset3m.config import ReconstructionConfig
    from napari_phaset3m.jobs.halves_settings import shared_note

    records = [subjects.record_of(path) for path in (one, two)]
    parameters = records[0].get("parameters")
    if not isinstance(parameters, dict) or not parameters or parameters != records[1].get("parameters"):
        return SHARED_UNKNOWN
    try:
        config = ReconstructionConfig.parse(**parameters)
    except ConfigError:
        return SHARED_UNKNOWN
    return shared_note(config, voxel, masked=any(record.get("mask") for record in records))


def _name_halves(one: Path, two: Path) -> str:
    """What the halves are, by their records where these agree, and their files."""
    from napari_phaset3m.analyse.halves import DESCRIPTION

    kinds = [subjects.record_of(path).get("halves") for path in (one, two)]
    if kinds[0] == kinds[1] and kinds[0] in DESCRIPTION:
        return f"{DESCRIPTION[kinds[0]]} ({one.name}, {two.name})"
    return f"the half volumes {one.name} and {two.name}"


def _wish(given: Mapping[str, Any], subject: Subject) -> halving.Wish:
    record = subject.record if given["source"] is None else subjects.read_record(given["source"])
    config, support = halving.settings_of(record, given["source"] or given["volume"])
    halving.warn_if_changed(record, given["series"])
    output = None
    if given["output"] is not None:
        reporting.make_folder(given["output"])
        output = given["output"] / f"{given['volume'].name.partition('.')[0]}.mrc"
    return halving.Wish(
        kind=given["halves"], config=config, support=support, device=given["device"], output=output,
        series_path=given["series"], seed=given["seed"], control=given["control"],
    )  # fmt: skip


def _settings(given: Mapping[str, Any], subject: Subject) -> dict[str, Any]:
    names = ("cell", "halves", "control", "seed", "aperture_mrad", "ssnr_defoci", "species", "max_atoms")
    return {name: given[name] for name in names} | {
        "slice_angstrom": subject.thickness_angstrom,
        "mask": subject.mask_text,
        "voxel_size_angstrom": subject.voxel_size_angstrom,
        "halves_are": subject.halves_name or None,
    }
