"""Rotation about the tilt axis, sampled straight into slices, with exact adjoints."""

from __future__ import annotations

from napari_phaset3m.core.rotation.base import Rotator, RotatorKind, make_rotator

__all__ = ["Rotator", "RotatorKind", "make_rotator"]
