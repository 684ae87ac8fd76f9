"""Widgets of the Analyse step."""
