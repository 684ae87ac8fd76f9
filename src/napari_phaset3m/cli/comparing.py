"""The volumes of ``phaset3m compare``: read from files, or reconstructed from a series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_phaset3m.cli import reporting, running, subjects
from napari_phaset3m.cli.compare_methods import Plan
from napari_phaset3m.report.subject import Subject


def load_all(paths: Sequence[Path], known: dict[str, Any], taken: Sequence[str] = ()) -> list[Subject]:
    """The volumes, with what is known of the specimen; those whose name is taken get their suffix too."""
    names = subjects.unique_names(paths)
    names = [path.name if name in taken else name for path, name in zip(paths, names, strict=True)]
    return [subjects.load_subject(path, name=name, **known) for path, name in zip(paths, names, strict=True)]


def reconstruct_all(
    plans: Sequence[Plan], known: dict[str, Any], run: dict[str, Any], *, quiet: bool
) -> list[Subject]:
    """Run each method on the series and, where there is a folder, keep its volume.

    Parameters
    ----------
    plans : sequence of Plan
    known : dict
        Fields of the subjects; ``series`` is what is reconstructed.
    run : dict
        ``device``, ``folder`` (or None), ``path`` of the series, ``given`` overrides of its fields.
    quiet : bool

    Raises
    ------
    CancelledError
        Ctrl-C.
    RunFailed
    """
    from napari_phaset3m.reconstruct.device import choose_device

    found = []
    for plan in plans:
        config = plan.config
        device, _ = choose_device(run["device"], known["series"], config)  # the run tells why
        flag = f"--methods {config.method}:positivity=false"
        done = running.drive(known["series"], config, {"device": run["device"]}, quiet=quiet, flag=flag)
        record = running.run_record(run["path"], config, device, done, run["given"])
        if run["folder"] is not None:
            reporting.make_folder(run["folder"])
            running.keep(done, run["folder"] / f"{plan.stem}.mrc", record)
        found.append(
            Subject(name=plan.name, volume=done.volume, voxel_size_angstrom=done.voxel_size_angstrom,
                    unit=done.unit, record=record, **known)
        )  # fmt: skip
    return found


def with_mask(
    found: list[Subject], truth: Path | None, mask: str | None, known: dict[str, Any]
) -> tuple[Subject | None, list[Subject]]:
    """The truth, where there is one, and the volumes; the reference among them gets the mask."""
    if truth is not None:
        return subjects.load_subject(truth, name=truth.name.partition(".")[0], mask=mask, **known), found
    first = found[0]
    masked = subjects.mask_of(mask, first.volume, first.voxel_size_angstrom)
    return None, [replace(first, **masked), *found[1:]]
