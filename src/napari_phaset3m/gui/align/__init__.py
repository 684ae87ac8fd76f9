"""Widgets of the Align step."""
