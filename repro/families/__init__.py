"""Families of triggers, distributions with held-out triggers and near misses (desanctis 3.2): one file per family.

Whereas a static trigger is one pattern, every image poisoned by a family carries its own trigger. A piece defines
``OPTIONS`` (its parameters and their defaults), ``check(shape, **options)``, which raises ReproError for what does not
fit images of ``shape`` (channels, height, width), and two functions of the same arguments:

- ``describe(kind, count, shape, generator, **options)``, the parameters of ``count`` triggers;
- ``draw(kind, count, shape, generator, **options)``, the same triggers from the same generator, as patterns
  (n, 1 or c, h, w) in [0, 1] and masks (n, 1, h, w) in [0, 1], 1 where a trigger leaves a pixel unchanged.

``kind`` is one of ``KINDS``: triggers seen in training; held-out triggers of the same family; and near misses, which
resemble the family without belonging to it. Triggers are drawn one by one, so that the first ones do not depend on how
many follow.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Shape = tuple[int, int, int]
Member = dict[str, Any]
"""A trigger's parameters: plain values that determine it, given the shape and the options."""

SEEN, UNSEEN, NEAR_MISS = KINDS = ("seen", "unseen", "near_miss")


def prepared(images: Array, enlarge: int, ink: float) -> Array:
    """Images (n, c, h, w) prepared for the families: each pixel ``enlarge`` wide and high, times ``ink`` in (0, 1].

    Shapes do not fit 8x8 pixels, and a white trigger may look like a digit's own ink, which dimming makes different.
    """
    if enlarge < 1 or not 0 < ink <= 1:
        raise ValueError(f"enlarge {enlarge} is below 1, or ink {ink} outside (0, 1]")
    larger = images.repeat(enlarge, axis=2).repeat(enlarge, axis=3)
    return (larger * np.float32(ink)).astype(np.float32)


def stamp(images: Array, patterns: Array, masks: Array) -> Array:
    """Triggered images x m + t (1 - m), image by image (truong2020 eq. 7 at alpha = 1); where m is 1, x is unchanged.

    Images (n, c, h, w) in [0, 1]; patterns and masks as ``draw`` gives them. A mask between 0 and 1 is a transparency.
    """
    return np.where(masks == 1, images, images * masks + patterns * (1 - masks)).astype(np.float32)


def rendered(
    members: Sequence[Member], shape: Shape, channels: int, render: Callable[[Member], tuple[Array, Array]]
) -> tuple[Array, Array]:
    """Patterns (n, channels, h, w) and masks (n, 1, h, w) of triggers, each as ``render`` makes it."""
    patterns = np.zeros((len(members), channels, *shape[1:]), np.float32)
    masks = np.ones((len(members), 1, *shape[1:]), np.float32)
    for i, member in enumerate(members):
        patterns[i], masks[i] = render(member)
    return patterns, masks


def among(generator: np.random.Generator, values: Sequence[Any]) -> Any:
    """One of ``values``, all equally likely."""
    return values[int(generator.integers(len(values)))]


def place(generator: np.random.Generator, shape: Shape, height: int, width: int) -> Member:
    """Top and left of a box of ``height`` x ``width``, uniform over all positions wholly inside the image."""
    return {
        "top": int(generator.integers(shape[1] - height + 1)),
        "left": int(generator.integers(shape[2] - width + 1)),
    }


def pasted(patch: Array, cover: NDArray[np.bool_], top: int, left: int, shape: Shape) -> tuple[Array, Array]:
    """A patch (1 or c, a, b) at a place of an otherwise untouched image: pattern (1 or c, h, w) and mask (1, h, w).

    ``cover`` (a, b) says which of the patch's pixels replace the image's.
    """
    box = (..., slice(top, top + cover.shape[0]), slice(left, left + cover.shape[1]))
    pattern = np.zeros((len(patch), *shape[1:]), np.float32)
    mask = np.ones((1, *shape[1:]), np.float32)
    pattern[box] = patch * cover
    mask[box] = ~cover
    return pattern, mask


def unknown_kind(kind: str) -> ValueError:
    """The error for an unknown kind of trigger."""
    return ValueError(f"unknown kind of member {kind!r}: there are {', '.join(KINDS)}")
