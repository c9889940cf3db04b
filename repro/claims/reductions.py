"""From the values of each condition to one effect per unit: what a statistic does once its evidence is selected.

Values have shape (..., u, m), u units and m conditions per unit; effects (..., u'), one per unit that the interval
rests on. Where the evidence itself decides which conditions are compared (the highest with the lowest), they are chosen
on the first half of the units and measured on the second: if both were done on the same units, noise alone would give a
difference.
"""

from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Reduction(Protocol):
    """How effects are computed from values."""

    @property
    def between(self) -> bool:
        """Whether conditions belong to units, so that a control permutes units rather than a unit's own values."""

    def effects(self, values: Floats) -> Floats:
        """One effect per unit, in the metric's units."""

    def pooled(self) -> Self:
        """The same reduction for values that are means over the cells."""


@dataclass(frozen=True)
class Difference:
    """Mean of the first ``taken`` conditions minus that of the others; for a ``figure``, the former alone."""

    taken: int
    figure: bool = False
    between: bool = False

    def effects(self, values: Floats) -> Floats:
        """One effect per unit."""
        treatment: Floats = values[..., : self.taken].mean(axis=-1)
        return treatment if self.figure else treatment - values[..., self.taken :].mean(axis=-1)

    def pooled(self) -> Self:
        """Itself."""
        return self


@dataclass(frozen=True)
class Deviations:
    """A difference of distances from the median over the units: how much more the treatment spreads.

    Brown and Forsythe's way to compare spreads, paired within units.
    """

    taken: int
    between: bool = False

    def effects(self, values: Floats) -> Floats:
        """One effect per unit."""
        return Difference(self.taken).effects(np.abs(values - np.median(values, axis=-2, keepdims=True)))

    def pooled(self) -> Self:
        """Itself."""
        return self


@dataclass(frozen=True)
class HighestLessLowest:
    """The condition that is highest in ``by``, (c, u, m) or the values themselves, minus the lowest one."""

    by: Floats | None = None
    between: bool = False

    def effects(self, values: Floats) -> Floats:
        """One effect per unit of the second half."""
        half = values.shape[-2] // 2
        ranked = values if self.by is None else np.broadcast_to(self.by, values.shape)
        means = ranked[..., :half, :].mean(axis=-2)
        ends = np.stack([means.argmax(axis=-1), means.argmin(axis=-1)], axis=-1)
        measured = np.take_along_axis(values[..., half:, :], ends[..., None, :], axis=-1)
        effects: Floats = measured[..., 0] - measured[..., 1]
        return effects

    def pooled(self) -> Self:
        """The same reduction with ``by`` averaged over the cells."""
        return self if self.by is None else replace(self, by=self.by.mean(axis=0))


@dataclass(frozen=True)
class HigherHalf:
    """Units at the levels with the higher values minus those at the others; ``levels`` (u,) counts from 0.

    A unit's effect is its value minus the first half's mean, times its side's sign and inverse share, so that the mean
    over units is the difference between the two sides' means.
    """

    levels: NDArray[np.int64]
    between: bool = True

    def effects(self, values: Floats) -> Floats:
        """One effect per unit of the second half."""
        value = values[..., 0]
        half, count = value.shape[-1] // 2, int(self.levels.max()) + 1
        chosen, measured = self.levels[:half], self.levels[half:]
        means = np.stack(
            [value[..., :half][..., chosen == level].mean(axis=-1) for level in range(count)], -1
        )
        ranks = means.argsort(axis=-1).argsort(axis=-1)
        high = np.take_along_axis(
            ranks >= (count + 1) // 2, np.broadcast_to(measured, (*ranks.shape[:-1], len(measured))), axis=-1
        )
        share = high.mean(axis=-1, keepdims=True)
        weights = np.where(high, 1 / share, -1 / (1 - share))
        effects: Floats = weights * (value[..., half:] - value[..., :half].mean(axis=-1, keepdims=True))
        return effects

    def pooled(self) -> Self:
        """Itself."""
        return self
