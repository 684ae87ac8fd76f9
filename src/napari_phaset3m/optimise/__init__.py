"""Finding what the microscope did not tell: optics and alignment, by search and by gradient."""
