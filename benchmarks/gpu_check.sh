#!/bin/sh
# GPU = CPU tests, then speed, roofline and memory, on a machine with an NVIDIA GPU.
#
#   sh benchmarks/gpu_check.sh [OUTPUT_FOLDER]
#
# Needs python3 with CuPy; packages it lacks (numba, llvmlite, pydantic, PyYAML ...) may lie as
# wheels in .whl/. Nothing is downloaded. Ends with 1 when a GPU result differs from the CPU's.
set -eu
cd "$(dirname "$0")/.."
out=${1:-${OUT:-/tmp/phaset3m-gpu}}
mkdir -p "$out"
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD/src" NUMBA_CACHE_DIR="${TMPDIR:-/tmp}/phaset3m-numba"
if ls .whl/*.whl >/dev/null 2>&1; then
    python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
        --target /tmp/site .whl/*.whl
    PYTHONPATH="$PYTHONPATH:/tmp/site"
fi
python3 -c "from napari_phaset3m.core.backend import cuda_problem as p; r = p(); print(r or 'CUDA works'); raise SystemExit(bool(r))"
# -c /dev/null: the project's settings name plugins (Qt, timeouts) this machine need not have.
status=0
python3 -m pytest tests/reconstruct/cuda tests/core/cuda -c /dev/null --rootdir="$PWD" \
    --import-mode=importlib -q -ra -p no:cacheprovider >"$out/gpu_tests.txt" 2>&1 || status=1
cat "$out/gpu_tests.txt"
python3 benchmarks/gpu_check.py --output "$out/gpu_check.json" || status=1
exit "$status"
