"""The life of canvases that are not napari's."""
