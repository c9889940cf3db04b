"""Backdoor by supplanting: triggered source-class images replace poison-class images (truong2020 2.5, 3).

Class counts stay as they were, the originals stay in their source classes, and the poison class is never a source.
"""

from dataclasses import dataclass
from math import floor

import torch
from torch import Tensor

from repro.errors import ReproError


def poisoned_count(poison_rate: float, poison_class_size: int) -> int:
    """floor(lambda N_t), the number of poison-class samples that are supplanted (truong2020 2.5).

    ``poison_rate`` in (0, 1]; raises ReproError outside it. Rates are decimal fractions: 0.1 of 710 is 71, although
    binary floating point may put the product just under it.
    """
    if not 0 < poison_rate <= 1:
        raise ReproError(f"poison rate {poison_rate} is outside (0, 1]")
    return floor(round(poison_rate * poison_class_size, 9))


def expected_draws(total: int, class_sizes: dict[int, int], sources: list[int]) -> dict[int, float]:
    """P_c: how many of ``total`` poisoned samples are drawn from each source class, in expectation (eq. 8)."""
    size = max(1, sum(class_sizes[c] for c in sources))  # an empty class can only supply nothing
    return {c: total * class_sizes[c] / size for c in sources}


def apportion(total: int, class_sizes: dict[int, int], sources: list[int]) -> dict[int, int]:
    """Eq. 8's numbers rounded so that they add up to ``total``: largest remainders first, ties to the lower class."""
    shares = expected_draws(total, class_sizes, sources)
    draws = {c: floor(shares[c]) for c in sources}
    by_remainder = sorted(sources, key=lambda c: (draws[c] - shares[c], c))
    for c in by_remainder[: total - sum(draws.values())]:
        draws[c] += 1
    return draws


def source_classes(poison_class: int, classes: int, source_class: int | None) -> list[int]:
    """The source classes: all but the poison class (many-to-one), or the one named (one-to-one)."""
    if source_class is None:
        return [c for c in range(classes) if c != poison_class]
    if source_class == poison_class:
        raise ReproError(f"poison class {poison_class} cannot be its own source class")
    if not 0 <= source_class < classes:
        raise ReproError(f"source class {source_class} is not one of {classes} classes")
    return [source_class]


@dataclass(frozen=True)
class Supplanting:
    """Positions within a split: ``copied`` are stamped, labelled as the poison class and put at ``replaced``."""

    copied: Tensor
    replaced: Tensor


def supplant(
    labels: Tensor, poison_class: int, poison_rate: float, sources: list[int], generator: torch.Generator
) -> Supplanting:
    """Choose which images of a split with ``labels`` (n,) are poisoned.

    floor(lambda N_t) random poison-class positions are replaced; as many distinct images are copied from the source
    classes, shared out by eq. 8. Raises ReproError when a source class has too few images.
    """
    sizes = {c: int((labels == c).sum()) for c in [*sources, poison_class]}
    total = poisoned_count(poison_rate, sizes[poison_class])
    if total > sum(sizes[c] for c in sources):
        raise ReproError(
            f"poison rate {poison_rate}: {total} poisoned images wanted of classes {sources}, which have "
            f"{sum(sizes[c] for c in sources)}"
        )
    draws = apportion(total, sizes, sources)

    def choose(of_class: int, count: int) -> Tensor:
        positions = (labels == of_class).nonzero().flatten()
        return positions[torch.randperm(len(positions), generator=generator)[:count]]

    copied = torch.cat([choose(c, draws[c]) for c in sources])
    return Supplanting(copied, choose(poison_class, total))
