"""Time a multislice sweep and a SIRT iteration against ASTRA's CPU SIRT.

    python benchmarks/bench_sweep.py [tiny small large] [--rounds 5]

Candidates alternate within every round, so that a busy moment hits all of them;
medians over the rounds are compared, each of the second of two in a row. ASTRA runs its
2D CPU SIRT (linear projector) on every plane across the tilt axis of the same volume and tilts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from common import CASES, make_config, make_series, run_cases
from napari_phaset3m import TiltFocalSeries, iterate
from napari_phaset3m.reconstruct.events import SweepDone

#: ratio: (numerator, denominator, the case's limit from DESIGN section 7)
RATIOS = {
    "multislice / ASTRA SIRT": ("multislice", "astra", {"small": 0.7, "large": 0.4}),
    "SIRT / ASTRA SIRT": ("sirt", "astra", {"small": 0.15, "large": 0.15}),
    "speed-up of 2 threads": ("multislice, 1 thread", "multislice", {}),
}


class Stepper:
    """Times one sweep after the other of a run that goes on between rounds."""

    def __init__(self, series: TiltFocalSeries, case: str, sweeps: int, **changes: object) -> None:
        config = make_config(case, iterations=sweeps, patience=sweeps, **changes)
        self._events = iterate(series, config, device="cpu")

    def __call__(self) -> float:
        """Seconds of the next sweep."""
        for event in self._events:
            if isinstance(event, SweepDone):
                return event.seconds
        raise SystemExit("the run ended before all rounds were timed")


def astra_iteration(series: TiltFocalSeries) -> Callable[[], float]:
    """Make a call that times one ASTRA SIRT iteration over all planes."""
    import astra

    _, _, ny, nx = series.images.shape
    volume = astra.create_vol_geom(nx, nx)
    projection = astra.create_proj_geom("parallel", 1.0, nx, np.radians(series.tilt_deg))
    projector = astra.create_projector("linear", projection, volume)
    algorithms = []
    for y in range(ny):
        config = astra.astra_dict("SIRT")
        config["ProjectorId"] = projector
        config["ProjectionDataId"] = astra.data2d.create(
            "-sino", projection, np.ascontiguousarray(1 - series.images[:, 0, y])
        )
        config["ReconstructionDataId"] = astra.data2d.create("-vol", volume, 0.0)
        algorithms.append(astra.algorithm.create(config))
        astra.algorithm.run(algorithms[-1], 1)  # row and column sums are not timed

    def run() -> float:
        start = time.perf_counter()
        for algorithm in algorithms:
            astra.algorithm.run(algorithm, 1)
        return time.perf_counter() - start

    return run


def measure(case: str, rounds: int) -> dict[str, object]:
    """Medians of all candidates of one case, seconds."""
    series = make_series(case)
    sweeps = 2 * rounds + 3
    candidates: dict[str, Callable[[], float]] = {
        "multislice": Stepper(series, case, sweeps, threads=2),
        "multislice, 1 thread": Stepper(series, case, sweeps, threads=1),
        "sirt": Stepper(series, case, sweeps, method="sirt", threads=2),
        "astra": astra_iteration(series),
    }
    for candidate in candidates.values():  # compile and plan
        candidate()
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, candidate in candidates.items():
            candidate()  # the other candidates have emptied the caches; in a run one sweep follows another
            times[name].append(candidate())
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratios = {name: medians[a] / medians[b] for name, (a, b, _) in RATIOS.items()}
    return {"shape": CASES[case], "seconds": times, "medians": medians, "ratios": ratios}


if __name__ == "__main__":
    run_cases(__doc__.splitlines()[0], "sweep", measure, RATIOS)
