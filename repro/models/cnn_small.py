"""Stride-2 convolutions of 8 and 16 channels and a dense layer of 32 units, no normalisation: half of `cnn`."""

from repro.models import Block, Convolution, Dense


def blocks(shape: tuple[int, int, int], classes: int) -> tuple[Block, ...]:
    """Hidden blocks, whatever the image's shape."""
    return Convolution(8), Convolution(16), Dense(32)
