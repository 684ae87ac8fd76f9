"""The life of a vispy canvas in a dock: it ends with its OpenGL context, and turns no event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

import qtpy
from qtpy.QtCore import QTimer


def new_canvas(on_lost: Callable[[], None]) -> Any:
    """Make a black ``vispy.scene.SceneCanvas`` for the binding in use.

    Parameters
    ----------
    on_lost : bound method
        Called, a turn of the event loop later, when the canvas got another OpenGL context: its textures and
        programs went with the old one, and it draws nothing any more. Its object is held weakly.

    Notes
    -----
    A dock that floats, or is docked again, changes its window, and Qt may give an OpenGL widget a new context
    for it. vispy does not notice: it would draw with the names of textures that are gone, which is an
    OpenGL error at best, and with PyQt6 painting comes before the dock is told that it is shown.
    """
    from vispy import app, scene

    canvas = scene.SceneCanvas(keys=None, bgcolor="black", app=app.use_app(qtpy.API_NAME))
    widget, lost = canvas.native, WeakMethod(on_lost)
    contexts: list[None] = []

    def initialised(_event: Any) -> None:
        contexts.append(None)
        if len(contexts) == 2:
            _silence(widget)
            QTimer.singleShot(0, lambda: (method := lost()) and method())

    canvas.events.initialize.connect(initialised)
    return canvas


def discard(canvas: Any) -> None:
    """Take a canvas out of its window for good; safe within any event handler, and twice.

    ``canvas.close()`` would turn the event loop, in the middle of a hide or close event, with the canvas
    half gone. Qt deletes the widget, and with it context and textures, when the loop comes round.
    """
    from qtpy.compat import isalive
    from vispy.gloo.context import forget_canvas

    forget_canvas(canvas)
    widget = canvas.native
    if isalive(widget):
        _silence(widget)
        widget.hide()
        widget.deleteLater()


def _silence(widget: Any) -> None:
    widget._vispy_canvas = None  # vispy's own sign to its Qt widget that there is nothing to draw or tell
