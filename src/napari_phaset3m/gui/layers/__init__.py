"""Napari layers: what is published, and how it is shown."""
