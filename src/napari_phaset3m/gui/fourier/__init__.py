"""Widgets of the Fourier view."""
