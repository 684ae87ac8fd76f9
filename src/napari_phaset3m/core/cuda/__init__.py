"""The GPU path: CUDA C kernels and the CuPy drivers that mirror the CPU classes."""
