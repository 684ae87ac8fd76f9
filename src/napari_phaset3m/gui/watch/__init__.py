"""Widgets of watching a folder."""
