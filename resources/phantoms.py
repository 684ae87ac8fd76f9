"""Linear methods on the published vesicle and FePt phantoms: figure and table of docs/methods.md.

    python resources/phantoms.py ../shared/data/real [vesicle fept] [-o docs/images]

Both come with projections made by other programs and with the model they were made from
(papers of GENFIRE and RESIRE). Curves of numbers are drawn, not the data.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m import ReconstructionConfig, TiltFocalSeries
from napari_phaset3m.analyse.fsc import fsc
from napari_phaset3m.core.backend import Device
from napari_phaset3m.reconstruct.methods import METHODS, make_method
from napari_phaset3m.reconstruct.plan import relaxation
from napari_phaset3m.reconstruct.problem import build_problem
from napari_phaset3m.reconstruct.solver import tilt_order

#: name: (files of angles, projections and model with their keys)
PHANTOMS = {
    "vesicle": (("angles", "angles"), ("projections", "data"), ("model", "model")),
    "fept": (
        ("small_angles", "euler_angles"), ("small_projections", "pj"), ("FePt_Vol_64_asymmetric", "finalvol"),
    ),
}  # fmt: skip
TITLES = {"vesicle": "vesicle, 61 tilts over 180°", "fept": "FePt, 41 tilts, −70…70°"}
#: label: (method, settings, sweeps at which the volume is judged)
STAGES = (1, 2, 3, 5, 8, 12, 20, 32, 50, 70, 100)
RUNS: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "FBP": ("fbp", {}, (1,)),
    "WBP exact": ("wbp", {}, (1,)),
    "SIRT": ("sirt", {}, STAGES),
    "SART": ("sart", {}, STAGES[:6]),
    "ART": ("art", {}, STAGES[:6]),
    "CGLS": ("cgls", {}, STAGES[:6]),
    "RESIRE": ("resire", {}, STAGES),
    "TV": ("tv", {}, STAGES[:9]),
}
#: Okabe and Ito's colours, told apart by every eye; lines differ in dash as well.
LOOKS = {
    "FBP": ("#999999", "-"), "WBP exact": ("#000000", ":"), "SIRT": ("#0072B2", "-"),
    "SART": ("#56B4E9", "--"), "ART": ("#009E73", "-."), "CGLS": ("#E69F00", "-"),
    "RESIRE": ("#D55E00", "-"), "TV": ("#CC79A7", "--"),
}  # fmt: skip


def load(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Angles `(n,)`, projections `(n, nx, ny)` and model `(nz, nx, ny)`."""
    from scipy.io import loadmat

    parts = [loadmat(folder / f"{name}_phantom" / f"{file}.mat")[key] for file, key in PHANTOMS[name]]
    angles = parts[0][:, 1].astype(np.float64)
    projections, model = (np.ascontiguousarray(p.transpose(2, 0, 1), np.float32) for p in parts[1:])
    return angles, projections, model


def judge(method: Any, volume: np.ndarray, model: np.ndarray) -> dict[str, Any]:
    """R factor of the projections, correlation and FSC with the model, positivity imposed."""
    tilts, n = range(method.n_tilt), len(model)
    kept = np.maximum(volume, 0)
    rest = np.abs(method.residual(kept, tilts)).sum() / np.abs(method.data).sum()
    inner = kept[0, :n, :n]
    curve = fsc(inner.transpose(0, 2, 1), model.transpose(0, 2, 1), 1.0)
    return {
        "R": float(rest),
        "correlation": float(np.corrcoef(inner.ravel(), model.ravel())[0, 1]),
        "fsc": curve.fsc.tolist(),
        "frequency": (curve.frequency_per_angstrom * 2).tolist(),
        "fsc_mean": float(np.mean(curve.fsc)),
    }


def run(
    data: tuple[np.ndarray, np.ndarray, np.ndarray],
    name: str,
    changes: dict[str, Any],
    stages: tuple[int, ...],
) -> list[dict]:
    """The volume judged after each of the stages; plain sweeps without momentum but for TV."""
    angles, projections, model = data
    # These phantoms turn about voxel n / 2: one more column brings it to our (n - 1) / 2.
    padded = np.pad(projections, ((0, 0), (0, 1), (0, 0))) / projections.max()
    series = TiltFocalSeries(
        images=(1 - padded.swapaxes(1, 2))[:, None], tilt_deg=angles, pixel_size_angstrom=1.0, energy_ev=3e5
    )
    config = ReconstructionConfig(method=name, threads=2, **changes)
    method = make_method(build_problem(series, config), config, 2, Device("cpu", "CPU"))
    x, memory, found = np.zeros(method.volume_shape, np.float32), {}, []
    previous, t, tilts = x.copy(), 1.0, np.arange(method.n_tilt)
    low = 0.0 if METHODS[name].constrained == "updates" else -np.inf
    size = METHODS[name].subset or tilts.size
    for sweep in range(stages[-1]):
        order = tilt_order(config, tilts, sweep)
        for first in range(0, tilts.size, size):
            method.update(x, order[first : first + size], relaxation(config), low=low, memory=memory)
        if sweep + 1 in stages:
            found.append({"sweeps": sweep + 1, **judge(method, x, model)})
        if name == "tv":
            t, before = (1 + (1 + 4 * t * t) ** 0.5) / 2, t
            method.extrapolate(x, previous, (before - 1) / t)
    method.close()
    return found


def draw(results: dict[str, dict[str, list[dict]]], path: Path) -> None:
    """R factor against sweeps and FSC against frequency, a row for each phantom."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(results), 2, figsize=(10, 3.7 * len(results)), squeeze=False)
    for row, (name, runs) in zip(axes, results.items(), strict=True):
        for label, stages in runs.items():
            colour, dash = LOOKS[label]
            sweeps, rest = [s["sweeps"] for s in stages], [s["R"] for s in stages]
            if len(stages) == 1:
                row[0].axhline(rest[0], color=colour, ls=dash, lw=1.4, label=label)
            else:
                row[0].plot(sweeps, rest, color=colour, ls=dash, marker=".", lw=1.4, label=label)
            row[1].plot(
                stages[-1]["frequency"], stages[-1]["fsc"], color=colour, ls=dash, lw=1.4,
                label=f"{label}" if len(stages) == 1 else f"{label}, {sweeps[-1]} sweeps",
            )  # fmt: skip
        row[0].set(
            xscale="log", yscale="log", xlabel="sweeps", ylabel="R = Σ|Ax − b| / Σ|b|", title=TITLES[name]
        )
        row[1].axhline(0.5, color="0.6", lw=0.8)
        row[1].text(0.01, 0.51, "0.5", color="0.4", fontsize=8)
        row[1].set(xlabel="frequency, fraction of Nyquist", ylabel="FSC with the model", ylim=(-0.45, 1.02))
        row[1].axhline(0, color="0.6", lw=0.8)
        row[1].set_xlim(0, 1)
        row[1].legend(fontsize=8, frameon=False, loc="lower left")
        row[0].legend(fontsize=8, framealpha=0.8, ncols=2)
        for axis in row:
            axis.grid(alpha=0.25, which="both")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def table(results: dict[str, dict[str, list[dict]]]) -> str:
    """The last stage of every run, as Markdown."""
    lines = [
        "| phantom | method | sweeps | R, % | correlation with the model | mean FSC |",
        "|---|---|---|---|---|---|",
    ]
    for name, runs in results.items():
        for label, stages in runs.items():
            s = stages[-1]
            figures = f"{100 * s['R']:.2f} | {s['correlation']:.4f} | {s['fsc_mean']:.3f}"
            lines.append(f"| {name} | {label} | {s['sweeps']} | {figures} |")
    return "\n".join(lines)


def main() -> None:
    """Run the chosen phantoms, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("phantoms", nargs="*", default=list(PHANTOMS))
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    results: dict[str, dict[str, list[dict]]] = {}
    for name in options.phantoms:
        data = load(options.folder, name)
        results[name] = {label: run(data, *settings) for label, settings in RUNS.items()}
    print(table(results))
    draw(results, options.output / "methods_phantoms.png")
    print(
        json.dumps(
            {
                n: {k: [(s["sweeps"], round(s["R"], 5)) for s in v] for k, v in r.items()}
                for n, r in results.items()
            }
        )
    )


if __name__ == "__main__":
    main()
