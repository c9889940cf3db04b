"""What a statistic of a claim selects from an evidence table: values paired within (cell, unit).

Refuses, by a ReproError naming unit and cell, evidence in which a pair is incomplete or a row is there twice:
a mean over whatever happens to be present would compare different units.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from repro.claims.catalogue import Constant, Contrast, Filter, Gap, Level
from repro.errors import ReproError
from repro.evidence.table import Cell, Row, Table

Measured = Contrast | Gap | Constant | Level
Key = tuple[Cell, ...]
Group = dict[tuple[Key, Cell], dict[Key, float]]


@dataclass(frozen=True)
class Sample:
    """Paired values of a statistic.

    cells: labels of the grid's cells. units: their names, sorted. treatment (c, u, k) and baseline (c, u, j):
    k and j values a condition. figure: the treatment alone is the estimate (a published level's).
    """

    cells: tuple[str, ...]
    units: tuple[str, ...]
    treatment: NDArray[np.float64]
    baseline: NDArray[np.float64]
    figure: bool
    rows: int

    @property
    def effects(self) -> NDArray[np.float64]:
        """Paired effect of each cell and unit, (c, u), in the metric's units."""
        mean: NDArray[np.float64] = self.treatment.mean(axis=-1)
        return mean if self.figure else mean - self.baseline.mean(axis=-1)


@dataclass(frozen=True)
class _Side:
    """One side of a comparison: the rows of a condition, and the column (less another) to read there."""

    condition: Filter
    metric: str
    minus: str | None


def _sides(statistic: Measured) -> list[_Side]:
    if isinstance(statistic, Gap):
        return [_Side({}, statistic.metric, None), _Side({}, statistic.minus, None)]
    if isinstance(statistic, Constant):
        return [_Side({}, statistic.metric, statistic.minus)]
    return [_Side(c, statistic.metric, statistic.minus) for c in (statistic.treatment, statistic.baseline)]


def left_out(statistic: Measured, table: Table) -> str | None:
    """What the statistic asks for and no row of the table has, such as a trigger outside the profile's grid."""
    for condition in (statistic.where, *(side.condition for side in _sides(statistic))):
        for column, wanted in condition.items():
            found = set(table.values(column)) if column in table.columns else set()
            for value in wanted if isinstance(wanted, list) else [wanted]:
                if value not in found:
                    return wording({column: value})
    return None


def draw(statistic: Measured, table: Table, experiment: str) -> Sample:
    """The sample of a statistic from the experiment's table; ReproError where it is incomplete."""
    sides = _sides(statistic)
    named = {"unit", *statistic.where, *statistic.cells}
    for side in sides:
        named |= {*side.condition, side.metric, *([side.minus] if side.minus else [])}
    for column in sorted(named - set(table.columns)):
        raise ReproError(f"{experiment}.csv: incomplete evidence: no column {column!r}")
    kept = [row for row in table if _matches(row, statistic.where)]
    groups = [_group(kept, side, statistic, experiment) for side in sides]
    cells = sorted({cell for group in groups for cell, _ in group}, key=str)
    units = sorted({unit for group in groups for _, unit in group}, key=str)
    pairs = [[(cell, unit) for unit in units] for cell in cells]
    arrays = [
        np.array([[_values(group, pair, side, statistic, experiment) for pair in line] for line in pairs])
        for group, side in zip(groups, sides, strict=True)
    ]
    if isinstance(statistic, Constant):
        arrays.append(np.full_like(arrays[0], statistic.value))
    read = groups[:1] if isinstance(statistic, Gap) else groups
    return Sample(
        cells=tuple(wording(dict(zip(statistic.cells, cell, strict=True))) for cell in cells),
        units=tuple(map(str, units)),
        treatment=arrays[0],
        baseline=arrays[1],
        figure=isinstance(statistic, Level),
        rows=sum(len(values) for group in read for values in group.values()),
    )


def _matches(row: Row, wanted: Filter) -> bool:
    return all(row[c] in v if isinstance(v, list) else row[c] == v for c, v in wanted.items())


def wording(wanted: Mapping[str, object]) -> str:
    """A filter in words: `phase poisoned, trigger sine or square`; `all` when it is empty."""
    listed = {c: v if isinstance(v, list) else [v] for c, v in wanted.items()}
    return ", ".join(f"{c} {' or '.join(map(str, v))}" for c, v in listed.items()) or "all"


def _group(rows: Sequence[Row], side: _Side, statistic: Measured, experiment: str) -> Group:
    """Values of one side by (cell, unit), and there by the condition's values."""
    group: Group = {}
    for row in rows:
        if not _matches(row, side.condition):
            continue
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
