"""Widgets of the optimiser, within the Microscope step."""
