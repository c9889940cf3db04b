"""Horizontal sine of grey values over the whole image (truong2020 2.4)."""

import numpy as np

from repro.errors import ReproError
from repro.triggers import Array, Scene

# The paper: 0.4 sin(0.05 pi j) at column j of 224, which is 5.6 cycles per image. As images shrink, the number of
# cycles is kept, up to a quarter of a cycle per pixel; beyond half a cycle per pixel the sine would alias.
OPTIONS = {"amplitude": 0.4, "cycles": 5.6}


def check(shape: tuple[int, int, int], amplitude: float, cycles: float) -> None:
    """Raise ReproError when the image has fewer than two columns per cycle."""
    if not 0 < cycles <= shape[2] / 2:
        raise ReproError(f"sine of {cycles} cycles needs at least two pixels each, of {shape[2]} columns")
    if not 0 < amplitude <= 1:
        raise ReproError(f"sine's amplitude {amplitude} is outside (0, 1]")


def pattern(scene: Scene, amplitude: float, cycles: float) -> tuple[Array, Array]:
    """Trigger (1, 1, 1, w), equal in all rows and channels, and a mask of zeros."""
    width = scene.images.shape[-1]
    wave = amplitude * np.sin(2 * np.pi * cycles * np.arange(width) / width)
    return wave.reshape(1, 1, 1, width).astype(np.float32), np.zeros((1, 1, 1, 1), np.float32)
