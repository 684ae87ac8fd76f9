"""Widgets of figures and films."""
