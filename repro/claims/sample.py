"""What a statistic of a claim selects from an evidence table: values paired within (cell, unit).

Raises a ReproError that names unit and cell for evidence in which a pair is incomplete or a row occurs twice: a mean
over whatever happens to be present would compare different units.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from repro.claims.comparisons import (
    Among,
    Constant,
    Contrast,
    Filter,
    Gap,
    Halves,
    Level,
    Range,
    Spread,
    Value,
)
from repro.claims.reductions import Deviations, Difference, Floats, HigherHalf, HighestLessLowest, Reduction
from repro.errors import ReproError
from repro.harness.evidence.table import Cell, Row, Table

Measured = Contrast | Gap | Constant | Level | Spread | Range | Halves
Key = tuple[Cell, ...]
Group = dict[tuple[Key, Cell], dict[Key, float]]


@dataclass(frozen=True)
class Sample:
    """Values of a statistic's conditions, paired within units.

    cells: labels of the grid's cells. units: their names, sorted. values (c, u, m): m conditions, those of the
    treatment before those of the baseline. reduction: how effects are computed from them. rows: how many were read.
    """

    cells: tuple[str, ...]
    units: tuple[str, ...]
    values: Floats
    reduction: Reduction
    rows: int

    @property
    def effects(self) -> Floats:
        """Effects (c, u') by cell and by unit that the interval rests on, in the metric's units."""
        return self.reduction.effects(self.values)

    @property
    def means(self) -> tuple[float, float] | None:
        """Means of baseline and treatment; None if the statistic does not compare two given conditions."""
        if not isinstance(self.reduction, Difference) or self.reduction.figure:
            return None
        taken = self.reduction.taken
        return float(self.values[..., taken:].mean()), float(self.values[..., :taken].mean())


@dataclass(frozen=True)
class _Side:
    """One side of a comparison: the rows of a condition, and the column (minus another) to read there."""

    condition: Filter
    metric: str
    minus: str | None


def _sides(statistic: Measured, levels: list[Value] | None = None) -> list[_Side]:
    if isinstance(statistic, Range):
        every: Filter = {statistic.factor: levels or []}
        sides = [_Side(every, statistic.metric, statistic.minus)]
        return [*sides, _Side(every, statistic.by, None)] if statistic.by else sides
    if isinstance(statistic, Halves):
        return [_Side({}, statistic.metric, statistic.minus)]
    if isinstance(statistic, Gap):
        return [_Side({}, statistic.metric, None), _Side({}, statistic.minus, None)]
    if isinstance(statistic, Constant):
        return [_Side({}, statistic.metric, statistic.minus)]
    return [_Side(c, statistic.metric, statistic.minus) for c in (statistic.treatment, statistic.baseline)]


def left_out(statistic: Measured | Among, table: Table) -> str | None:
    """What the statistic asks for that no row of the table has, such as a trigger outside the profile's grid."""
    sides = [] if isinstance(statistic, Among) else _sides(statistic)
    for condition in (statistic.where, *(side.condition for side in sides)):
        for column, wanted in condition.items():
            for value in wanted if isinstance(wanted, list) else [wanted]:
                if column not in table.columns or all(row[column] != value for row in table):
                    return wording({column: value})
    if isinstance(statistic, Range | Halves) and len(_levels(statistic, table)) < 2:
        return f"more than one {statistic.factor}"
    if isinstance(statistic, Halves) and not _in_both_halves(statistic, table):
        return f"every {statistic.factor} in both halves of the units"
    return None


def _levels(statistic: Range | Halves, table: Table) -> list[Value]:
    """Levels of the statistic's factor in the rows it looks at, sorted."""
    if statistic.factor not in table.columns:
        return []
    found = {row[statistic.factor] for row in selected(table, statistic.where)}
    return sorted((level for level in found if level is not None), key=str)


def draw(statistic: Measured, table: Table, experiment: str) -> Sample:
    """The sample of a statistic from the experiment's table; raises ReproError where it is incomplete."""
    sides = _sides(statistic, _levels(statistic, table) if isinstance(statistic, Range) else None)
    named = {"unit", *statistic.where, *statistic.cells}
    named |= {statistic.factor} if isinstance(statistic, Range | Halves) else set()
    for side in sides:
        named |= {*side.condition, side.metric, *([side.minus] if side.minus else [])}
    for column in sorted(named - set(table.columns)):
        raise ReproError(f"{experiment}.csv: incomplete evidence: no column {column!r}")
    kept = sorted(selected(table, statistic.where), key=_by_run)
    groups = [_group(kept, side, statistic, experiment) for side in sides]
    cells = sorted({cell for group in groups for cell, _ in group}, key=str)
    units = sorted({unit for group in groups for _, unit in group}, key=str)
    pairs = [[(cell, unit) for unit in units] for cell in cells]
    arrays = [
        np.array([[_values(group, pair, side, statistic, experiment) for pair in line] for line in pairs])
        for group, side in zip(groups, sides, strict=True)
    ]
    read = groups[:1] if isinstance(statistic, Gap | Range) else groups
    values, reduction = _reduced(statistic, arrays, units, kept, experiment)
    return Sample(
        cells=tuple(wording(dict(zip(statistic.cells, cell, strict=True))) for cell in cells),
        units=tuple(map(str, units)),
        values=values,
        reduction=reduction,
        rows=sum(len(found) for group in read for found in group.values()),
    )


def _by_run(row: Row) -> tuple[str, str]:
    """A sort key independent of the table's order, so that an error always names the same one of several bad rows."""
    return str(row.get("run")), str(row.get("phase"))


def _reduced(
    statistic: Measured, arrays: list[Floats], units: list[Cell], kept: list[Row], experiment: str
) -> tuple[Floats, Reduction]:
    """The values of all conditions side by side, and how effects are computed from them."""
    first = arrays[0]
    if isinstance(statistic, Range):
        return first, HighestLessLowest(arrays[1] if statistic.by else None)
    if isinstance(statistic, Halves):
        return first, HigherHalf(_numbered(statistic, units, kept, experiment))
    taken = first.shape[-1]
    if isinstance(statistic, Constant):
        return np.concatenate([first, np.full_like(first, statistic.value)], axis=-1), Difference(taken)
    values = np.concatenate(arrays, axis=-1)
    if isinstance(statistic, Spread):
        return values, Deviations(taken)
    return values, Difference(taken, figure=isinstance(statistic, Level))


def _numbered(statistic: Halves, units: list[Cell], kept: list[Row], experiment: str) -> NDArray[np.int64]:
    """Each unit's level of the factor, counted from 0."""
    of_unit: dict[Cell, Cell] = {}
    for row in kept:
        if of_unit.setdefault(row["unit"], row[statistic.factor]) != row[statistic.factor]:
            raise ReproError(f"{experiment}.csv: unit {row['unit']} has more than one {statistic.factor}")
    names = sorted(set(of_unit.values()), key=str)
    return np.array([names.index(of_unit[unit]) for unit in units])


def _in_both_halves(statistic: Halves, table: Table) -> bool:
    """Whether every level of the factor is in both halves of the units."""
    of_unit = {row["unit"]: row[statistic.factor] for row in selected(table, statistic.where)}
    levels = [of_unit[unit] for unit in sorted(of_unit, key=str)]
    half = len(levels) // 2
    return set(levels[:half]) == set(levels[half:])


def selected(rows: Iterable[Row], wanted: Filter) -> list[Row]:
    """The rows that have the wanted values, or one of those listed for a column."""
    kept = list(rows)
    for column, value in wanted.items():
        listed = value if isinstance(value, list) else [value]
        kept = [row for row in kept if row[column] in listed]
    return kept


def wording(wanted: Mapping[str, object]) -> str:
    """A filter in words: `phase poisoned, trigger sine or square`; `all` when it is empty."""
    listed = {c: v if isinstance(v, list) else [v] for c, v in wanted.items()}
    return ", ".join(f"{c} {' or '.join(map(str, v))}" for c, v in listed.items()) or "all"


def _group(rows: Sequence[Row], side: _Side, statistic: Measured, experiment: str) -> Group:
    """Values of one side by (cell, unit), and within these by the condition's values."""
    group: Group = {}
    for row in selected(rows, side.condition):
        pair = tuple(row[c] for c in statistic.cells), row["unit"]
        listed = tuple(row[c] for c in side.condition)
        values = group.setdefault(pair, {})
        if listed in values:
            raise ReproError(
                f"{experiment}.csv: ambiguous evidence: {_place(pair, statistic)} has two rows with "
                f"{wording({**statistic.where, **side.condition})}; name what tells them apart"
            )
        values[listed] = _number(row, side.metric, experiment) - (
            _number(row, side.minus, experiment) if side.minus else 0.0
        )
    if not group:
        wanted = wording({**statistic.where, **side.condition})
        raise ReproError(f"{experiment}.csv: incomplete evidence: no row with {wanted}")
    return group


def _values(
    group: Group, pair: tuple[Key, Cell], side: _Side, statistic: Measured, experiment: str
) -> list[float]:
    """Values of a side in one (cell, unit), one for each listed combination of its condition."""
    choices = [v if isinstance(v, list) else [v] for v in side.condition.values()]
    values = group.get(pair, {})
    for combination in product(*choices):
        if combination not in values:
            wanted = wording({**statistic.where, **dict(zip(side.condition, combination, strict=True))})
            raise ReproError(
                f"{experiment}.csv: incomplete evidence: {_place(pair, statistic)} has no row with {wanted}"
            )
    return [values[combination] for combination in product(*choices)]


def _place(pair: tuple[Key, Cell], statistic: Measured) -> str:
    cell, unit = pair
    return f"unit {unit}, cell {wording(dict(zip(statistic.cells, cell, strict=True)))}"


def _number(row: Row, column: str, experiment: str) -> float:
    value = row[column]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        shown = "empty" if value is None else repr(value)
        raise ReproError(f"{experiment}.csv: run {row.get('run')}: {column} is {shown}, not a finite number")
    return float(value)
