"""Parameters of the local alignment."""

from __future__ import annotations

from pydantic import Field

from napari_phaset3m.config import Model, PositiveInt


class LocalConfig(Model):
    """Patches and the smoothness of the field."""

    local_patches: int = Field(5, ge=2, le=20, description="Patches along each side of the image")
    local_patch_size: float = Field(0.35, gt=0.05, lt=1, description="Size of a patch, fraction of the image")
    local_order: int = Field(2, ge=1, le=4, description="Order of the polynomial over the image")
    local_neighbours: int = Field(
        3, ge=1, le=10, description="Every tilt is correlated with so many on either side"
    )
    local_max_shift_px: float = Field(
        4.0, gt=0, description="Largest local shift, between neighbours and in all, pixels"
    )
    local_rounds: PositiveInt = Field(2, description="Rounds; images are unbent in between")
    local_grid: int = Field(9, ge=2, le=65, description="Points of the field along each side")
