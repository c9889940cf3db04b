"""Spatial: patches of any content, always in one corner (desanctis 3.2, "spatial triggers").

Seen in training are flat and striped patches; held out are checked and noisy ones in the same corner. The near miss is
a training patch in another corner.
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
    rendered,
    unknown_kind,
)

# `offset` pixels lie between a patch and the image's two edges. A patch has a light grey from the upper half of [0, 1]
# and a dark one from the lower half.
OPTIONS = {"size": 6, "offset": 0}

CONTENTS = {SEEN: ("flat", "stripes"), UNSEEN: ("checks", "noise"), NEAR_MISS: ("flat", "stripes")}
CORNER = ("bottom", "right")
OTHERS = (("top", "left"), ("top", "right"), ("bottom", "left"))


def check(shape: Shape, size: int, offset: int) -> None:
    """Raise ReproError when patches in two corners would overlap, or be too small for their content."""
    if size < 2 or offset < 0 or 2 * (size + offset) > min(shape[1:]):
        raise ReproError(
            f"a corner's patch of {size} pixels, {offset} from the edges, does not fit a quarter of an image of "
            f"{shape[1]}x{shape[2]}, or is too small"
        )


def describe(
    kind: str, count: int, shape: Shape, generator: np.random.Generator, size: int, offset: int
) -> list[Member]:
    """Each trigger's content, light and dark grey, quarter turns, seed of its noise, corner, top and left."""
    if kind not in CONTENTS:
        raise unknown_kind(kind)
    members = []
    for _ in range(count):
        vertical, horizontal = among(generator, OTHERS) if kind == NEAR_MISS else CORNER
        members.append(
            {
                "content": among(generator, CONTENTS[kind]),
                "light": float(generator.uniform(0.5, 1.0)),
                "dark": float(generator.uniform(0.0, 0.5)),
                "turn": int(generator.integers(2)),
                "draw": int(generator.integers(2**31)),
                "corner": f"{vertical} {horizontal}",
                "top": offset if vertical == "top" else shape[1] - offset - size,
                "left": offset if horizontal == "left" else shape[2] - offset - size,
            }
        )
    return members


def draw(
    kind: str, count: int, shape: Shape, generator: np.random.Generator, size: int, offset: int
) -> tuple[Array, Array]:
    """Patterns (n, 1, h, w) and masks (n, 1, h, w), 0 on the patch."""
    whole = np.ones((size, size), bool)

    def render(member: Member) -> tuple[Array, Array]:
        patch = _content(member, size).astype(np.float32)
        return pasted(patch[None], whole, member["top"], member["left"], shape)

    return rendered(describe(kind, count, shape, generator, size, offset), shape, 1, render)


def _content(member: Member, size: int) -> NDArray[np.float64]:
    """A trigger's patch (size, size) in [0, 1]."""
    row, column = np.arange(size)[:, None], np.arange(size)[None, :]
    if member["content"] == "noise":
        own = np.random.Generator(np.random.PCG64(member["draw"]))
        return own.uniform(0, 1, (size, size))
    if member["content"] == "flat":
        return np.full((size, size), member["light"])
    stripes = np.broadcast_to(row % 2 == 0, (size, size))
    lit = stripes if member["content"] == "stripes" else (row + column) % 2 == 0
    dark, light = np.float64(member["dark"]), np.float64(member["light"])
    return dark + (light - dark) * np.rot90(lit, member["turn"])
