"""Results as curves: what is drawn, whatever draws it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_phaset3m.analyse.fsc import half_bit_threshold
from napari_phaset3m.gui.analyse.compute import FscResult, OpticsResult

if TYPE_CHECKING:
    from napari_phaset3m.gui.theme import Colours

Dash = Literal["solid", "dash", "dashdot", "dot"]
#: In this order curves differ without their colours too.
DASHES: tuple[Dash, ...] = ("solid", "dash", "dashdot", "dot")
SYMBOLS = ("o", "s", "t", "d")


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One curve, or points with a symbol.

    Attributes
    ----------
    name : str
        In the legend.
    x, y : ndarray
    colour : int
        Which of the theme's colours; -1: that of text.
    dash : {"solid", "dash", "dashdot", "dot"}
    symbol : str
        Points instead of a line when not empty.
    width : float
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    colour: int = 0
    dash: Dash = "solid"
    symbol: str = ""
    width: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CurvePlot:
    """One plot.

    Attributes
    ----------
    curves : tuple of Curve
    xlabel, ylabel : str
        With units.
    frequency : bool
        x is in 1/Å; resolutions are written on top.
    log_y : bool
    resolution_y : bool
        y is in 1/Å and written as resolutions.
    levels : tuple of (float, str)
        Horizontal lines with their labels.
    marks : tuple of (float, str)
        Places along x with their labels.
    regions : tuple of (float, float)
        Shaded parts of x.
    band : tuple of ndarray or None
        (x, bound): shaded from -bound to bound. Marks then stand in the legend, for the curves of such a
        plot leave no room.
    band_name : str
        In the legend.
    y_range : tuple of float or None
    title : str
        What it is called where it stands for several.
    """

    curves: tuple[Curve, ...]
    xlabel: str
    ylabel: str
    frequency: bool = False
    log_y: bool = False
    resolution_y: bool = False
    levels: tuple[tuple[float, str], ...] = ()
    marks: tuple[tuple[float, str], ...] = ()
    regions: tuple[tuple[float, float], ...] = ()
    band: tuple[np.ndarray, np.ndarray] | None = None
    band_name: str = "noise bound"
    y_range: tuple[float, float] | None = None
    title: str = ""


def colour_of(curve: Curve, colours: Colours) -> str:
    """A curve's colour in a theme."""
    return colours.text if curve.colour < 0 else colours.curves[curve.colour % len(colours.curves)]


_FREQUENCY = "frequency (1/Å)"
_CRITERIA = ((0.5, "0.5"), (0.143, "0.143"))


def fsc_plots(result: FscResult) -> list[CurvePlot]:
    """All directions with criteria and noise bound; the wedge; the cones."""
    plots = [_fsc_plot(result.curve, result.free)]
    if result.wedge is not None:
        plots.append(_wedge_plot(result.wedge))
    plots.append(_cone_plot(result.cones))
    return plots


def _wedge_plot(both: Any) -> CurvePlot:
    """Half-bit curve and noise bound are the wedge's: it holds fewer voxels, so they lie higher."""
    pair, wedge = (("measured", both.measured), ("missing wedge", both.wedge)), both.wedge
    k = wedge.frequency_per_angstrom
    curves = [Curve(name, k, curve.best, i, DASHES[i]) for i, (name, curve) in enumerate(pair)]
    curves.append(Curve("half-bit, wedge", k, half_bit_threshold(wedge.n_effective), -1, width=1.0))
    return CurvePlot(
        curves=tuple(curves), xlabel=_FREQUENCY, ylabel="FSC", frequency=True, levels=_CRITERIA,
        band=(k, wedge.noise_bound), band_name="noise bound, wedge", y_range=(-0.15, 1.05),
        title="Missing wedge",
    )  # fmt: skip


def _fsc_plot(curve: Any, free: Any = None) -> CurvePlot:
    k = curve.frequency_per_angstrom
    if curve.corrected is None:
        name = "no mask" if curve.mask_name == "none" else "masked"
        curves = [Curve(name, k, curve.fsc, 0, width=2.5)]
    else:
        parts = (
            ("corrected", curve.corrected, 2.5), ("masked", curve.fsc, 1.5),
            ("no mask", curve.unmasked, 1.5), ("random phases", curve.randomised, 2.0),
        )  # fmt: skip
        curves = [
            Curve(name, k, y, i, DASHES[i], width=width)
            for i, (name, y, width) in enumerate(parts)
            if y is not None
        ]
    if free is not None:
        curves.append(Curve("without priors", free.frequency_per_angstrom, free.best, 4, "dash", width=2))
    curves.append(Curve("half-bit", k, curve.threshold("half-bit"), -1, width=1.0))
    found = curve.resolution("0.143")
    more = " or better" if found.at_least else ""
    text = "" if found.angstrom is None else f"{found.angstrom:.3g} Å{more} at 0.143"
    return CurvePlot(
        curves=tuple(curves), xlabel=_FREQUENCY, ylabel="FSC", frequency=True, levels=_CRITERIA,
        marks=((1 / found.angstrom, text),) if found.angstrom is not None else (),
        band=(k, curve.noise_bound), y_range=(-0.15, 1.05), title="All directions",
    )  # fmt: skip


def _cone_plot(cones: Any) -> CurvePlot:
    rows = cones.rows()
    angle = np.array([row["angle_to_beam_deg"] for row in rows])
    # no resolution is drawn at frequency 0, so that one bad direction does not flatten the others
    value = np.array([1 / (row["resolution_angstrom"] or np.inf) for row in rows], float)
    wedge = np.array([bool(row.get("in_wedge", False)) for row in rows])
    parts = (("measured" if wedge.any() else "directions", ~wedge), ("missing wedge", wedge))
    curves = tuple(
        Curve(name, angle[some], value[some], i, symbol=SYMBOLS[i])
        for i, (name, some) in enumerate(parts)
        if some.any()
    )
    top = 1.08 * float(value.max(initial=0.1))
    return CurvePlot(
        curves=curves, xlabel="angle to beam (°)", ylabel="Å at FSC 0.143", resolution_y=True,
        y_range=(-0.04 * top, top), title="By direction",
    )  # fmt: skip


def spectrum_plots(result: Any) -> list[CurvePlot]:
    """Power on a logarithmic scale; families of which half was found are marked."""
    k, power = result.frequency_per_angstrom, np.where(result.power > 0, result.power, np.nan)
    marks = tuple((m.frequency_per_angstrom, m.name) for m in result.marks if 2 * m.found >= m.total)
    return [
        CurvePlot(
            curves=(Curve("mean power", k, power),), xlabel=_FREQUENCY, ylabel="mean power per voxel",
            frequency=True, log_y=True, marks=marks,
        )
    ]  # fmt: skip


def wedge_plots(result: Any) -> list[CurvePlot]:
    """Power in the wedge over power outside."""
    ratio = np.where(result.power_ratio > 0, result.power_ratio, np.nan)
    return [
        CurvePlot(
            curves=(Curve("missing wedge ÷ measured", result.frequency_per_angstrom, ratio),),
            xlabel=_FREQUENCY, ylabel="ratio of mean power", frequency=True, log_y=True,
            levels=((1.0, "as full"),),
        )
    ]  # fmt: skip


def profile_plots(result: Any) -> list[CurvePlot]:
    """Values along the line."""
    curve = Curve("along the line", result.distance_angstrom, result.value)
    return [CurvePlot(curves=(curve,), xlabel="distance (Å)", ylabel="value")]


def optics_plots(result: OpticsResult) -> list[CurvePlot]:
    """Transfer of each focus, and the SSNR of all with what it leaves out."""
    curves = []
    for i, one in enumerate(result.curves[:8]):
        name = f"{one.defocus_angstrom / 10:.4g} nm"
        curves.append(Curve(name, one.frequency_per_angstrom, one.transfer, i % 4, DASHES[i % 4], width=1.5))
    first, total = result.curves[0], result.together
    curves.append(Curve("envelope", first.frequency_per_angstrom, first.envelope, -1, "dot", width=1.2))
    limit = first.information_limit_per_angstrom
    k, n = total.frequency_per_angstrom, len(total.defocus_angstrom)
    ssnr = (
        Curve("one focus" if n == 1 else f"all {n} foci", k, total.ssnr),
        Curve("limit of the envelopes", k, total.envelope, 1, "dash", width=1.5),
    )
    return [
        CurvePlot(
            curves=tuple(curves), xlabel=_FREQUENCY, ylabel="contrast transfer", frequency=True,
            levels=((0.0, ""),), y_range=(-1.05, 1.05), title="Transfer",
            marks=() if limit is None else ((limit, "information limit"),),
        ),
        CurvePlot(
            curves=ssnr, xlabel=_FREQUENCY, ylabel="SSNR ÷ image's S/N", frequency=True,
            regions=tuple(total.gaps()), title="SSNR",
        ),
    ]  # fmt: skip


def atom_plots(found: Any) -> list[CurvePlot]:
    """How many atoms of each species have which intensity."""
    atoms, curves = found.atoms, []
    edges = np.histogram_bin_edges(atoms.intensity, bins=min(40, max(5, len(atoms) // 4)))
    middle = (edges[:-1] + edges[1:]) / 2
    for i in range(int(atoms.species.max()) + 1):
        some = atoms.species == i
        count, _ = np.histogram(atoms.intensity[some], edges)
        curves.append(Curve(f"species {i}: {int(some.sum())}", middle, count.astype(float), i, DASHES[i % 4]))
    return [CurvePlot(curves=tuple(curves), xlabel="intensity (integral of the Gaussian)", ylabel="atoms")]


#: Topic -> how its result is drawn.
PLOTS: dict[str, Callable[[Any], list[CurvePlot]]] = {
    "fsc": fsc_plots, "spectrum": spectrum_plots, "wedge": wedge_plots, "profile": profile_plots,
    "optics": optics_plots, "atoms": atom_plots,
}  # fmt: skip
