"""Motion correction: align the frames of a movie, whole and in patches, and sum them."""
