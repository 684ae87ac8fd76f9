"""Time FBP and WBP of 192^3 x 66 tilts against ASTRA's CPU FBP, and linear iterations.

    python benchmarks/bench_direct.py [tiny small large] [--rounds 5]

Candidates alternate within every round, so that a busy moment hits all of them; medians
over the rounds are compared. Ours is the whole update as a run makes it: filter,
back-projection and the projection of the result that its error needs. ASTRA runs its 2D
CPU algorithms (linear projector) on every plane across the tilt axis.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from common import CASES, make_config, make_series, run_cases
from napari_phaset3m import TiltFocalSeries
from napari_phaset3m.core.backend import Device
from napari_phaset3m.reconstruct.methods import METHODS, make_method
from napari_phaset3m.reconstruct.plan import relaxation
from napari_phaset3m.reconstruct.problem import build_problem

#: ratio: (numerator, denominator, limit of issue 3)
RATIOS = {
    "FBP / ASTRA FBP": ("fbp", "ASTRA FBP", 1.0),
    "WBP / ASTRA FBP": ("wbp", "ASTRA FBP", 1.0),
    "SIRT / ASTRA SIRT": ("sirt", "ASTRA SIRT", 0.15),
    "CGLS / ASTRA CGLS": ("cgls", "ASTRA CGLS", None),
    "SART sweep / ASTRA SART sweep": ("sart", "ASTRA SART", None),
}


def ours(series: TiltFocalSeries, case: str, name: str) -> Callable[[], float]:
    """Make a call that times one sweep of a method on two threads."""
    config = make_config(case, method=name, threads=2)
    problem = build_problem(series, config)
    method = make_method(problem, config, 2, Device("cpu", "CPU"))
    volume, memory = np.zeros(method.volume_shape, np.float32), {}
    tilts = np.arange(method.n_tilt)
    size = METHODS[name].subset or tilts.size

    def run() -> float:
        start = time.perf_counter()
        for first in range(0, tilts.size, size):
            part = tilts[first : first + size]
            method.update(volume, part, relaxation(config), low=0.0, memory=memory)
        return time.perf_counter() - start

    return run


def astra(series: TiltFocalSeries, algorithm: str) -> Callable[[], float]:
    """Make a call that times an ASTRA algorithm over all planes (SART: one sweep of the tilts)."""
    import astra as toolbox

    n_tilt, _, ny, nx = series.images.shape
    volume = toolbox.create_vol_geom(nx, nx)
    projection = toolbox.create_proj_geom("parallel", 1.0, nx, np.radians(series.tilt_deg))
    projector = toolbox.create_projector("linear", projection, volume)
    planes = []
    for y in range(ny):
        config = toolbox.astra_dict(algorithm)
        config["ProjectorId"] = projector
        config["ProjectionDataId"] = toolbox.data2d.create(
            "-sino", projection, np.ascontiguousarray(1 - series.images[:, 0, y])
        )
        config["ReconstructionDataId"] = toolbox.data2d.create("-vol", volume, 0.0)
        planes.append(toolbox.algorithm.create(config))
    sweep = n_tilt if algorithm == "SART" else 1

    def run() -> float:
        start = time.perf_counter()
        for plane in planes:
            toolbox.algorithm.run(plane, sweep)
        return time.perf_counter() - start

    return run


def measure(case: str, rounds: int) -> dict[str, object]:
    """Medians of all candidates of one case, seconds."""
    series = make_series(case)
    candidates = {name: ours(series, case, name) for name in ("fbp", "wbp", "sirt", "cgls", "sart")}
    candidates |= {f"ASTRA {name}": astra(series, name) for name in ("FBP", "SIRT", "CGLS", "SART")}
    for candidate in candidates.values():  # compile, plan, row and column sums
        candidate()
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, candidate in candidates.items():
            times[name].append(candidate())
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratios = {name: medians[a] / medians[b] for name, (a, b, _) in RATIOS.items()}
    return {"shape": CASES[case], "seconds": times, "medians": medians, "ratios": ratios}


if __name__ == "__main__":
    run_cases(__doc__.splitlines()[0], "direct", measure, RATIOS)
