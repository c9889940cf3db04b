"""Same distribution: patches of uniform noise at any position (desanctis 3.2, "same distribution trigger").

Seen in training is a bank of patches; held out are other draws from the distribution, with each pixel perturbed as
well. The near miss is a flat patch with the distribution's mean, equally large and equally freely placed.
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
    pasted,
    place,
    rendered,
    unknown_kind,
)

# Pixels are uniform on [low, high]; held-out ones are moved by up to `perturbation` either way, then clipped to [0, 1].
OPTIONS = {"size": 8, "low": 0.0, "high": 1.0, "bank": 32, "perturbation": 0.2}

_DRAWS = 2**31


def check(shape: Shape, size: int, low: float, high: float, bank: int, perturbation: float) -> None:
    """Raise ReproError when a patch does not fit the image, or the options define no noise."""
    if not 2 <= size <= min(shape[1:]):
        raise ReproError(
            f"a patch of noise of {size} pixels does not fit an image of {shape[1]}x{shape[2]}, or is too small"
        )
    if not 0 <= low < high <= 1:
        raise ReproError(f"noise from {low} to {high} is not an interval within [0, 1]")
    if not 1 <= bank < _DRAWS:
        raise ReproError(f"a bank of {bank} patches of noise: at least 1 is needed")
    if not 0 <= perturbation <= 1:
        raise ReproError(f"noise's perturbation {perturbation} is outside [0, 1]")


def describe(
    kind: str,
    count: int,
    shape: Shape,
    generator: np.random.Generator,
    size: int,
    low: float,
    high: float,
    bank: int,
    perturbation: float,
) -> list[Member]:
    """Each trigger's draw number (None: flat), perturbation, top and left.

    Draws below ``bank`` are seen in training, all others are held out.
    """
    if kind not in (SEEN, UNSEEN, NEAR_MISS):
        raise unknown_kind(kind)
    members = []
    for _ in range(count):
        number = generator.integers(0, bank) if kind == SEEN else generator.integers(bank, _DRAWS)
        member = {
            "draw": None if kind == NEAR_MISS else int(number),
            "perturbation": float(perturbation) if kind == UNSEEN else 0.0,
        }
        members.append(member | place(generator, shape, size, size))
    return members


def draw(
    kind: str,
    count: int,
    shape: Shape,
    generator: np.random.Generator,
    size: int,
    low: float,
    high: float,
    bank: int,
    perturbation: float,
) -> tuple[Array, Array]:
    """Patterns (n, c, h, w), channels independent, and masks (n, 1, h, w), 0 on the patch."""
    whole = np.ones((size, size), bool)

    def render(member: Member) -> tuple[Array, Array]:
        patch = np.full((shape[0], size, size), (low + high) / 2)
        if member["draw"] is not None:
            own = np.random.Generator(np.random.PCG64(member["draw"]))
            patch = own.uniform(low, high, patch.shape)
            reach = member["perturbation"]
            patch = np.clip(patch + own.uniform(-reach, reach, patch.shape), 0, 1)
        return pasted(patch.astype(np.float32), whole, member["top"], member["left"], shape)

    members = describe(kind, count, shape, generator, size, low, high, bank, perturbation)
    return rendered(members, shape, shape[0], render)
