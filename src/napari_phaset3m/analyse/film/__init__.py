"""Films of volumes: their frames as arrays, without Qt, without matplotlib."""

from __future__ import annotations
