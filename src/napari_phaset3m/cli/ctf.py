"""``phaset3m ctf``: defocus, astigmatism and phase shift of a series or of one micrograph."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from napari_phaset3m.cli import options, overrides, running
from napari_phaset3m.errors import CancelledError, ConfigError, DataError, OutputError
from napari_phaset3m.prepare.ctf.config import CtfConfig

_RANGE = "Defocus searched, Å, LOW:HIGH, underfocus positive (default: 100:40000)"
_JOINT = (
    "One defocus per tilt with the stated steps between foci, or each image by itself (default: joint where \
steps are stated)"
)
_FIGURE = "Picture (.png or .svg): Thon rings measured | fitted, averaged curve, defocus against tilt"
_SHOWN = "Image that the picture shows, TILT or TILT,FOCUS from 0 (default: lowest tilt, first focus)"
#: Fields with a flag of their own here.
_OWN_FLAGS = ("defocus_min_angstrom", "defocus_max_angstrom", "group")


def _ctf(
    series: Annotated[Path, typer.Argument(help="Tilt/focal series, or one micrograph")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Series with the defocus found: .h5, or .toml")
    ] = None,
    defocus_range: Annotated[str | None, typer.Option("--range", help=_RANGE, metavar="LOW:HIGH")] = None,
    joint: Annotated[bool | None, typer.Option("--joint/--per-image", help=_JOINT)] = None,
    figure: Annotated[Path | None, typer.Option(help=_FIGURE)] = None,
    shown: Annotated[str | None, typer.Option("--image", help=_SHOWN, metavar="TILT,FOCUS")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON")] = False,
    **fields: Any,
) -> None:
    """Fit the CTF: defocus (Å, at the rotation centre), astigmatism, phase shift, and how sure they are."""
    from napari_phaset3m.io.series import save_series

    base: dict[str, Any] = {}
    if joint is not None:
        base["group"] = "joint" if joint else "image"
    if defocus_range is not None:
        base["defocus_min_angstrom"], base["defocus_max_angstrom"] = _bounds(defocus_range)
    config = options.build(CtfConfig, {k: v for k, v in fields.items() if k not in _OWN_FLAGS}, base)
    _check_outputs(series, output, figure)
    data = _load(series, overrides.collect(fields))
    running.tell_doubts(data)
    place = _place(shown, data)
    done = _run(data, config, quiet=as_json)
    written = output if done.result.supported else None
    try:
        if written is not None:
            save_series(done.series, written)
        if figure is not None:
            _draw(figure, done, place)
    except OutputError as error:
        raise running.RunFailed(str(error)) from error
    _tell(done.result, written, figure, as_json)
    if written != output:
        raise running.RunFailed(
            f"{output} is not written: no fit can be trusted, and no defocus is stated. Widen --range, or "
            "state it (--defocus)"
        )


def _flags() -> list[Any]:
    own = [flag for flag in options.parameters(CtfConfig) if flag.name not in _OWN_FLAGS]
    return [*own, *overrides.parameters()]


#: The command with a flag for each parameter of the model and for each field of a series.
ctf = options.with_flags(_ctf, _flags())


def _bounds(text: str) -> tuple[float, float]:
    parts = text.split(":")
    try:
        low, high = (float(part) for part in parts)
        if not low < high:
            raise ValueError
    except ValueError:
        raise ConfigError(f"--range: is {text!r}. Give LOW:HIGH in Å, e.g. 100:40000") from None
    return low, high


def _check_outputs(series: Path, output: Path | None, figure: Path | None) -> None:
    from napari_phaset3m.analyse.figures.style import need_matplotlib

    if output is not None and output.suffix.lower() not in (".h5", ".hdf5", ".toml"):
        raise OutputError(f"{output}: unknown suffix. A series is saved as .h5 or .toml")
    if figure is not None:
        if figure.suffix.lower() not in (".png", ".svg"):
            raise OutputError(f"{figure}: unknown suffix. A figure is saved as .png or .svg")
        need_matplotlib()
    running.check_outputs({"the output": output, "the figure": figure}, {"the series": series})


def _load(path: Path, given: dict[str, Any]) -> Any:
    """A series; an image file without a tilt angle is one micrograph across the beam."""
    from napari_phaset3m.io.series import load_series

    try:
        return load_series(path, **given)
    except DataError as error:
        if error.field != "tilt_angles" or "is not in the file" not in error.problem:
            raise
    try:
        return load_series(path, **given, tilt_deg=[0.0])
    except DataError as error:
        if error.field != "tilt_angles":
            raise
        raise DataError(
            "holds several images and no angles", path=path, field="tilt_angles",
            remedy="Give --tilt-angles, or files with one image each",
        ) from None  # fmt: skip


def _place(text: str | None, data: Any) -> tuple[int, int]:
    """The image to show."""
    if text is None:
        tilt = int(np.argmin(np.where(data.used.any(1), np.abs(data.tilt_deg), np.inf)))
        return tilt, int(np.argmax(data.used[tilt]))
    match = re.fullmatch(r"(\d+)(?:,(\d+))?", text.strip())
    tilt, focus = (int(match[1]), int(match[2] or 0)) if match else (-1, -1)
    if not (0 <= tilt < data.n_tilt and 0 <= focus < data.n_focus):
        raise ConfigError(
            f"--image: is {text!r}. Give TILT or TILT,FOCUS from 0; there are {data.n_tilt} tilts and "
            f"{data.n_focus} foci"
        )
    return tilt, focus


def _run(data: Any, config: CtfConfig, *, quiet: bool) -> Any:
    from napari_phaset3m.jobs import RunControl
    from napari_phaset3m.prepare.ctf.api import iterate_ctf
    from napari_phaset3m.prepare.events import Done, Progress

    control = RunControl()
    with running.stop_signals(control), running.progress_bar(quiet) as show:
        for event in iterate_ctf(data, config):
            if isinstance(event, Done):
                return event
            assert isinstance(event, Progress)
            show(event.text, event.fraction)
            if control.stopped:
                raise CancelledError("stopped; nothing was written")
    raise running.RunFailed("the fit ended without a result")


def _draw(path: Path, done: Any, place: tuple[int, int]) -> None:
    from napari_phaset3m.analyse.figures.ctf_fit import ctf_fit_bytes
    from napari_phaset3m.io.atomic import atomic_path
    from napari_phaset3m.prepare.ctf.api import thon_rings

    rings = thon_rings(done.series, done.result, *place)
    content = ctf_fit_bytes(done.result, rings, *place, path.suffix.lower())
    with atomic_path(path, len(content)) as temporary:
        temporary.write_bytes(content)


def _tell(result: Any, output: Path | None, figure: Path | None, as_json: bool) -> None:
    files = {
        "series": None if output is None else str(output),
        "figure": None if figure is None else str(figure),
    }
    if as_json:
        print(json.dumps({**result.as_dict(), "files": files}, indent=2))
        return
    print("  tilt  focus   defocus      C12   phi12  conf.  resol.  method")
    for row in result.rows():
        flag = "  outlier" if row["outlier"] else ""
        note = f"  ({row['note']})" if row["note"] else ""
        print(
            f"{row['tilt_deg']:6.1f}  {row['focus']:5d}  {row['defocus_angstrom']:8.1f}"
            f" {row['c12_angstrom']:8.1f}"
            f"  {np.degrees(row['phi12_rad']):5.1f}°  {row['confidence']:5.2f}  {_angstrom(row):>6}"
            f"  {row['method']}{flag}{note}"
        )
    c12, phi12 = result.astigmatism()
    print(f"{result.message} Astigmatism of the series: C12 {c12:.0f} Å at {np.degrees(phi12):.0f}°.")
    for name in filter(None, files.values()):
        print(name)


def _angstrom(row: dict[str, Any]) -> str:
    value = row["resolution_angstrom"]
    return "-" if value is None else f"{value:.2f}"
