"""Alignment of a tilt/focal series: where every image sits, how it is turned and magnified."""
