"""Widgets of importing raw files."""
