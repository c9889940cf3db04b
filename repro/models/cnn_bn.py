"""Stride-2 convolutions of 12 and 24 channels with batch normalisation and a dense layer of 64 units."""

from repro.models import Block, Convolution, Dense


def blocks(shape: tuple[int, int, int], classes: int) -> tuple[Block, ...]:
    """Hidden blocks, whatever the image's shape."""
    return Convolution(12, normalised=True), Convolution(24, normalised=True), Dense(64)
