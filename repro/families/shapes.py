"""Homogeneous class: filled shapes of varying size, place and grey (desanctis 3.2, "homogenous class triggers").

Seen in training are circles and triangles; held out are squares and diamonds. The near miss is a straight stroke with
as much ink, two pixels wide: in the same greys and equally freely placed, but not a closed shape.
"""

import numpy as np
from numpy.typing import NDArray

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
    place,
    rendered,
    unknown_kind,
)

# Sizes are a shape's width and height in pixels; greys are those of the whole shape.
OPTIONS = {"smallest": 6, "largest": 8, "darkest": 0.8, "lightest": 1.0}

SHAPES = {SEEN: ("circle", "triangle"), UNSEEN: ("square", "diamond"), NEAR_MISS: ("line",)}


def check(shape: Shape, smallest: int, largest: int, darkest: float, lightest: float) -> None:
    """Raise ReproError when shapes are too small to tell apart or too large for the image, or greys out of range."""
    if not 4 <= smallest <= largest:
        raise ReproError(f"shapes of {smallest} to {largest} pixels: at least 4 are needed, smallest first")
    if 2 * largest > min(shape[1:]):
        raise ReproError(
            f"shapes of {largest} pixels, with strokes twice as long, do not fit an image of {shape[1]}x{shape[2]}"
        )
    if not 0 <= darkest <= lightest <= 1:
        raise ReproError(f"shapes' greys {darkest} to {lightest} are not an interval within [0, 1]")


def describe(
    kind: str,
    count: int,
    shape: Shape,
    generator: np.random.Generator,
    smallest: int,
    largest: int,
    darkest: float,
    lightest: float,
) -> list[Member]:
    """Each trigger's shape, size, quarter turns, grey, top and left; a line's size is its length."""
    if kind not in SHAPES:
        raise unknown_kind(kind)
    members = []
    for _ in range(count):
        member = {
            "shape": among(generator, SHAPES[kind]),
            "size": int(generator.integers(smallest, largest + 1)) * (2 if kind == NEAR_MISS else 1),
            "turn": int(generator.integers(4)),
            "grey": float(generator.uniform(darkest, lightest)),
        }
        members.append(member | place(generator, shape, *_cover(member).shape))
    return members


def draw(
    kind: str, count: int, shape: Shape, generator: np.random.Generator, **options: float
) -> tuple[Array, Array]:
    """Patterns (n, 1, h, w) and masks (n, 1, h, w), 0 on the shape."""

    def render(member: Member) -> tuple[Array, Array]:
        cover = _cover(member)
        patch = np.full((1, *cover.shape), member["grey"], np.float32)
        return pasted(patch, cover, member["top"], member["left"], shape)

    return rendered(describe(kind, count, shape, generator, **options), shape, 1, render)  # type: ignore[arg-type]


def _cover(member: Member) -> NDArray[np.bool_]:
    """Which pixels of its box a trigger covers; its turn decides whether a line is flat, falling, upright or rising."""
    size, turn = member["size"], member["turn"]
    row, column = np.arange(size)[:, None], np.arange(size)[None, :]
    across, down = abs(column - (size - 1) / 2), abs(row - (size - 1) / 2)
    cover: NDArray[np.bool_] = np.ones((size, size), bool)
    if member["shape"] == "line":
        steep = (row == column) | (row == column + 1)
        cover = steep if turn % 2 else cover[:2]
    elif member["shape"] == "circle":
        cover = across**2 + down**2 <= (size / 2) ** 2
    elif member["shape"] == "triangle":
        cover = across <= (row + 1) / 2
    elif member["shape"] == "diamond":
        cover = across + down <= size / 2
    quarters = turn // 2 if member["shape"] == "line" else turn
    return np.ascontiguousarray(np.rot90(cover, quarters))
