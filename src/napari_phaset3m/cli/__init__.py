"""The command line: ``phaset3m``. Exit codes: 0 done, 2 usage or bad input, 1 failed run."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from napari_phaset3m.cli import (
    align,
    analyse,
    compare,
    ctf,
    demo,
    figure,
    files,
    mask,
    optimise,
    prepare,
    reconstruct,
    running,
    system,
    watch,
)
from napari_phaset3m.cli.flag_words import command_named, flags_of, in_flags, with_flags
from napari_phaset3m.errors import CancelledError, DivergedError, PhaseT3MError

app = typer.Typer(
    name="phaset3m",
    help="3D phase-retrieval electron tomography. Lengths in Å, tilt in degrees. "
    "Any command takes --debug to show the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("info")(files.info)
app.command("convert")(files.convert)
app.command("import", hidden=True)(files.convert)  # the window's word for it
app.command("simulate")(files.simulate)
app.command("prepare")(prepare.prepare)
app.command("align")(align.align)
app.command("ctf")(ctf.ctf)
app.command("optimise")(optimise.optimise)
app.command("reconstruct")(reconstruct.reconstruct)
app.command("mask")(mask.mask)
app.command("analyse")(analyse.analyse)
app.command("compare")(compare.compare)
app.command("figure")(figure.figure)
app.command("film")(figure.film)
app.command("demo")(demo.demo)
app.command("doctor")(system.doctor)
app.command("view")(system.view)
app.command("watch")(watch.watch)


def _told(error: PhaseT3MError, given: Sequence[str]) -> str:
    """The error as one line, with the flags of the command in place of fields."""
    text, command = " ".join(str(error).split()), command_named(app, given)
    if command is None:
        return text
    flags, remedy = flags_of(command), " ".join((getattr(error, "remedy", None) or "").split())
    if remedy and text.endswith(remedy):  # what to do is done on the command line, also about a file
        return f"{in_flags(text.removesuffix(remedy), flags)}{with_flags(remedy, flags)}"
    return in_flags(text, flags)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a user's mistake is told in one line."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [item for item in given if item != "--debug"]
    try:
        code = app(given, prog_name="phaset3m", standalone_mode=False)
    except PhaseT3MError as error:
        if debug:
            raise
        print(f"phaset3m: {_told(error, given)}", file=sys.stderr)
        return 1 if isinstance(error, DivergedError | CancelledError | running.RunFailed) else 2
    except KeyboardInterrupt:
        print("phaset3m: stopped", file=sys.stderr)
        return 1
    except PermissionError as error:
        if debug:
            raise
        print(
            f"phaset3m: {error.filename}: may not be read or written. Check its permissions", file=sys.stderr
        )
        return 2
    except Exception as error:
        # Typer may carry a click of its own: its usage errors are known by what they can do.
        if debug:
            raise
        if hasattr(error, "format_message"):
            print(f"phaset3m: {error.format_message()}", file=sys.stderr)
            return 2
        name = type(error).__name__
        print(f"phaset3m: unexpected {name}: {error}. --debug shows where", file=sys.stderr)
        return 1
    return code if isinstance(code, int) else 0
