"""Time ``import napari_phaset3m`` in fresh processes (DESIGN section 7: at most 0.3 s).

python benchmarks/bench_import.py [--rounds 9]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

from common import machine, print_table, write

STATEMENTS = ("import napari_phaset3m", "from napari_phaset3m import reconstruct")
_TIMED = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"


def seconds(statement: str) -> float:
    """Time one import in a process of its own."""
    command = [sys.executable, "-c", _TIMED.format(statement)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print medians and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    found = machine()
    times = {s: [seconds(s) for _ in range(options.rounds)] for s in STATEMENTS}
    medians = {s: statistics.median(values) for s, values in times.items()}
    limits = dict(zip(STATEMENTS, ("<= 0.3", ""), strict=True))
    print_table(
        [("statement", "median s", "must"), *((s, f"{m:.3f}", limits[s]) for s, m in medians.items())]
    )
    print(write("import", {"machine": found, "seconds": times, "medians": medians}))


if __name__ == "__main__":
    main()
