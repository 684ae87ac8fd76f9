"""Widgets of the Reconstruct step and its live views."""
