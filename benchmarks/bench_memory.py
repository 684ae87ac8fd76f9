"""Peak memory of a reconstruction above the loaded, idle process.

    python benchmarks/bench_memory.py [--case large] [--method multislice]

Runs in a child process. Idle: everything imported, the series in memory. The
figure is (peak - idle) / (volume + images); DESIGN section 7 asks for at most 6.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from common import CASES, machine, make_config, make_series, print_table, write


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"/proc/self/status has no {field}: this benchmark needs Linux")


def child(case: str, method: str) -> None:
    """Reconstruct and print the figures as JSON."""
    from napari_phaset3m import reconstruct

    # A tiny run first: libraries and compiled kernels belong to the loaded process.
    reconstruct(make_series("tiny"), make_config("tiny", method, iterations=1), device="cpu")
    series, config = make_series(case), make_config(case, method, iterations=3, patience=5)
    idle = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    result = reconstruct(series, config, device="cpu")
    peak = _status("VmHWM")
    unit = result.volume.nbytes + series.images.nbytes
    print(json.dumps({"idle": idle, "peak": peak, "unit": unit, "ratio": (peak - idle) / unit}))


def main() -> None:
    """Measure in a child, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", default="large", choices=list(CASES))
    parser.add_argument("--method", default="multislice", choices=["multislice", "singleslice", "sirt"])
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.case, options.method)
        return
    found = machine()
    chosen = ["--case", options.case, "--method", options.method]
    command = [sys.executable, __file__, "--child", *chosen]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    mib = {key: f"{result[key] / 2**20:.0f}" for key in ("idle", "peak", "unit")}
    ratio = f"{result['ratio']:.2f}"
    print_table([
        ("case", "method", "idle MiB", "peak MiB", "volume + images MiB", "ratio", "must"),
        (options.case, options.method, mib["idle"], mib["peak"], mib["unit"], ratio, "<= 6"),
    ])  # fmt: skip
    print(write(f"memory-{options.case}-{options.method}", {"machine": found, **result}))


if __name__ == "__main__":
    main()
