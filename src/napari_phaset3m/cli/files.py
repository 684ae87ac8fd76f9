"""``phaset3m info``, ``convert`` and ``simulate``: files in, files out."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from napari_phaset3m.cli import import_table, importing, options, overrides, running
from napari_phaset3m.errors import DataError, OutputError
from napari_phaset3m.simulate.config import SimulationConfig
from napari_phaset3m.wording import flag

#: Suffixes of MRC files that hold images, not volumes.
_STACKS = (".st", ".ali", ".mrcs")
Json = Annotated[bool, typer.Option("--json", help="Print JSON")]


def _show(record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(record, indent=2))
        return
    width = max(map(len, record))
    for key, value in record.items():
        print(f"{key:<{width}}  {'not stated' if value is None else value}")


def _describe(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    from napari_phaset3m.io.series import load_series

    if not given and _is_volume(path):
        return _describe_volume(path)
    return _describe_series(path, load_series(path, **given))


def _describe_series(path: Path, series: Any) -> dict[str, Any]:
    from napari_phaset3m.io.provenance import jsonable

    defocus = series.defocus_angstrom
    record = {
        "file": str(path),
        "n_tilt": series.n_tilt,
        "n_focus": series.n_focus,
        "image_shape_yx": series.image_shape,
        "tilt_range_deg": [series.tilt_deg.min(), series.tilt_deg.max()],
        "pixel_size_angstrom": series.pixel_size_angstrom,
        "energy_ev": series.energy_ev,
        "defocus_angstrom": None if defocus is None else defocus.mean(axis=0),
        "spherical_aberration_angstrom": series.spherical_aberration_angstrom,
        "focal_spread_angstrom": series.resolved_focal_spread_angstrom,
        "phase_shift_deg": series.phase_shift_deg,
        "normalisation": series.normalisation,
        "images_from": None if series.sections is None else str(series.sections),
        "notes": series.metadata.get("notes"),
    }
    plain: dict[str, Any] = jsonable(record)
    return plain


def _is_volume(path: Path) -> bool:
    from napari_phaset3m.io.napari_hooks import read_layers
    from napari_phaset3m.io.says_volume import says_volume
    from napari_phaset3m.io.series import read_raw
    from napari_phaset3m.io.volume import volume_format

    if volume_format(path) in (None, "tiff"):
        return False
    if says_volume(path):
        return True
    is_volume = bool(read_layers(str(path))[0][1]["metadata"]["phaset3m"]["kind"] == "volume")
    if is_volume and volume_format(path) == "mrc":
        refused = read_raw(path).refused
        if refused and not _may_be_of_its_series(path, refused):
            raise refused[0]
    return is_volume


def _may_be_of_its_series(path: Path, refused: Sequence[DataError]) -> bool:
    """Whether a volume that says nothing of itself may lie beside the angles of the series it is from."""
    from napari_phaset3m.io.mdoc import axis_angle
    from napari_phaset3m.io.mdoc_commas import axis_unread
    from napari_phaset3m.io.mrc import read_header

    angles, labels = (".tlt", ".rawtlt"), read_header(path).labels
    says_stack = any(axis_angle(label) is not None or axis_unread(label) for label in labels)
    return not (says_stack or path.suffix.lower() in _STACKS) and all(
        Path(error.path or "").suffix.lower() in angles for error in refused
    )


def _describe_volume(path: Path) -> dict[str, Any]:
    from napari_phaset3m.io.provenance import jsonable
    from napari_phaset3m.io.says_volume import says_volume
    from napari_phaset3m.io.series import read_raw
    from napari_phaset3m.io.sidecar import not_used
    from napari_phaset3m.io.volume import load_volume, volume_format

    volume = load_volume(path)
    notes = [not_used(error) for error in read_raw(path).refused] if volume_format(path) == "mrc" else []
    kind = "volume (no tilt angles are stated)"
    if notes and not says_volume(path):
        kind = "volume, or a stack whose angles cannot be used (no label of it says which)"
        notes.append("if these are images, give their angles: --tilt-angles")
    record = {
        "file": str(path),
        "kind": kind,
        "shape_zyx": volume.shape,
        "voxel_size_angstrom": volume.voxel_size_angstrom,
        "origin_zyx_angstrom": volume.origin,
        "unit": volume.unit or None,
        "least_mean_most": [float(f(volume.data)) for f in (np.min, np.mean, np.max)],
    } | ({"notes": notes} if notes else {})
    plain: dict[str, Any] = jsonable(record)
    return plain


def _info(
    series: Annotated[
        list[Path], typer.Argument(help="Series or volume; or what a microscope saved: folder, .mdoc, images")
    ],
    tolerance: importing.Tolerance = None,
    as_json: Json = False,
    **fields: Any,
) -> None:
    """Say what a series (or a volume) holds; defocus is the mean of each focus, at the rotation centre, Å.

    Of folders, mdocs, movies and several files it shows what an import recognises, image by image.
    """
    from napari_phaset3m.io.import_check import check_plan

    given = overrides.collect(fields)
    importing.check_flags(series, {"tolerance": tolerance}, None, None)
    is_alone = len(series) == 1 and tolerance is None
    if is_alone and not importing.wants_import(series):
        _show(_describe(series[0], given), as_json)
        return
    plan = importing.recognise(series, given, tolerance)
    if import_table.loading_flag(given) and is_alone and not importing.is_mixture(series):
        # A stack as it is converted: only what lies beside it asks for an import.
        loaded = importing.import_series(plan, given, plan.config, quiet=True)
        _show(_describe_series(series[0], loaded), as_json)
        return
    check_plan(plan, None, importing.beside_plan(given), is_complete=False)
    plan = import_table.with_given(plan, given)
    if as_json:
        print(json.dumps({"kind": "import", **plan.to_dict()}, indent=2))
    else:
        print("\n".join(import_table.describe(plan)))


def _check_suffix(output: Path) -> None:
    if output.suffix.lower() not in (".h5", ".hdf5", ".toml"):
        raise OutputError(f"{output}: unknown suffix. A series is saved as .h5 or .toml")


def _check_written(series: Sequence[Path], output: Path, plan: Path | None) -> None:
    _check_suffix(output)
    if plan is not None and plan.suffix.lower() != ".toml":
        raise OutputError(f"{plan}: unknown suffix. --plan is written as .toml")
    outputs = {"the output": output, "--plan": plan}
    running.check_outputs(outputs, {f"input {n}": path for n, path in enumerate(series, 1)})


def _convert(
    series: Annotated[
        list[Path],
        typer.Argument(help="A series, one stack per defocus, a folder, an .mdoc, movies, images ..."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Series file: .h5, or .toml with an .mrc")],
    bin: importing.Bin = None,
    bin_method: importing.BinMethod = None,
    crop: importing.CropText = None,
    outliers: importing.Outliers = False,
    gain: importing.Gain = None,
    tolerance: importing.Tolerance = None,
    plan: importing.PlanFile = None,
    as_json: Json = False,
    **fields: Any,
) -> None:
    """Write any series that can be read as an .h5 (or .toml) series file."""
    from napari_phaset3m.io.import_config import binned_shape
    from napari_phaset3m.io.importing import as_loaded, config_of
    from napari_phaset3m.io.series import load_series, save_series
    from napari_phaset3m.io.toml_write import write_plan

    _check_written(series, output, plan)
    given, movies = overrides.collect(fields), importing.movies_given(fields)
    size = {"bin": bin, "bin_method": bin_method, "crop": importing.crop_rectangle(crop)}
    own = {**size, "outliers": outliers, "tolerance": tolerance, "plan": plan}
    importing.check_flags(series, own, gain, movies)
    asked = outliers or any(value is not None for value in (*size.values(), gain, movies, tolerance, plan))
    if importing.wants_import(series) or asked:
        recognised = importing.recognise(series, given, tolerance, gain, movies)
        config = config_of(recognised, **size)
        importing.check_bin_method(bin_method, config.bin)
        binned_shape(recognised.image_shape, config)  # refused before anything is told or read
        data = importing.import_series(recognised, given, config, quiet=as_json, outliers=outliers)
    else:
        data = load_series(series if len(series) > 1 else series[0], **given)
    save_series(data, output)
    running.tell_doubts(data)
    if plan is not None:  # which asks for an import
        write_plan(as_loaded(recognised, data, given), config, plan)
    _show(_describe(output, {}), as_json)


info = options.with_flags(_info, overrides.parameters())
convert = options.with_flags(_convert, [*importing.movie_flags(), *overrides.parameters()])


_Aberrations = Annotated[
    str | None,
    typer.Option(
        "--aberration", metavar="VALUE", help="Krivanek coefficients, e.g. C12=50,phi12=0.3 (Å, rad)"
    ),
]
_Unstated = Annotated[
    str | None,
    typer.Option("--unstated-aberration", metavar="VALUE", help="As --aberration: acting, but not written"),
]


def _simulate(
    output: Annotated[Path, typer.Option("-o", "--output", help="Series file: .h5, or .toml with an .mrc")],
    config: Annotated[Path | None, typer.Option(help="SimulationConfig as YAML or JSON; flags win")] = None,
    mtf: Annotated[
        Path | None,
        typer.Option(help="Detector MTF: text file of two columns, fraction of Nyquist and value"),
    ] = None,
    aberrations: _Aberrations = None,
    unstated_aberrations: _Unstated = None,
    as_json: Json = False,
    **fields: Any,
) -> None:
    """Simulate a series; writes the truth beside it: parameters, potential (volts) and atoms."""
    from napari_phaset3m.core.plausible import doubtful_units
    from napari_phaset3m.io.atomic import check_output
    from napari_phaset3m.io.sidecar import read_mtf
    from napari_phaset3m.simulate.api import simulate as run

    _check_suffix(output)
    check_output(output)
    base = SimulationConfig.load(config).model_dump(exclude_unset=True) if config else {}
    if mtf is not None:
        base["acquisition"] = {**base.get("acquisition", {}), "mtf": tuple(read_mtf(mtf).T.tolist())}
    for section, name, text in (
        ("optics", "aberrations", aberrations), ("errors", "unstated_aberrations", unstated_aberrations),
    ):  # fmt: skip
        if text is not None:
            base[section] = {**base.get(section, {}), name: overrides.coefficients(text, flag(name))}
    settings = options.build(SimulationConfig, fields, base)
    optics = settings.optics
    for line in doubtful_units(optics.energy_ev, optics.spherical_aberration_angstrom):
        print(line, file=sys.stderr)
    with running.progress_bar(quiet=as_json) as show:
        result = run(settings, lambda event: show(event.text, event.fraction))
    try:
        paths = [str(path) for path in result.save(output)]
    except OutputError as error:
        raise running.RunFailed(str(error)) from error
    names = ("series", "truth", "potential", "atoms")  # vesicles have no atoms
    _show(dict(zip(names, paths, strict=False)), as_json)


#: The command with one flag for each parameter of the model.
simulate = options.with_flags(_simulate, options.parameters(SimulationConfig))
