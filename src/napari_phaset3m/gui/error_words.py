"""What panels say of an error, in one line: one that nobody foresaw with its kind, and to napari."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_phaset3m.errors import PhaseT3MError

#: Errors whose text is meant for a person.
KNOWN = (PhaseT3MError, MemoryError, OSError)


def one_line(error: object) -> str:
    """Return the text of an error as one line; its kind where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def with_kind(error: Exception) -> str:
    """Return the text of an error after its kind: ``ValueError: ...``."""
    kind, text = type(error).__name__, one_line(error)
    return text if text == kind else f"{kind}: {text}"


def error_line(error: Exception, words: Callable[[Exception], str] = one_line) -> str:
    """Return what to say of an error: its words, after its kind where nobody foresaw it."""
    text = words(error)
    return (
        text
        if isinstance(error, KNOWN) or text == type(error).__name__
        else f"{type(error).__name__}: {text}"
    )


def report(error: Exception) -> None:
    """Tell napari of an error that nobody foresaw, so that its traceback can be looked at."""
    from napari.utils.notifications import notification_manager

    notification_manager.receive_error(type(error), error, error.__traceback__)


def tried(job: Callable[[], Any]) -> tuple[Any, PhaseT3MError | None]:
    """Run something in a worker; return what it gives, or the error that its user is to be told of."""
    try:
        return job(), None
    except PhaseT3MError as error:
        return None, error
