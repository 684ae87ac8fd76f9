"""Small Qt helpers: safe connections to the session, and the theme's colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakMethod

from psygnal import SignalInstance
from qtpy.compat import isalive


def follow(signal: SignalInstance, slot: Callable[..., None]) -> None:
    """Call a widget's method on a session signal for as long as the widget lives.

    Parameters
    ----------
    signal : psygnal.SignalInstance
    slot : bound method of a QObject
        Gets as many of the signal's arguments as it takes.
    """
    method = WeakMethod(slot)
    n_args = slot.__func__.__code__.co_argcount - 1  # type: ignore[attr-defined]

    def call(*args: Any) -> None:
        target = method()
        if target is None or not isalive(target.__self__):  # type: ignore[attr-defined]
            signal.disconnect(call, missing_ok=True)
            return
        target(*args[:n_args])

    signal.connect(call)


@dataclass(frozen=True)
class Colours:
    """The theme's colours as ``#rrggbb``."""

    background: str
    foreground: str
    text: str
    accent: str
    warning: str
    error: str


def theme_colours() -> Colours:
    """Colours of napari's present theme."""
    from napari.settings import get_settings
    from napari.utils.theme import get_theme

    theme = get_theme(get_settings().appearance.theme)
    names = ("background", "foreground", "text", "current", "warning", "error")
    return Colours(*(getattr(theme, name).as_hex(format="long") for name in names))


def on_theme_change(slot: Callable[..., None]) -> None:
    """Call a widget's method when the user changes napari's theme."""
    from napari.settings import get_settings

    method = WeakMethod(slot)
    emitter = get_settings().appearance.events.theme

    def call(event: object = None) -> None:
        target = method()
        if target is None or not isalive(target.__self__):  # type: ignore[attr-defined]
            emitter.disconnect(call)
            return
        target()

    emitter.connect(call)


def format_seconds(seconds: float) -> str:
    """Seconds as a person would say them: ``0.4 s``, ``42 s``, ``3:05 min``, ``2:10 h``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d} h"


def format_bytes(count: float) -> str:
    """Bytes in MB or GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
