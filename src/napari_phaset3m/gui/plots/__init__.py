"""Plots in the colours of napari's theme."""
