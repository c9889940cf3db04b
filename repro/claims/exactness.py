"""Exact claims: rows of named checks that must all hold, compared again where they carry the numbers.

The column `holds` is the experiment's own result; a row whose numbers disagree with it does not hold.
"""

import math

from repro.claims.comparisons import Among, Exact
from repro.claims.sample import selected
from repro.errors import ReproError
from repro.harness.evidence.table import Cell, Row, Table


def rows_of(statistic: Exact | Among, table: Table, experiment: str) -> list[Row]:
    """The rows of the statistic's checks, or those it selects; raises ReproError where a check has too few rows."""
    if isinstance(statistic, Among):
        return _selected(statistic, table, experiment)
    for column in ("check", "holds"):
        if column not in table.columns:
            raise ReproError(f"{experiment}.csv: incomplete evidence: no column {column!r}")
    rows = [row for row in table if row["check"] in statistic.checks]
    for check, least in statistic.checks.items():
        found = sum(row["check"] == check for row in rows)
        if found < least:
            raise ReproError(
                f"{experiment}.csv: incomplete evidence: check {check} has {found} rows, {least} are needed"
            )
    return rows


def _selected(statistic: Among, table: Table, experiment: str) -> list[Row]:
    for column in sorted({statistic.metric, *statistic.where} - set(table.columns)):
        raise ReproError(f"{experiment}.csv: incomplete evidence: no column {column!r}")
    return selected(table, statistic.where)


def failing_rows(statistic: Exact | Among, rows: list[Row], experiment: str) -> list[str]:
    """The rows that do not hold, each in words."""
    if isinstance(statistic, Among):
        return [_words(row) for row in rows if row[statistic.metric] not in statistic.allowed]
    return [_words(row) for row in rows if not _holds(statistic, row, experiment)]


def _holds(statistic: Exact, row: Row, experiment: str) -> bool:
    check = str(row["check"])
    computed = _number(row, "computed", experiment)
    published = _number(row, "published", experiment)
    bound = _number(row, "bound", experiment)
    holds = row["holds"] is True
    if computed is None:
        return holds
    if published is not None:
        right = statistic.slips.get(check, {}).get(published, published)
        tolerance = _number(row, "tolerance", experiment) or 0.0
        holds = holds and abs(computed - right) <= tolerance * (1 + 1e-9)
    if bound is not None and check in statistic.bounds:
        holds = holds and (computed >= bound if statistic.bounds[check] == "at least" else computed <= bound)
    return holds


def _number(row: Row, column: str, experiment: str) -> float | None:
    value: Cell = row.get(column)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not math.isfinite(value):
        raise ReproError(
            f"{experiment}.csv: check {row['check']}: {column} is {value!r}, not a finite number"
        )
    return float(value)


def _words(row: Row) -> str:
    return ", ".join(f"{column} {value}" for column, value in row.items() if value is not None)
