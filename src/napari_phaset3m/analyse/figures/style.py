"""One look for all figures: colours told apart by everybody, line styles that print in grey.

Colours are those of Okabe and Ito (2008), "Color Universal Design", without yellow and
black, which vanish on white or dark paper. Curves also differ in their line style.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from napari_phaset3m.errors import ConfigError

BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
PURPLE, ORANGE, SKY = "#CC79A7", "#E69F00", "#56B4E9"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
LINES: tuple[Any, ...] = (
    "-",
    (0, (6, 2)),
    (0, (6, 2, 1, 2)),
    (0, (1.5, 1.5)),
    (0, (9, 3)),
    (0, (3, 1, 1, 1)),
)
MARKERS = ("o", "s", "^", "D", "v", "P")
#: Text, axes and criterion lines. An SVG on a page (:func:`inline`) shows it in the page's own text colour.
INK = "#3b3f45"
#: What is written on a picture.
LIGHT, DARK = "#f1f3f4", "#101214"
_DPI = 160


def line(index: int) -> dict[str, Any]:
    """Colour and line style of the curve with this number; both repeat after six."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": LINES[index % len(LINES)]}


@contextmanager
def sheet() -> Iterator[None]:
    """Draw inside this block for the report's fonts, grid and ink."""
    need_matplotlib()
    import matplotlib

    settings = {
        "font.size": 9.5, "axes.titlesize": 10.5, "axes.labelsize": 9.5, "legend.fontsize": 8.5,
        "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK,
        "ytick.color": INK, "axes.titlecolor": INK, "axes.spines.top": False, "axes.spines.right": False,
        "axes.grid": True, "grid.color": INK, "grid.alpha": 0.14, "grid.linewidth": 0.6,
        "axes.facecolor": "none", "figure.facecolor": "none", "legend.frameon": False,
        "lines.linewidth": 1.7, "axes.linewidth": 0.8, "svg.fonttype": "path", "svg.hashsalt": "phaset3m",
    }  # fmt: skip
    with matplotlib.rc_context(settings):
        yield


def new_figure(width: float = 6.4, height: float = 3.9) -> Any:
    """An empty figure (inches) with a canvas of its own, so that no window and no global state is touched."""
    need_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def need_matplotlib() -> None:
    """Raise :class:`ConfigError` with the remedy when matplotlib is not installed."""
    import importlib.util

    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError("Figures need matplotlib: pip install 'napari-phaset3m[figures]'")


def to_png(figure: Any, dpi: int = _DPI) -> bytes:
    """The figure on white paper."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return stream.getvalue()


def to_svg(figure: Any) -> str:
    """The figure as SVG text without paper: pictures embedded, letters as paths, nothing external."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", dpi=_DPI, facecolor="none", metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def on_paper(svg: str) -> str:
    """An SVG of :func:`to_svg` on white paper, as a file of its own."""
    start = svg.index(">", svg.index("<svg")) + 1
    return f'{svg[:start]}\n <rect width="100%" height="100%" fill="white"/>{svg[start:]}'


def inline(svg: str, name: str) -> str:
    """An SVG of :func:`to_svg` for a web page: without XML head and fixed size, with ids of its own.

    Parameters
    ----------
    svg : str
    name : str
        Put before every id, so that several figures can share one page. :data:`INK` becomes
        ``currentColor``.
    """
    text = svg[svg.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{name}-", text)
    text = re.sub(r'<svg([^>]*?) width="[\d.]+pt" height="[\d.]+pt"', r"<svg\1", text, count=1)
    # The page may lighten the blue where its paper is dark.
    text = re.sub(BLUE, f"var(--blue, {BLUE})", text, flags=re.IGNORECASE)
    return re.sub(INK, "currentColor", text, flags=re.IGNORECASE)


def legend_columns(axes: Any, most: int = 2) -> int:
    """Columns of a legend below the axes: one where a label is so long that two would not fit."""
    labels = axes.get_legend_handles_labels()[1]
    return most if max((len(label) for label in labels), default=0) <= 36 else 1
