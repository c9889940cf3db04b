"""Two dense layers of 128 and 64 units, no normalisation."""

from repro.models import Block, Dense


def blocks(shape: tuple[int, int, int], classes: int) -> tuple[Block, ...]:
    """Hidden blocks, whatever the image's shape."""
    return Dense(128), Dense(64)
