"""Frequency: plane sinusoids over the whole image, from one band (desanctis 3.2, "frequency triggers").

Seen in training are the ends of the band at evenly spaced orientations and phases; held out is the middle of the band
at the orientations and phases halfway between. The near miss is white noise of the same energy: a training trigger's
own pixels, shuffled, so that only the frequency is lost.
"""

import numpy as np

from repro.errors import ReproError
from repro.families import NEAR_MISS, SEEN, UNSEEN, Array, Member, Shape, among, rendered, unknown_kind

# Frequencies in cycles per image along the shorter side; the image shows through with weight 1 - opacity.
OPTIONS = {"lowest": 4.0, "highest": 6.0, "orientations": 4, "phases": 4, "opacity": 0.4}


def check(
    shape: Shape, lowest: float, highest: float, orientations: int, phases: int, opacity: float
) -> None:
    """Raise ReproError for an invalid band, or one that reaches half a cycle per pixel.

    At that frequency a sinusoid may be zero at every pixel, and thus plain grey; beyond it, the sinusoid aliases.
    """
    if not 0 < lowest < highest < min(shape[1:]) / 2:
        raise ReproError(
            f"a band of {lowest} to {highest} cycles is empty, or needs more than {shape[1]}x{shape[2]} pixels"
        )
    if orientations < 1 or phases < 1:
        raise ReproError(f"{orientations} orientations and {phases} phases: at least 1 of each is needed")
    if not 0 < opacity <= 1:
        raise ReproError(f"frequency's opacity {opacity} is outside (0, 1]")


def describe(
    kind: str,
    count: int,
    shape: Shape,
    generator: np.random.Generator,
    lowest: float,
    highest: float,
    orientations: int,
    phases: int,
    opacity: float,
) -> list[Member]:
    """Each trigger's cycles per image, orientation and phase in degrees, and the seed of its shuffling, or None."""
    if kind not in (SEEN, UNSEEN, NEAR_MISS):
        raise unknown_kind(kind)
    halfway = 0.5 if kind == UNSEEN else 0.0
    members = []
    for _ in range(count):
        ends = float(among(generator, (lowest, highest)))
        seed = int(generator.integers(2**31))
        members.append(
            {
                "cycles": (lowest + highest) / 2 if kind == UNSEEN else ends,
                "orientation": (int(generator.integers(orientations)) + halfway) * 180 / orientations,
                "phase": (int(generator.integers(phases)) + halfway) * 360 / phases,
                "shuffled": seed if kind == NEAR_MISS else None,
            }
        )
    return members


def draw(
    kind: str,
    count: int,
    shape: Shape,
    generator: np.random.Generator,
    lowest: float,
    highest: float,
    orientations: int,
    phases: int,
    opacity: float,
) -> tuple[Array, Array]:
    """Patterns (n, 1, h, w) between black and white about mid-grey, and masks of 1 - opacity everywhere."""
    _, height, width = shape
    row, column = np.arange(height)[:, None] + 0.5, np.arange(width)[None, :] + 0.5

    def render(member: Member) -> tuple[Array, Array]:
        angle = np.deg2rad(member["orientation"])
        along = (column * np.cos(angle) + row * np.sin(angle)) / min(height, width)
        wave = np.sin(2 * np.pi * member["cycles"] * along + np.deg2rad(member["phase"]))
        if member["shuffled"] is not None:
            own = np.random.Generator(np.random.PCG64(member["shuffled"]))
            wave = own.permutation(wave.ravel()).reshape(wave.shape)
        mask = np.full((1, height, width), 1 - opacity, np.float32)
        return (0.5 + 0.5 * wave).astype(np.float32)[None], mask

    members = describe(kind, count, shape, generator, lowest, highest, orientations, phases, opacity)
    return rendered(members, shape, 1, render)
