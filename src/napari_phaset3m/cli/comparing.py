"""The volumes of ``phaset3m compare``: read from files, or reconstructed from a series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_phaset3m.cli import reporting, running, subjects
from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.report.subject import Subject


def plans(methods: str | None, iterations: str | None) -> list[ReconstructionConfig]:
    """One configuration per method.

    Raises
    ------
    ConfigError
        A method or a number of sweeps that cannot be.
    """
    if methods is None:
        if iterations is not None:
            raise ConfigError("--iterations: needs --methods")
        return []
    names = [name.strip() for name in methods.split(",") if name.strip()]
    if len(set(names)) != len(names):
        raise ConfigError(f"--methods: names one twice ({methods})")
    sweeps = (iterations or "auto").split(",")
    if len(sweeps) not in (1, len(names)):
        raise ConfigError(f"--iterations: has {len(sweeps)} numbers for {len(names)} methods")
    sweeps = sweeps * len(names) if len(sweeps) == 1 else sweeps
    return [
        ReconstructionConfig.parse(method=name, iterations=count.strip())
        for name, count in zip(names, sweeps, strict=True)
    ]


def load_all(paths: Sequence[Path], known: dict[str, Any]) -> list[Subject]:
    """The volumes, with what is known of the specimen."""
    names = subjects.unique_names(paths)
    return [subjects.load_subject(path, name=name, **known) for path, name in zip(paths, names, strict=True)]


def reconstruct_all(
    configs: Sequence[ReconstructionConfig], known: dict[str, Any], run: dict[str, Any], *, quiet: bool
) -> list[Subject]:
    """Run each method on the series and, where there is a folder, keep its volume.

    Parameters
    ----------
    configs : sequence of ReconstructionConfig
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

    if not configs:
        return []
    found = []
    for config in configs:
        device, _ = choose_device(run["device"], known["series"], config)  # the run tells why
        done = running.drive(known["series"], config, {"device": run["device"]}, quiet=quiet)
        record = running.run_record(run["path"], config, device, done, run["given"])
        if run["folder"] is not None:
            reporting.make_folder(run["folder"])
            running.keep(done, run["folder"] / f"{config.method}.mrc", record)
        found.append(
            Subject(name=config.method, volume=done.volume, voxel_size_angstrom=done.voxel_size_angstrom,
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
