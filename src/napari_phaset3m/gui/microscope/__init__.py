"""Widgets of the Microscope step."""
