#!/bin/sh
# GPU = CPU tests, then speed, roofline and memory, on a machine with an NVIDIA GPU.
#
#   sh benchmarks/gpu_check.sh [OUTPUT_FOLDER] [all|tests|speed]
#
# Needs python3 with CuPy; packages it lacks (pydantic ...) may lie as wheels in .whl/
# (benchmarks/gpu_wheels.sh puts them there). Nothing is downloaded. Ends with 1 when a GPU result
# differs from the CPU's. Where a command may run for ten minutes only, run tests and speed apart.
set -eu
cd "$(dirname "$0")/.."
out=${1:-${OUT:-/tmp/phaset3m-gpu}}
what=${2:-all}
scratch=${TMPDIR:-/tmp}
mkdir -p "$out"
out=$(cd "$out" && pwd)
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD/src" NUMBA_CACHE_DIR="$scratch/phaset3m-numba"
export PHASET3M_CACHE="$scratch/phaset3m-cache"
if ls .whl/*.whl >/dev/null 2>&1; then
    python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
        --target "$scratch/phaset3m-site" .whl/*.whl
    PYTHONPATH="$PYTHONPATH:$scratch/phaset3m-site"
fi
python3 -c "from napari_phaset3m.core.backend import cuda_problem as p; r = p(); print(r or 'CUDA works'); raise SystemExit(bool(r))"
python3 -c "import platform, cupy, numpy, scipy, numba; print(platform.python_version(), *(m.__name__ + ' ' + m.__version__ for m in (cupy, numpy, scipy, numba)))" | tee "$out/versions.txt"
status=0
if [ "$what" != speed ]; then
    # -c /dev/null: the project's settings name plugins (Qt, timeouts) this machine need not have.
    python3 -m pytest tests/reconstruct/cuda tests/core/cuda -m gpu -c /dev/null --rootdir="$PWD" \
        --import-mode=importlib -q -ra --maxfail=30 --disable-warnings -p no:cacheprovider >"$out/gpu_tests.txt" 2>&1 || status=1
    tail -n 60 "$out/gpu_tests.txt"
fi
if [ "$what" != tests ]; then
    python3 benchmarks/gpu_check.py --output "$out/gpu_check.json" || status=1
fi
exit "$status"
