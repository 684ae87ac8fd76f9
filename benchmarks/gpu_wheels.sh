#!/bin/sh
# Wheels that the GPU check needs and a machine with CuPy, NumPy, SciPy, Numba, scikit-image, h5py,
# PyYAML and pytest may lack, into .whl/ (left out of the repository; the check installs them from there).
#
#   sh benchmarks/gpu_wheels.sh [PYTHON_VERSION]        # of the machine with the GPU; 3.12
set -eu
cd "$(dirname "$0")/.."
version=${1:-3.12}
rm -rf .whl
# One resolved set: pydantic-core must be the very version that pydantic names.
python3 -m pip download -q --only-binary=:all: --python-version "$version" --implementation cp \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
    -d .whl "pydantic>=2.7"
ls .whl
