"""Alignment of a tilt/focal series: from coarse shifts to the multislice model itself."""
