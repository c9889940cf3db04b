"""Stride-2 convolutions of 16 and 32 channels and a dense layer of 64 units, no normalisation."""

from repro.models import Block, Convolution, Dense


def blocks(shape: tuple[int, int, int], classes: int) -> tuple[Block, ...]:
    """Hidden blocks, whatever the image's shape."""
    return Convolution(16), Convolution(32), Dense(64)
