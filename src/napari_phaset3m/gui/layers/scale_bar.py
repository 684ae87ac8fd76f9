"""napari's scale bar in units that people use: 100 nm and 0.2 Å, where napari writes 1 kÅ and 200 mÅ.

napari puts any prefix before the unit of the layers, and offers no say in it: the text is corrected where
it is drawn. Where another napari draws differently nothing is found, and its own text stays.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel

_TEXT = re.compile(r"([\d.e+-]+)\s*([kMm])Å$")
#: Factor and unit in place of a prefix before Å.
_INSTEAD = {"k": (100.0, "nm"), "M": (100.0, "µm"), "m": (1e-3, "Å")}
_DONE = "_phaset3m_plain"


def plain_length(text: str) -> str:
    """``1 kÅ`` as ``100 nm``, ``200 mÅ`` as ``0.2 Å``; anything else as it is."""
    match = _TEXT.match(text)
    if match is None:
        return text
    factor, unit = _INSTEAD[match[2]]
    return f"{float(match[1]) * factor:g} {unit}"


def write_plainly(viewer: ViewerModel) -> None:
    """Let the scale bars that a viewer draws now have plain units; those done already stay so."""
    window = getattr(viewer, "window", None)
    canvas = getattr(getattr(window, "_qt_viewer", None), "canvas", None)
    drawn = getattr(canvas, "_viewer_overlay_to_visual", {})
    for visual in drawn.get(viewer.canvas.overlays.scale_bar, ()):
        if not hasattr(visual, _DONE) and hasattr(visual, "_on_rendering_change"):
            setattr(visual, _DONE, True)
            _correct(visual)


def _correct(visual: Any) -> None:
    draw = type(visual)._on_rendering_change  # napari's last step after each change of length or unit

    def drawn_plainly() -> None:
        text = getattr(visual.node, "text", None)
        if text is not None and isinstance(text.text, str):
            text.text = plain_length(text.text)
        draw(visual)

    visual._on_rendering_change = drawn_plainly
    drawn_plainly()
