"""Widgets of the Mask step."""
