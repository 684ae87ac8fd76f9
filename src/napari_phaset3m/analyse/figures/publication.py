"""One figure for a paper: slices, their transforms, surface, power spectrum and FSC, at a column's width."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_phaset3m.analyse.figures.correlation import plot_fsc
from napari_phaset3m.analyse.figures.curves import plot_radial_power
from napari_phaset3m.analyse.figures.overview import PLANES, slices_of
from napari_phaset3m.analyse.figures.pictures import (
    draw_slice,
    draw_transform,
    draw_wedge,
    levels,
    round_length,
    scale_bar,
    shells,
)
from napari_phaset3m.analyse.figures.style import new_figure, sheet
from napari_phaset3m.analyse.figures.surface import draw_surface
from napari_phaset3m.analyse.fourier import log_power, radial_power_spectrum
from napari_phaset3m.analyse.fsc_curve import FscCurve
from napari_phaset3m.errors import ConfigError

#: What a figure may show, in the order in which it does.
PANELS = ("slices", "transforms", "surface", "power", "fsc")
#: All run evenly from dark to light, so that they print in grey and colour-blind readers see the same.
COLOUR_MAPS = ("gray", "gray_r", "cividis", "viridis", "magma", "inferno")
#: Column widths of most journals, mm, and the limits of what is sensible.
ONE_COLUMN_MM, TWO_COLUMNS_MM = 88.0, 180.0
WIDTHS_MM = (60.0, 400.0)
FORMATS = (".svg", ".png", ".pdf")
PAPER_DPI = 300
#: Below this width each plot gets a row of its own.
NARROW_MM = 130.0
_INCH = 25.4
#: Letters, points: journals ask for 5 to 8 in print. The smaller ones are for one column.
_POINTS, _NARROW_POINTS = 7.0, 5.6
#: Of the volume before its surface is drawn, voxels: noise would cover it.
_SMOOTHING = 0.7


@dataclass(frozen=True, slots=True)
class FigureSettings:
    """How a figure is to look.

    Parameters
    ----------
    thickness_angstrom : float
        Of the slices; one voxel at least.
    colour_map : str
        One of :data:`COLOUR_MAPS`.
    panels : tuple of str
        Out of :data:`PANELS`.
    width_mm : float
        Of the whole figure on paper.

    Raises
    ------
    ConfigError
        A value is not possible.
    """

    thickness_angstrom: float = 2.0
    colour_map: str = "gray"
    panels: tuple[str, ...] = field(default=PANELS)
    width_mm: float = TWO_COLUMNS_MM

    def __post_init__(self) -> None:
        if not 0 <= self.thickness_angstrom < 1e5:
            raise ConfigError(f"thickness_angstrom: is {self.thickness_angstrom:g}. Use 0 or more, in Å")
        if self.colour_map not in COLOUR_MAPS:
            raise ConfigError(f"colour_map: is {self.colour_map!r}. Use {', '.join(COLOUR_MAPS)}")
        unknown = [name for name in self.panels if name not in PANELS]
        if unknown or not self.panels:
            raise ConfigError(f"panels: {unknown[0] if unknown else 'none'!r}. Use {', '.join(PANELS)}")
        if not WIDTHS_MM[0] <= self.width_mm <= WIDTHS_MM[1]:
            raise ConfigError(f"width_mm: is {self.width_mm:g}. Use {WIDTHS_MM[0]:g} to {WIDTHS_MM[1]:g} mm")


def figure_publication(
    volume: np.ndarray,
    voxel_size_angstrom: float,
    settings: FigureSettings | None = None,
    *,
    unit: str = "V",
    tilt_range_deg: tuple[float, float] | None = None,
    fsc: FscCurve | None = None,
    show: Callable[[str, float], None] = lambda text, part: None,
) -> Any:
    """Draw the figure; to be called, and saved, within :func:`paper`.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`.
    voxel_size_angstrom : float
    settings : FigureSettings, optional
    unit : str
        Of the volume's values; may be empty.
    tilt_range_deg : (float, float), optional
        Lowest and highest tilt about y: outlines the missing wedge.
    fsc : FscCurve, optional
        Of two halves. Without it the panel is left out.
    show : callable
        Called with what is being drawn and the done part; may raise to end it.

    Returns
    -------
    matplotlib Figure
    """
    settings = settings or FigureSettings()
    wanted = [name for name in PANELS if name in settings.panels and (name != "fsc" or fsc is not None)]
    if not wanted:
        raise ConfigError("panels: fsc needs two half volumes, and there are none. Choose other panels")
    width = settings.width_mm / _INCH
    rows = [name for name in ("slices", "transforms") if name in wanted]
    last = [name for name in ("surface", "power", "fsc") if name in wanted]
    planes = slices_of(volume, voxel_size_angstrom, settings.thickness_angstrom) if rows else []
    picture = 0.31 * width
    narrow = settings.width_mm < NARROW_MM
    plots = [[name] for name in last] if narrow else [last] if last else []
    heights = [picture * _tallest(planes)] if "slices" in rows else []
    heights += [picture] if "transforms" in rows else []
    heights += [0.62 * width if narrow else min(0.4, 1 / len(names)) * width for names in plots]
    figure = new_figure(width, sum(heights) + 0.12 * (len(heights) + 1))
    figure.get_layout_engine().set(w_pad=0.025, h_pad=0.03, wspace=0.02, hspace=0.03)
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    letters = iter("abcdefghijk")
    for number, kind in enumerate(rows):
        show(f"drawing the {kind}", 0.1 + 0.2 * number)
        grid = parts[number].subplots(1, 3)
        if kind == "slices":
            _slices(parts[number], grid, planes, voxel_size_angstrom, settings.colour_map, unit)
        else:
            _transforms(grid, planes, voxel_size_angstrom, tilt_range_deg, 2 if narrow else 3)
        _letter(grid, letters)
    for part, names in zip(parts[len(rows) :], plots, strict=True):
        grid = np.ravel(part.subplots(1, len(names)))
        for axes, name in zip(grid, names, strict=True):
            show(f"drawing the {name}", 0.5 + 0.15 * last.index(name))
            _plot(axes, name, volume, voxel_size_angstrom, unit, fsc)
        _letter(grid, letters)
    show("writing", 0.95)
    return figure


@contextmanager
def paper(settings: FigureSettings) -> Iterator[None]:
    """Draw and save inside this block for the letters and lines of a printed column."""
    size = _NARROW_POINTS if settings.width_mm < NARROW_MM else _POINTS
    looks = {
        "font.size": size, "axes.titlesize": size, "axes.labelsize": size,
        "legend.fontsize": size - 0.6, "xtick.labelsize": size - 0.6, "ytick.labelsize": size - 0.6,
        "lines.linewidth": 1.0, "axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
        # letters stay letters: searchable, and the journal can set them
        "svg.fonttype": "none", "pdf.fonttype": 42, "font.sans-serif": ["DejaVu Sans", "Arial", "sans-serif"],
    }  # fmt: skip
    with sheet():
        import matplotlib

        with matplotlib.rc_context(looks):
            yield


def publication_bytes(figure: Any, suffix: str, record: str = "") -> bytes:
    """The figure on white paper as ``.svg``, ``.png`` or ``.pdf``, 300 dpi, ``record`` in its metadata.

    Raises
    ------
    ConfigError
        Another suffix.
    """
    if suffix not in FORMATS:
        raise ConfigError(f"{suffix or 'no suffix'}: a figure is {', '.join(FORMATS)}")
    told = {
        ".svg": {"Date": None, "Creator": "napari-phaset3m", "Description": record},
        ".png": {"Software": "napari-phaset3m", "Description": record},
        ".pdf": {"Creator": "napari-phaset3m", "Subject": record, "CreationDate": None},
    }[suffix]
    stream = io.BytesIO()
    figure.savefig(stream, format=suffix[1:], dpi=PAPER_DPI, facecolor="white", metadata=told)
    return stream.getvalue()


def _slices(
    part: Any, grid: Sequence[Any], planes: list[np.ndarray], voxel: float, colours: str, unit: str
) -> None:
    limits = levels(planes, 0.5)
    for axes, plane, name in zip(grid, planes, PLANES, strict=True):
        label = f"{name[0]} →  {name[1]} ↓"
        image = draw_slice(
            axes, plane, voxel, label=label, limits=limits, cmap=colours, light=colours.endswith("_r")
        )
    bar = part.colorbar(image, ax=list(grid), fraction=0.02, pad=0.005, shrink=0.9)
    bar.set_label(f"potential ({unit})" if unit == "V" else f"value ({unit or 'no unit'})")


def _transforms(
    grid: Sequence[Any],
    planes: list[np.ndarray],
    voxel: float,
    tilts: tuple[float, float] | None,
    rings: int,
) -> None:
    limit = 0.5 / voxel
    for axes, plane, name in zip(grid, planes, PLANES, strict=True):
        # in one column arrows would run into the name of the wedge
        label = f"k{name[0]} →  k{name[1]} ↓" if rings > 2 else f"k{name[0]} k{name[1]}"
        drawn = shells(limit, rings)
        draw_transform(axes, log_power(plane, window=True), voxel, label=label, rings=drawn)
        length = round_length(limit / 2)
        corner = (-0.9 * limit, 0.9 * limit)
        scale_bar(axes, length, corner, text=f"{length:g} Å⁻¹")
    if tilts is not None:
        draw_wedge(grid[1], tilts, limit)


def _plot(axes: Any, name: str, volume: np.ndarray, voxel: float, unit: str, fsc: FscCurve | None) -> None:
    if name == "surface":
        from scipy import ndimage

        level = draw_surface(axes, ndimage.gaussian_filter(volume, _SMOOTHING), voxel)
        axes.set_title(f"surface at {level:.3g} {unit}".rstrip())
    elif name == "power":
        frequency, power = radial_power_spectrum(volume, voxel)
        per_voxel = f"mean power ({unit}²)" if unit else "mean power"
        plot_radial_power(axes, [("", frequency, power)], ylabel=per_voxel)
        if axes.get_legend() is not None:
            axes.get_legend().remove()
    elif fsc is not None:
        plot_fsc(axes, fsc)
        # inside, where it covers least: a column has no room below
        looks = {"frameon": True, "facecolor": "white", "edgecolor": "none", "framealpha": 0.85}
        axes.legend(loc="best", handlelength=1.6, labelspacing=0.3, **looks)


def _letter(grid: Any, letters: Iterator[str]) -> None:
    for axes in grid:
        axes.annotate(
            next(letters), (0, 1), (-2, 3), xycoords="axes fraction", textcoords="offset points",
            ha="right", va="bottom", fontweight="bold", fontsize="large",
        )  # fmt: skip


def _tallest(planes: list[np.ndarray]) -> float:
    """Height over width of the tallest slice, within what a row may be."""
    return float(np.clip(max(rows / columns for rows, columns in (p.shape for p in planes)), 0.35, 1.3))
