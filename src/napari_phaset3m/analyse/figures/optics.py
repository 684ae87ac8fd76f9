"""Contrast transfer of a focal series: CTF with envelopes and limits, signal-to-noise ratio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_phaset3m.analyse.figures.curves import frequency_axis
from napari_phaset3m.analyse.figures.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    VERMILLION,
    line,
    new_figure,
)

if TYPE_CHECKING:
    from napari_phaset3m.analyse.ctf import CtfCurve
    from napari_phaset3m.analyse.ssnr import SsnrCurve

#: More panels than these hide more than they show.
MOST_CURVES = 5


def figure_ctf(curves: Sequence[CtfCurve]) -> Any:
    """Contrast transfer, a panel per defocus: transfer, envelopes of both coherences, limits."""
    curves = curves[:MOST_CURVES]
    figure = new_figure(6.8, 1.1 + 1.5 * len(curves))
    grid = figure.subplots(len(curves), 1, squeeze=False, sharex=True)[:, 0]
    for number, (axes, curve) in enumerate(zip(grid, curves, strict=True)):
        plot_ctf(axes, curve)
        if number == 0:
            frequency_axis(axes, float(curve.frequency_per_angstrom[-1]))
        axes.set_xlabel("")
        axes.set_ylabel(f"{curve.defocus_angstrom / 10:.0f} nm")
    grid[-1].set_xlabel("spatial frequency (Å⁻¹)")
    figure.supylabel("contrast transfer at the defocus of", fontsize=9.5)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def plot_ctf(axes: Any, curve: CtfCurve) -> None:
    """``sin chi`` times its envelopes, the envelopes themselves, and every limit that is known."""
    k = curve.frequency_per_angstrom
    axes.plot(k, curve.transfer, color=BLUE, lw=1, label="transfer of a weak phase")
    for sign in (1, -1):
        axes.plot(k, sign * curve.temporal_envelope, color=VERMILLION, ls=(0, (6, 2)), lw=1.3,
                  label="envelope, temporal coherence" if sign == 1 else None)  # fmt: skip
        if (curve.spatial_envelope < 1).any():
            axes.plot(k, sign * curve.spatial_envelope, color=GREEN, ls=(0, (6, 2, 1, 2)), lw=1.3,
                      label="envelope, spatial coherence" if sign == 1 else None)  # fmt: skip
    _limits(axes, curve, float(k[-1]))
    axes.axhline(0, color=INK, lw=0.8)
    axes.set_ylim(-1.08, 1.08)


def _limits(axes: Any, curve: CtfCurve, end: float) -> None:
    known = (
        ("diffraction limit (aperture)", curve.diffraction_limit_per_angstrom, PURPLE, "-"),
        (
            "information limit, temporal (exp −2)",
            curve.temporal_limit_per_angstrom,
            VERMILLION,
            (0, (1, 1.5)),
        ),
        ("information limit, spatial (exp −2)", curve.spatial_limit_per_angstrom, GREEN, (0, (1, 1.5))),
    )
    for name, limit, colour, style in known:
        if limit is not None and limit <= end:
            axes.axvline(limit, color=colour, ls=style, lw=1.6, label=name)


def plot_ssnr(axes: Any, curve: SsnrCurve) -> None:
    """SSNR of a focal series: all images, the best single one, what no zero of the CTF would allow, gaps."""
    from napari_phaset3m.analyse.ssnr import GAP

    k = curve.frequency_per_angstrom
    axes.plot(k, curve.envelope, color=ORANGE, ls=(0, (6, 2)), label="limit of the envelopes")
    axes.plot(k, curve.ssnr, color=BLUE, label=f"all {len(curve.defocus_angstrom)} images")
    for low, high in curve.gaps():
        axes.axvspan(low, max(high, low + 0.002 * k[-1]), color=INK, alpha=0.15, lw=0,
                     label=f"gaps: under {GAP:.0%} of the limit")  # fmt: skip
    frequency_axis(axes, float(k[-1]))
    axes.set_ylim(0, 1.08 * float(curve.envelope.max(initial=1e-9)))
    flat = bool(np.allclose(curve.signal_to_noise, 1))
    axes.set_ylabel("SSNR" + (" ÷ S/N of one image" if flat else ""))
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axes.legend(once.values(), once.keys(), loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3)


def plot_volume_ssnr(axes: Any, curves: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> None:
    """SSNR of reconstructions from half sets, logarithmic: (label, frequency, ssnr)."""
    top = 1.0
    for number, (label, k, value) in enumerate(curves):
        shown = np.where(np.isfinite(value) & (value > 0), value, np.nan)
        top = max(top, float(np.nanmax(shown, initial=1)))
        axes.plot(k, shown, label=label, **line(number))
    axes.axhline(1, color=INK, lw=1, ls=(0, (4, 3)), label="signal = noise")
    axes.set_yscale("log")
    axes.set_ylim(1e-2, 3 * top)
    frequency_axis(axes, float(curves[0][1][-1]))
    axes.set_ylabel("SSNR of the volume")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3)
