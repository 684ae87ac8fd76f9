"""Running the steps that change a series."""
