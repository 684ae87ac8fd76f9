"""Time from the start of a run to its first picture, with kernels compiled and not (DESIGN section 3).

Fresh processes: one whose Numba and FFT caches are empty, then some that find them filled.

python benchmarks/bench_first_picture.py [--case small] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from common import CASES, machine, make_config, make_series, print_table, write
from napari_phaset3m import ReconstructionConfig, iterate
from napari_phaset3m.reconstruct.events import Preview, Started, SweepDone

#: Settings of a run: the plain sweep, and what a run does without a flag on a series of known dose.
RUNS = ("plain", "defaults")


class _Watching:
    """A driver that always wants a picture."""

    def finish_requested(self) -> bool:
        return False

    def preview_max_voxels(self) -> int:
        return 256

    def mask(self) -> np.ndarray | None:
        return None


def measure_here(case: str, run: str) -> dict[str, float]:
    """Seconds of wall clock and of processor time until a run has begun, shown itself, swept once."""
    series = make_series(case)
    config = make_config(case)
    if run == "defaults":
        series, config = series.replace(dose_per_image=np.float64(200)), ReconstructionConfig()
    found: dict[str, float] = {}
    wall, cpu = time.perf_counter(), time.process_time()
    for event in iterate(series, config, device="cpu", control=_Watching()):
        name = {Started: "started", Preview: "picture", SweepDone: "sweep"}.get(type(event))
        if name is not None and name not in found:
            found[name] = time.perf_counter() - wall
            found[f"{name} cpu"] = time.process_time() - cpu
        if name == "sweep":
            break
    return found


def measure(case: str, run: str, cache: str) -> dict[str, float]:
    """Measure in a process of its own with these caches."""
    command = [sys.executable, __file__, "--case", case, "--here", run]
    environment = {**os.environ, "NUMBA_CACHE_DIR": f"{cache}/numba", "PHASET3M_CACHE": f"{cache}/fft"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return dict(json.loads(done.stdout))


def main() -> None:
    """Print cold and warm, and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=list(CASES), default="small")
    parser.add_argument("--rounds", type=int, default=3, help="warm runs")
    parser.add_argument("--here", choices=RUNS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure_here(options.case, options.here)))
        return
    result: dict[str, Any] = {"machine": machine(), "case": options.case, "runs": {}}
    table = [("run", "caches", "started s", "picture s", "of CPU time", "first sweep s")]
    for run in RUNS:
        with tempfile.TemporaryDirectory(prefix="phaset3m-cold-") as cache:
            cold = measure(options.case, run, cache)
            warm = [measure(options.case, run, cache) for _ in range(options.rounds)]
        median = {key: statistics.median(w[key] for w in warm) for key in cold}
        result["runs"][run] = {"cold": cold, "warm": warm}
        for name, row in (("empty", cold), ("filled", median)):
            columns = ("started", "picture", "picture cpu", "sweep")
            table.append((run, name, *(f"{row[c]:.2f}" for c in columns)))
    print_table(table)
    print(f"load before: {result['machine']['load_before']:.1f} on {result['machine']['cores']} cores")
    print(write("first-picture", result))


if __name__ == "__main__":
    main()
