"""The CTF fit of a series: Thon rings beside their fit, the averaged curve, defocus against tilt."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from napari_phaset3m.analyse.figures.curves import frequency_axis
from napari_phaset3m.analyse.figures.pictures import bare, write_on
from napari_phaset3m.analyse.figures.style import (
    BLUE,
    COLOURS,
    INK,
    MARKERS,
    VERMILLION,
    need_matplotlib,
    new_figure,
    sheet,
    to_png,
    to_svg,
)


class Rings(Protocol):
    """Thon rings as the fit gives them."""

    @property
    def step_per_angstrom(self) -> float:
        """Frequency between samples."""
        ...

    def halves(self) -> np.ndarray:
        """`(n, n)` measured left, fitted right."""
        ...


class Curve(Protocol):
    """An averaged spectrum and its fit, all `(n,)`."""

    frequency_per_angstrom: np.ndarray
    measured: np.ndarray
    fitted: np.ndarray
    agreement: np.ndarray


def plot_rings(axes: Any, rings: Rings, label: str = "measured | fitted") -> None:
    """Thon rings: the measured half on the left, the fitted one on the right; +y upwards."""
    picture = np.asarray(rings.halves(), float)
    half = (picture.shape[0] // 2) * rings.step_per_angstrom
    shown = np.nan_to_num(picture, nan=0.0)
    axes.imshow(shown, cmap="gray", vmin=-0.1, vmax=1.1, origin="lower", extent=(-half, half, -half, half))
    axes.axvline(0, color=VERMILLION, lw=0.8)
    bare(axes)
    write_on(axes, label)


def plot_ring_curve(axes: Any, curve: Curve, resolution_angstrom: float | None = None) -> None:
    """Equiphase average, ``sin^2`` of the fit, their local correlation, and how far the fit goes."""
    k = curve.frequency_per_angstrom
    axes.plot(
        k, np.clip(curve.measured, -0.3, 1.3), color=BLUE, lw=1.1, label="spectrum, averaged over equal phase"
    )
    axes.plot(k, curve.fitted, color=VERMILLION, ls=(0, (6, 2)), lw=1.1, label="fit, sin²")
    axes.plot(k, curve.agreement, color=INK, lw=0.8, alpha=0.6, label="local correlation")
    if resolution_angstrom is not None and np.isfinite(resolution_angstrom):
        axes.axvline(
            1 / resolution_angstrom, color=INK, ls=":", label=f"fitted to {resolution_angstrom:.2g} Å"
        )
    frequency_axis(axes, float(k[-1]))
    axes.set_ylim(-0.35, 1.35)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=2)


def plot_defocus(
    axes: Any,
    tilt_deg: np.ndarray,
    defocus_angstrom: np.ndarray,
    *,
    error_angstrom: np.ndarray | None = None,
    outliers: np.ndarray | None = None,
) -> None:
    """Defocus against tilt, a colour and marker for each focus; outliers ringed.

    Parameters
    ----------
    axes : matplotlib Axes
    tilt_deg : ndarray
        `(n_tilt,)`.
    defocus_angstrom, error_angstrom : ndarray
        `(n_tilt, n_focus)`; errors that are nan are left out.
    outliers : ndarray, optional
        `(n_tilt, n_focus)` bool.
    """
    order = np.argsort(tilt_deg, kind="stable")
    for focus in range(defocus_angstrom.shape[1]):
        values = defocus_angstrom[order, focus] / 10
        colour, marker = COLOURS[focus % len(COLOURS)], MARKERS[focus % len(MARKERS)]
        axes.plot(
            tilt_deg[order], values, color=colour, marker=marker, ms=3.5, lw=0.9, label=f"focus {focus + 1}"
        )
        if error_angstrom is not None:
            errors = np.nan_to_num(error_angstrom[order, focus] / 10)
            axes.errorbar(tilt_deg[order], values, errors, fmt="none", ecolor=colour, elinewidth=0.8)
        if outliers is not None and outliers[:, focus].any():
            at = outliers[:, focus]
            axes.plot(tilt_deg[at], defocus_angstrom[at, focus] / 10, "o", mfc="none", mec=VERMILLION, ms=10)
    axes.set_xlabel("tilt (°)")
    axes.set_ylabel("defocus (nm)")
    if defocus_angstrom.shape[1] > 1:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)


def ctf_fit_figure(result: Any, rings: Rings | None, tilt: int, focus: int) -> Any:
    """One sheet: rings and curve of one image, and defocus against tilt of all.

    Parameters
    ----------
    result : CtfResult
        Of :mod:`napari_phaset3m.prepare.ctf` (only its arrays are used).
    rings : Rings or None
    tilt, focus : int
        The image shown.
    """
    need_matplotlib()
    image = result.images[tilt][focus]
    several = len(result.images) > 1
    figure = new_figure(9.6, 7.4 if several else 4.0)
    grid = figure.add_gridspec(2 if several else 1, 2, width_ratios=(1, 1.35))
    left, right = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    if rings is not None:
        plot_rings(left, rings)
    else:
        bare(left)
    left.set_title(f"{image.defocus_angstrom / 10:.1f} nm, C12 {image.c12_angstrom / 10:.1f} nm "
                   f"at {np.degrees(image.phi12_rad):.0f}°")  # fmt: skip
    if image.curve is not None:
        plot_ring_curve(right, image.curve, image.resolution_angstrom)
    else:
        bare(right)
        right.text(0.5, 0.5, f"method: {image.method}", ha="center", va="center", transform=right.transAxes)
    if several:
        below = figure.add_subplot(grid[1, :])
        plot_defocus(
            below, result.tilt_deg, result.defocus_angstrom,
            error_angstrom=result.array("defocus_error_angstrom"), outliers=result.outliers(),
        )  # fmt: skip
    return figure


def ctf_fit_bytes(result: Any, rings: Rings | None, tilt: int, focus: int, suffix: str) -> bytes:
    """:func:`ctf_fit_figure` as the contents of a ``.png`` or ``.svg`` file."""
    with sheet():
        figure = ctf_fit_figure(result, rings, tilt, focus)
        return to_svg(figure).encode() if suffix == ".svg" else to_png(figure)
