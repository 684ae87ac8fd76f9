"""``phaset3m info``, ``convert`` and ``simulate``: files in, files out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_phaset3m.errors import OutputError

Json = Annotated[bool, typer.Option("--json", help="Print JSON")]


def _show(record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(record, indent=2))
        return
    width = max(map(len, record))
    for key, value in record.items():
        print(f"{key:<{width}}  {'not stated' if value is None else value}")


def _describe(path: Path) -> dict[str, Any]:
    from napari_phaset3m.io.provenance import jsonable
    from napari_phaset3m.io.series import load_series

    series = load_series(path)
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
        "normalisation": series.normalisation,
        "notes": series.metadata.get("notes"),
    }
    plain: dict[str, Any] = jsonable(record)
    return plain


def info(series: Annotated[Path, typer.Argument(help="Tilt/focal series")], as_json: Json = False) -> None:
    """Say what a series holds; defocus is the mean of each focus, at the rotation centre, Å."""
    _show(_describe(series), as_json)


def convert(
    series: Annotated[list[Path], typer.Argument(help="A series, or one stack per defocus")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Series file, .h5")],
    pixel_size: Annotated[float | None, typer.Option(help="Pixel, Å, instead of the file's")] = None,
    energy: Annotated[float | None, typer.Option(help="Accelerating voltage, V, instead of the file's")] = None,
    tilts: Annotated[Path | None, typer.Option(help="Angles: .tlt or .rawtlt, degrees")] = None,
    as_json: Json = False,
) -> None:
    """Write any series that can be read as an .h5 series file."""
    from napari_phaset3m.io.atomic import check_output
    from napari_phaset3m.io.series import load_series, save_series

    check_output(output)
    given = {"pixel_size_angstrom": pixel_size, "energy_ev": energy, "tilt_deg": tilts}
    overrides = {key: value for key, value in given.items() if value is not None}
    data = load_series(series if len(series) > 1 else series[0], **overrides)
    save_series(data, output)
    _show(_describe(output), as_json)


def simulate(
    output: Annotated[Path, typer.Option("-o", "--output", help="Series file, .h5")],
    config: Annotated[Path | None, typer.Option(help="SimulationConfig as YAML or JSON")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of orientation, film, errors and noise")] = None,
    as_json: Json = False,
) -> None:
    """Simulate a series; writes the true potential (V) and the truth beside it."""
    from napari_phaset3m.io.atomic import check_output, write_text
    from napari_phaset3m.io.provenance import jsonable
    from napari_phaset3m.io.series import save_series
    from napari_phaset3m.io.volume import save_volume
    from napari_phaset3m.simulate.api import simulate as run
    from napari_phaset3m.simulate.config import SimulationConfig

    if output.suffix.lower() not in (".h5", ".hdf5"):
        raise OutputError(f"{output}: unknown suffix. A series is saved as .h5")
    truth_volume = output.with_name(f"{output.stem}_truth_V.mrc")
    truth_json = output.with_name(f"{output.stem}_truth.json")
    for path in (output, truth_volume, truth_json):
        check_output(path)
    settings = SimulationConfig.load(config) if config else SimulationConfig()
    if seed is not None:
        settings = SimulationConfig.parse(**{**settings.model_dump(), "seed": seed})
    result = run(settings)
    save_series(result.series, output)
    save_volume(result.truth_potential, truth_volume)
    write_text(truth_json, json.dumps(jsonable(result.truth), indent=2) + "\n")
    _show({"series": str(output), "potential": str(truth_volume), "truth": str(truth_json)}, as_json)
