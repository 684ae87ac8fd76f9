"""nvcc accepts every kernel for the architectures in use."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from napari_phaset3m.core.cuda.runtime import ROW_KERNELS, kernel_source


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_nvcc_compiles_every_kernel(tmp_path, architecture):
    compiler = shutil.which("nvcc")
    if compiler is None:
        pytest.skip("nvcc is not installed")
    source, target = tmp_path / "kernels.cu", tmp_path / "kernels.ptx"
    source.write_text(kernel_source(), encoding="utf-8")
    options = ["--ptx", f"-arch={architecture}", "-Werror", "all-warnings"]
    command = [compiler, *options, str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wanted = set(re.findall(r"__global__ void (\w+)", kernel_source()))
    found = set(re.findall(r"\.entry (\w+)", target.read_text()))
    assert wanted == found
    assert wanted >= ROW_KERNELS
