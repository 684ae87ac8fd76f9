"""From what the microscope saved to an aligned, normalised series."""
