"""Widgets of comparing volumes."""
