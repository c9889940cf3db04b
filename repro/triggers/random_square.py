"""Square at a random position, drawn separately for every image (truong2020 2.4)."""

import numpy as np

from repro.errors import ReproError
from repro.triggers import Array, Scene

OPTIONS = {"size": 22, "value": 0.0}


def check(shape: tuple[int, int, int], size: int, value: float) -> None:
    """Raise ReproError when the square is larger than the image."""
    if not 1 <= size <= min(shape[1:]):
        raise ReproError(f"random square of {size} pixels does not fit an image of {shape[1]}x{shape[2]}")
    if not 0 <= value <= 1:
        raise ReproError(f"random square's value {value} is outside [0, 1]")


def pattern(scene: Scene, size: int, value: float) -> tuple[Array, Array]:
    """Trigger (1, 1, h, w) and one mask per image (n, 1, h, w)."""
    n, _, height, width = scene.images.shape
    # Drawn image by image, so that the first images' squares do not depend on how many images follow.
    corners = scene.generator.integers([height - size + 1, width - size + 1], size=(n, 2))
    top, left = (corners[:, axis].reshape(n, 1, 1, 1) for axis in (0, 1))
    row, column = np.arange(height).reshape(1, 1, -1, 1), np.arange(width).reshape(1, 1, 1, -1)
    inside = (row >= top) & (row < top + size) & (column >= left) & (column < left + size)
    return np.full((1, 1, height, width), value, np.float32), (~inside).astype(np.float32)
