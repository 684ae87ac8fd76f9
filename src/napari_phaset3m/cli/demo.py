"""``phaset3m demo``: the sample series, in napari or, without a display, headless."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_phaset3m.cli import running, system
from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.errors import DataError, OutputError

#: Sweeps of the demo: the sample's planes and most atoms are clear after these.
SWEEPS = 20


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results")] = Path(
        "demo-output"
    ),
    series: Annotated[Path | None, typer.Option(help="Another series than the Co3O4 sample")] = None,
    iterations: Annotated[int, typer.Option(help="Sweeps over all tilts")] = SWEEPS,
    napari: Annotated[
        bool | None, typer.Option("--napari/--headless", help="Default: napari where there is a display")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Reconstruct the Co3O4 sample series, live in napari, or headless into files."""
    from napari_phaset3m.sample import sample_path

    config = ReconstructionConfig.parse(iterations=iterations)
    path = series or sample_path()
    if napari or (napari is None and system.has_display()):
        _in_napari(path, config)
        return
    files = _headless(path, config, output, quiet=as_json)
    if as_json:
        print(json.dumps(files, indent=2))
        return
    print("Written:")
    for name, file in files.items():
        print(f"  {name:<16} {file}")


def _in_napari(path: Path, config: ReconstructionConfig) -> None:
    if not path.exists():
        raise DataError("does not exist", path=path)
    system.window("Or run it with --headless").open_workspace(path, start=True, config=config)


def _headless(path: Path, config: ReconstructionConfig, folder: Path, *, quiet: bool) -> dict[str, str]:
    from napari_phaset3m.core.backend import resolve_device
    from napari_phaset3m.io.series import load_series

    data = load_series(path)
    files = _files(folder, path.stem.removesuffix("_sample"))
    device = resolve_device("auto")
    if not quiet:
        text = f"{path.name}: {data.n_tilt} tilts x {data.n_focus} foci, {device.label}; no window"
        print(text, file=sys.stderr)
    done = running.drive(data, config, {"device": device}, quiet=quiet)
    running.keep(done, files["volume"], running.run_record(path, config, device, done))
    try:
        write_fourier_slices(done, files["Fourier slices"])
        _draw(done, path.stem.replace("_", " "), files)
    except OSError as error:
        raise running.RunFailed(f"{folder}: cannot be written ({error})") from error
    return {name: str(file) for name, file in files.items()}


def _files(folder: Path, stem: str) -> dict[str, Path]:
    from napari_phaset3m.core.install import install_command
    from napari_phaset3m.io.atomic import output_error

    files = {
        "volume": folder / f"{stem}.mrc",
        "record": folder / f"{stem}.json",
        "Fourier slices": folder / f"{stem}_fourier.tif",
    }
    if importlib.util.find_spec("matplotlib"):
        files["figure"] = folder / f"{stem}.png"
    else:
        print(f"No figure without matplotlib: {install_command('figures')}", file=sys.stderr)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    running.check_outputs(dict(files), {})
    return files


def write_fourier_slices(done: Any, path: Path) -> None:
    """Three pages, xy, xz and yz, through the origin of the volume's log-power transform.

    By the projection-slice theorem each is the power spectrum of a projection, so the
    missing wedge shows in xz. Pages are padded to one shape with the lowest value.

    Raises
    ------
    OutputError
    """
    import numpy as np
    import tifffile

    from napari_phaset3m.analyse.fourier import DECADES, log_power
    from napari_phaset3m.io.atomic import atomic_path

    power = log_power(done.volume)
    z, y, x = (n // 2 for n in power.shape)
    planes = (power[z], power[:, y], power[:, :, x])
    shape = np.max([plane.shape for plane in planes], axis=0)
    pages = np.full((3, *shape), -DECADES, np.float32)
    for page, plane in zip(pages, planes, strict=True):
        corner = [(big - small + 1) // 2 for big, small in zip(shape, plane.shape, strict=True)]
        page[corner[0] : corner[0] + plane.shape[0], corner[1] : corner[1] + plane.shape[1]] = plane
    text = {"planes": "kx ky, kx kz, ky kz", "unit": "log10 of power relative to the strongest term",
            "voxel_size_angstrom": done.voxel_size_angstrom}  # fmt: skip
    try:
        with atomic_path(path, pages.nbytes) as temporary:
            tifffile.imwrite(temporary, pages, photometric="minisblack", metadata=text)
    except OutputError as error:
        raise running.RunFailed(str(error)) from error


def _draw(done: Any, title: str, files: dict[str, Path]) -> None:
    if "figure" not in files:
        return
    from napari_phaset3m.cli.demo_figure import draw
    from napari_phaset3m.io.atomic import atomic_path

    with atomic_path(files["figure"]) as temporary:
        draw(done, title, temporary)
