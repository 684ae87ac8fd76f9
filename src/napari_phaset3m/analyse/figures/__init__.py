"""Figures of volumes and of what was measured on them (matplotlib, imported when first drawn)."""

from __future__ import annotations
