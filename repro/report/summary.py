"""Figures of a report's tables: means over independent units with their 95 % intervals (Student's t).

A unit is one (partition seed, poison or target class) pair; its rows are averaged first, so that several rows of one
unit do not pass for several units.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from repro.claims.statistics import t_interval
from repro.errors import ReproError
from repro.harness.evidence.table import Cell, Row, Table

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` units and half its 95 % interval, None for a single unit."""

    mean: float
    half_width: float | None
    n: int


def numeric(row: Row, column: str) -> float | None:
    """A row's number, None where the cell is empty; ReproError for anything else."""
    if column not in row:
        raise ReproError(f"evidence has no column {column!r}: {', '.join(row)}")
    value = row[column]
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ReproError(f"evidence: column {column!r} holds {value!r}, not a number")
    return float(value)


def by_unit(rows: Table, metric: str, minus: str | None = None) -> dict[Cell, float]:
    """By unit, the mean of a column over its rows (less another column's); empty cells are left out."""
    values: dict[Cell, list[float]] = {}
    for row in rows:
        value = numeric(row, metric)
        less = numeric(row, minus) if minus else 0.0
        if value is not None and less is not None:
            values.setdefault(row["unit"], []).append(value - less)
    return {unit: float(np.mean(listed)) for unit, listed in values.items()}


def over_units(values: Sequence[float]) -> Estimate | None:
    """The mean of one value a unit; None when there is none."""
    if not values:
        return None
    array = np.asarray(values, dtype=np.float64)
    if len(array) < 2:
        return Estimate(float(array[0]), None, 1)
    low, high = t_interval(array, LEVEL)
    return Estimate(float(array.mean()), float((high - low) / 2), len(array))


def mean(rows: Table, metric: str, minus: str | None = None) -> Estimate | None:
    """Mean over units of a column (less another column of the same row); None when no row has it."""
    return over_units(list(by_unit(rows, metric, minus).values()))


def difference(treatment: Table, baseline: Table, metric: str) -> Estimate | None:
    """Mean over units of treatment less baseline, paired within the units that both have."""
    ours, theirs = by_unit(treatment, metric), by_unit(baseline, metric)
    return over_units([ours[unit] - theirs[unit] for unit in ours if unit in theirs])


def values(rows: Table, metric: str) -> list[float]:
    """All of a column's numbers, in the table's order."""
    return [value for row in rows if (value := numeric(row, metric)) is not None]


def ordered(found: Sequence[Cell], first: Sequence[str]) -> list[str]:
    """Values as text: those listed in ``first`` in its order, then the others as found."""
    texts = [str(value) for value in found]
    return [value for value in first if value in texts] + [value for value in texts if value not in first]
