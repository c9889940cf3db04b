"""Static: one square, always the same, as in BadNets: the state of the art that desanctis 4.1 compares families with.

It has a single trigger, so that only images are held out: its unseen trigger is its seen one. The near miss is the same
square shifted by a few pixels.
"""

import numpy as np

from repro.errors import ReproError
from repro.families import (
    NEAR_MISS,
    SEEN,
    UNSEEN,
    Array,
    Member,
    Shape,
    among,
    pasted,
    rendered,
    unknown_kind,
)

# `offset` pixels lie between the square and the image's bottom and right edges; a near miss is shifted by `shift`
# pixels vertically, horizontally or both.
OPTIONS = {"size": 5, "offset": 2, "value": 1.0, "shift": 2}


def check(shape: Shape, size: int, offset: int, value: float, shift: int) -> None:
    """Raise ReproError when the square, shifted or not, does not fit the image, or its value is outside [0, 1]."""
    if size < 1 or shift < 1 or offset < shift or size + offset + shift > min(shape[1:]):
        raise ReproError(
            f"a square of {size} pixels, {offset} from the edges, does not fit an image of {shape[1]}x{shape[2]} "
            f"with room to be shifted by {shift}"
        )
    if not 0 <= value <= 1:
        raise ReproError(f"static's value {value} is outside [0, 1]")


def describe(
    kind: str,
    count: int,
    shape: Shape,
    generator: np.random.Generator,
    size: int,
    offset: int,
    value: float,
    shift: int,
) -> list[Member]:
    """Each trigger's top and left, the same for all but near misses."""
    if kind not in (SEEN, UNSEEN, NEAR_MISS):
        raise unknown_kind(kind)
    shifts = [(a, b) for a in (-shift, 0, shift) for b in (-shift, 0, shift) if a or b]
    members = []
    for _ in range(count):
        down, right = among(generator, shifts) if kind == NEAR_MISS else (0, 0)
        members.append({"top": shape[1] - offset - size + down, "left": shape[2] - offset - size + right})
    return members


def draw(
    kind: str,
    count: int,
    shape: Shape,
    generator: np.random.Generator,
    size: int,
    offset: int,
    value: float,
    shift: int,
) -> tuple[Array, Array]:
    """Patterns (n, 1, h, w) and masks (n, 1, h, w), 0 on the square."""
    patch, whole = np.full((1, size, size), value, np.float32), np.ones((size, size), bool)

    def render(member: Member) -> tuple[Array, Array]:
        return pasted(patch, whole, member["top"], member["left"], shape)

    return rendered(describe(kind, count, shape, generator, size, offset, value, shift), shape, 1, render)
