"""Safe connections of widgets to signals, and numbers as a person would write them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from inspect import CO_VARARGS
from typing import Any
from weakref import WeakMethod, finalize

from qtpy.compat import isalive
from qtpy.QtWidgets import QGraphicsView

#: Views and scenes whose C++ half lives.
_LIVING: dict[object, tuple[Any, Any]] = {}


def follow(signal: Any, slot: Callable[..., None]) -> None:
    """Call a widget's method on a signal for as long as the widget lives.

    A widget that Qt has deleted may live on as a Python object for a while, and
    would fail when called.

    Parameters
    ----------
    signal : psygnal.SignalInstance or napari EventEmitter
    slot : bound method of a QObject
        Gets as many of the signal's arguments as it takes.
    """
    method = WeakMethod(slot)
    code = slot.__func__.__code__  # type: ignore[attr-defined]
    takes_all = bool(code.co_flags & CO_VARARGS)
    n_args = code.co_argcount - 1

    def call(*args: Any) -> None:
        target = method()
        if target is None or not isalive(target.__self__):  # type: ignore[attr-defined]
            release()
            return
        target(*(args if takes_all else args[:n_args]))

    def release(*_: object) -> None:
        with suppress(ValueError):
            signal.disconnect(call)

    signal.connect(call)
    # Not by Qt's "destroyed": PyQt6 may call into a function that is being collected with its object.
    finalize(slot.__self__, release).atexit = False  # type: ignore[attr-defined]


def outlive(graphics: QGraphicsView) -> None:
    """Keep the Python half of a pyqtgraph view for as long as its C++ half lives.

    ``deleteLater`` (of the view or of anything around it) takes away PyQt's own reference at once, but the
    C++ objects live on, and are asked for their rectangles, until the event loop comes round. A garbage
    collection in between takes the view box from under its lines, which then fail in ``boundingRect``. The
    scene's ``destroyed`` is the moment to let go: Qt sends it when the items are gone, the view's before.

    Parameters
    ----------
    graphics : pyqtgraph.GraphicsView
    """
    scene, key = graphics.scene(), object()
    _LIVING[key] = (graphics, scene)
    scene.destroyed.connect(lambda *_, living=_LIVING: living.pop(key, None))


def plain_numbers(axis: Any) -> None:
    """Write the numbers of a plot's axis as they are.

    pyqtgraph scales those below 1 by 1000 and tells it with a prefix to the unit, which our labels write
    themselves. Switching that off once there is a range scales a last time, so that is put right as well.

    Parameters
    ----------
    axis : pyqtgraph.AxisItem
    """
    axis.enableAutoSIPrefix(False)
    axis.autoSIPrefixScale, axis.labelUnitPrefix = 1.0, ""


def format_seconds(seconds: float) -> str:
    """Seconds as a person would say them: ``0.03 s``, ``0.4 s``, ``42 s``, ``3:05 min``, ``2:10 h``."""
    if seconds < 0.1:
        return f"{seconds:.1g} s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d} h"


def format_bytes(count: float) -> str:
    """Bytes in kB, MB or GB."""
    if count < 1e6:
        return f"{count / 1e3:.0f} kB"
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
