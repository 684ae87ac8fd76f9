"""Reports and half volumes from the window to files, in a worker thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_phaset3m.gui.analyse.inputs import Halves, Inputs, cell_text, made_by, subject_of

if TYPE_CHECKING:
    from napari_phaset3m.report.subject import Subject
    from napari_phaset3m.session import RunRecord


def write(
    path: Path,
    inputs: Inputs,
    record: RunRecord | None,
    series_path: Path | None,
    show: Callable[[str, float], None],
) -> Path:
    """Measure everything and write the page.

    Parameters
    ----------
    path : Path
        ``.html``.
    inputs : Inputs
    record : RunRecord or None
        The run that the volume came from.
    series_path : Path or None
    show : callable
        Called with what is being done and the done part; may raise to end it.

    Raises
    ------
    PhaseT3MError
        The volume does not fit its mask or halves, or the file cannot be written.
    """
    from napari_phaset3m.analyse.figures.style import need_matplotlib
    from napari_phaset3m.io.provenance import provenance
    from napari_phaset3m.report import write_report
    from napari_phaset3m.report.analysis import analyse

    need_matplotlib()
    source = inputs.source
    subject = subject_of(inputs, made_by(record, None if source is None else source.path))
    known = [source.path if source is not None else None, series_path if inputs.series is not None else None]
    files = [p for p in known if p is not None and p.exists()]
    settings = _settings(inputs, subject)
    report = analyse(subject, provenance(files, settings), lambda text, part: show(text, 0.9 * part))
    show("drawing", 0.9)
    return write_report(report, path)


def _settings(inputs: Inputs, subject: Subject) -> dict[str, Any]:
    return {
        "volume": subject.name,
        "cell": cell_text(inputs.cell) or "fitted to the peaks",
        "mask": subject.mask_text,
        "halves_are": subject.halves_name or None,
        "slice_angstrom": subject.thickness_angstrom,
        "species": inputs.species,
        "model": None if inputs.model is None else inputs.model.name,
        "aperture_mrad": inputs.aperture_mrad or None,
        "ssnr_defoci_angstrom": list(inputs.ssnr_defoci_angstrom) or "the series' own",
        "voxel_size_angstrom": subject.voxel_size_angstrom,
    }


def save_halves(halves: Halves, path: Path, series_path: Path | None, fsc: Any = None) -> tuple[Path, ...]:
    """Write both volumes beside a name: ``VOL_half1.mrc``, ``VOL_half2.mrc``, each with its record.

    Parameters
    ----------
    halves : Halves
    path : Path
        ``VOL.mrc``; not written itself.
    series_path : Path or None
    fsc : FscCurve, optional
        Written as ``VOL_fsc.csv``.

    Raises
    ------
    OutputError
    """
    from napari_phaset3m.io.atomic import write_text
    from napari_phaset3m.io.provenance import provenance, provenance_path
    from napari_phaset3m.io.volume import Volume, save_volume
    from napari_phaset3m.report.write import csv_text

    stem = provenance_path(path).with_suffix("")
    suffix = path.name[len(stem.name) :]
    written = []
    for number, data in enumerate(halves.volumes, 1):
        extra = dict(halves.record) | {"half": number, "halves_are": halves.name, "notes": halves.notes}
        config = extra.pop("parameters", None)
        volume = Volume(data=data, voxel_size_angstrom=halves.voxel_size_angstrom, unit=halves.unit)
        target = stem.with_name(f"{stem.name}_half{number}{suffix}")
        written.append(save_volume(volume, target, provenance(series_path, config, **extra)))
    if fsc is not None:
        written.append(stem.with_name(f"{stem.name}_fsc.csv"))
        write_text(written[-1], csv_text(fsc.rows()))
    return tuple(written)
