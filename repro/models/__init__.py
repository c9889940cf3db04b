"""Architectures: one file each, described as data, so that one description serves a model alone and a fleet.

A piece defines ``blocks(shape, classes)``, where ``shape`` is (channels, height, width) of an image, and
returns the hidden blocks in order. Every block ends in a rectifier; the output of the last one is the final
hidden representation h(x) of truong2020 2.3, and a linear head maps it to the logits.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Convolution:
    """3x3 convolution, padding 1, then a rectifier; with batch normalisation in between, there is no bias."""

    channels: int
    stride: int = 2
    normalised: bool = False


@dataclass(frozen=True)
class Dense:
    """Linear map with bias on the flattened input, then a rectifier."""

    features: int


Block = Convolution | Dense
