"""Atoms: where they are, how intense, and how far from a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_phaset3m.analyse.figures.style import (
    COLOURS,
    INK,
    MARKERS,
    VERMILLION,
    legend_columns,
    new_figure,
)

if TYPE_CHECKING:
    from napari_phaset3m.analyse.atom_match import AtomMatch
    from napari_phaset3m.analyse.atoms import Atoms

_VIEWS = ((0, 1, "x", "y"), (0, 2, "x", "z"), (1, 2, "y", "z"))


def figure_positions(atoms: Atoms, names: Sequence[str], model: np.ndarray | None = None) -> Any:
    """All atoms projected along z, y and x; those of a model as small crosses.

    Parameters
    ----------
    atoms : Atoms
    names : sequence of str
        Of the species.
    model : ndarray, optional
        `(m, 3)` x, y, z in angstrom.
    """
    figure = new_figure(10.2, 3.9)
    grid = figure.subplots(1, 3)
    for axes, (i, j, across, down) in zip(grid, _VIEWS, strict=True):
        if model is not None:
            axes.plot(model[:, i], model[:, j], "x", color=VERMILLION, ms=2.5, mew=0.7, ls="none",
                      label="model", zorder=3)  # fmt: skip
        for number, name in enumerate(names):
            place = atoms.positions_angstrom[atoms.species == number]
            axes.plot(place[:, i], place[:, j], MARKERS[number % 6], ls="none", mfc="none",
                      mec=_colour(number), ms=5 - number, mew=0.9, label=name)  # fmt: skip
        axes.set_xlabel(f"{across} → (Å)")
        axes.set_ylabel(f"{down} ↓ (Å)")
        axes.set_aspect("equal", adjustable="datalim")
        axes.invert_yaxis()
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def _colour(number: int) -> str:
    # Vermillion marks the model
    colours = [colour for colour in COLOURS if colour != VERMILLION]
    return colours[number % len(colours)]


def plot_intensities(axes: Any, atoms: Atoms, names: Sequence[str], *, unit: str = "") -> None:
    """Histogram of fitted intensities, a step line per species."""
    bins = np.histogram_bin_edges(atoms.intensity, 40)
    for number, name in enumerate(names):
        values = atoms.intensity[atoms.species == number]
        axes.hist(values, bins, histtype="step", color=_colour(number), lw=1.8,
                  ls=("-", "--", "-.", ":")[number % 4], label=f"{name}: {len(values)}")  # fmt: skip
    axes.set_xlabel(
        f"integral of the fitted Gaussian ({unit} Å³)" if unit else "integral of the fitted Gaussian"
    )
    axes.set_ylabel("atoms")
    axes.legend()


def plot_distances(axes: Any, matches: Sequence[tuple[str, AtomMatch]]) -> None:
    """Histogram of distances from the model, with the root mean square of each."""
    radius = max(match.radius_angstrom for _, match in matches)
    for number, (name, match) in enumerate(matches):
        rmsd = "" if match.rmsd_angstrom is None else f", RMSD {match.rmsd_angstrom:.2f} Å"
        axes.hist(match.distance_angstrom, np.linspace(0, radius, 36), histtype="step", lw=1.8,
                  color=COLOURS[number % 6], ls=("-", "--", "-.", ":")[number % 4],
                  label=f"{name}: {len(match.distance_angstrom)} of {match.n_model}{rmsd}")  # fmt: skip
    axes.axvline(radius, color=INK, lw=1, ls=(0, (4, 3)), label=f"farthest partners, {radius:g} Å")
    axes.set_xlim(0, 1.05 * radius)
    axes.set_xlabel("distance from the model's atom (Å)")
    axes.set_ylabel("atoms")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=legend_columns(axes))
