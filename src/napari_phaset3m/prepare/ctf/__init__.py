"""Defocus and contrast transfer of the images: from Thon rings, or from the consistency of a focal group."""
