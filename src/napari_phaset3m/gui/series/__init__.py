"""Widgets of the Series step."""
