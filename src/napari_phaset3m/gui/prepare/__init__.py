"""Widgets of the Prepare step."""
