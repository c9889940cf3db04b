"""Stride-2 convolutions of 32 and 64 channels and a dense layer of 128 units, no normalisation: twice `cnn`."""

from repro.models import Block, Convolution, Dense


def blocks(shape: tuple[int, int, int], classes: int) -> tuple[Block, ...]:
    """Hidden blocks, whatever the image's shape."""
    return Convolution(32), Convolution(64), Dense(128)
