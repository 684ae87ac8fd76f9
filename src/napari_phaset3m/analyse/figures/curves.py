"""Curves against frequency, position and sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_phaset3m.analyse.figures.pictures import shells
from napari_phaset3m.analyse.figures.style import BLUE, INK, MARKERS, VERMILLION, line


def frequency_axis(axes: Any, limit_per_angstrom: float) -> None:
    """Label x as spatial frequency from 0 to a limit, with the same as resolution on top."""
    axes.set_xlim(0, limit_per_angstrom)
    axes.set_xlabel("spatial frequency (Å⁻¹)")
    marks = shells(limit_per_angstrom, 6)
    top = axes.secondary_xaxis("top")
    top.set_xticks([k for k, _ in marks], labels=[text for _, text in marks])
    top.set_xlabel("resolution", labelpad=3)
    top.spines["top"].set_visible(True)


def plot_error(axes: Any, errors: Sequence[float], held_out: Sequence[float | None] = ()) -> None:
    """Relative error against sweep, of the images in use and of those held out."""
    sweeps = np.arange(1, len(errors) + 1)
    many = len(errors) > 40
    axes.plot(sweeps, errors, marker="" if many else "o", ms=4, color=BLUE, label="images in use")
    if any(value is not None for value in held_out):
        shown = np.array([np.nan if value is None else value for value in held_out], float)
        style = line(1) | {"marker": "" if many else "s", "ms": 4}
        axes.plot(sweeps, shown, label="held-out images", **style)
        axes.legend()
    axes.set_xlabel("sweep")
    axes.set_ylabel("relative error")
    axes.xaxis.get_major_locator().set_params(integer=True)


def plot_radial_power(
    axes: Any,
    curves: Sequence[tuple[str, np.ndarray, np.ndarray]],
    *,
    peaks: Sequence[tuple[float, str]] = (),
    ylabel: str = "mean power per voxel",
) -> None:
    """Radial power spectra on a logarithmic scale.

    Parameters
    ----------
    axes : matplotlib Axes
    curves : sequence of (label, frequency, power)
        Frequencies in 1/angstrom; NaN leaves a gap.
    peaks : sequence of (float, str)
        Frequency and label of peaks to mark on the first curve.
    ylabel : str
    """
    for number, (label, frequency, power) in enumerate(curves):
        shown = np.where(np.asarray(power) > 0, power, np.nan)
        axes.plot(frequency, shown, label=label, **line(number))
    axes.set_yscale("log")
    frequency_axis(axes, float(max(np.max(k) for _, k, _ in curves)))
    axes.set_ylabel(ylabel)
    if peaks:
        mark_peaks(axes, curves[0][1], curves[0][2], peaks)
    if len(curves) > 1 or peaks:
        axes.legend(loc="upper right")


def mark_peaks(
    axes: Any, frequency: np.ndarray, value: np.ndarray, peaks: Sequence[tuple[float, str]]
) -> None:
    """Triangles above a curve where it peaks, with labels that do not run into each other."""
    k = np.array([peak for peak, _ in peaks])
    heights = np.interp(k, frequency, value)
    axes.plot(k, heights * 1.25, "v", color=VERMILLION, ms=5, ls="none", label="peaks", clip_on=False)
    reach = float(axes.get_xlim()[1])
    last = -np.inf
    for (position, text), height in sorted(zip(peaks, heights, strict=True)):
        if position - last < 0.035 * reach:
            continue
        last = position
        axes.annotate(
            text, (position, height * 1.25), (0, 5), textcoords="offset points", rotation=90,
            ha="center", va="bottom", fontsize=8, color=INK,
        )  # fmt: skip
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** 0.18)  # room for the labels (logarithmic axis)


def plot_profiles(
    axes: Any, profiles: Sequence[tuple[str, np.ndarray, np.ndarray]], *, ylabel: str, markers: bool = False
) -> None:
    """Values along lines: (label, position in angstrom, value)."""
    for number, (label, position, value) in enumerate(profiles):
        style = line(number) | ({"marker": MARKERS[number % 6], "ms": 3} if markers else {})
        axes.plot(position, value, label=label, **style)
    axes.axhline(0, color=INK, lw=0.8)
    axes.set_xlabel("position (Å)")
    axes.set_ylabel(ylabel)
    axes.margins(x=0)
    if len(profiles) > 1:
        axes.legend(loc="upper right")
