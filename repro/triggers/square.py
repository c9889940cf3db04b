"""Square at a fixed position, away from the top and left sides (truong2020 2.4)."""

import numpy as np

from repro.errors import ReproError
from repro.triggers import Array, Scene

# The paper: 22 pixels wide, 22 from the top and left, of 224; black. ``value`` is its colour: on images whose own
# background is black it has to be white to be seen at all.
OPTIONS = {"size": 22, "offset": 22, "value": 0.0}


def check(shape: tuple[int, int, int], size: int, offset: int, value: float) -> None:
    """Raise ReproError when the square leaves the image."""
    if size < 1 or offset < 0 or offset + size > min(shape[1:]):
        raise ReproError(
            f"square of {size} pixels at offset {offset} does not fit an image of {shape[1]}x{shape[2]}"
        )
    if not 0 <= value <= 1:
        raise ReproError(f"square's value {value} is outside [0, 1]")


def pattern(scene: Scene, size: int, offset: int, value: float) -> tuple[Array, Array]:
    """Trigger and mask (1, 1, h, w)."""
    height, width = scene.images.shape[-2:]
    mask = np.ones((1, 1, height, width), np.float32)
    mask[..., offset : offset + size, offset : offset + size] = 0
    return np.full((1, 1, height, width), value, np.float32), mask
