"""The section of an experiment without a section of its own: its figures by condition."""

from repro.harness.evidence.table import Cell, Table
from repro.report.markdown import details, escape, table
from repro.report.summary import mean
from repro.report.wording import capital, estimate, metric, name

_IDENTITY = {"run", "unit", "partition_seed", "seed"}
_FOLD = 30


def blocks(evidence: Table) -> list[str]:
    """Means over units of every column of fractions, by the columns that tell rows apart.

    These are the columns of words, and the numbers of which every unit has the same several, such as a grid's rates.
    """
    conditions = [
        column for column in evidence.columns if column not in _IDENTITY and _tells_apart(evidence, column)
    ]
    measured = [
        column
        for column in evidence.columns
        if column not in conditions and any(isinstance(row[column], float) for row in evidence)
    ]
    if "unit" not in evidence.columns or not measured:
        return [f"{len(evidence):,} rows with the columns {', '.join(f'`{c}`' for c in evidence.columns)}."]
    groups = dict.fromkeys(tuple(row[column] for column in conditions) for row in evidence)
    rows = []
    for group in groups:
        among = evidence.where(**dict(zip(conditions, group, strict=True)))
        figures = [estimate(mean(among, column), 3) for column in measured]
        rows.append([*(escape(name(value)) for value in group), *figures])
    header = [capital(escape(metric(column))) for column in [*conditions, *measured]]
    shown = table(header, rows, left=len(conditions))
    legend = "Means over units with 95 % intervals (Student's t)."
    return [legend, shown if len(rows) <= _FOLD else details(f"The table of {len(rows)} rows", shown)]


def _tells_apart(evidence: Table, column: str) -> bool:
    found = evidence.values(column)
    if len(found) < 2:
        return False
    return all(isinstance(value, str | None) for value in found) or _is_grid(evidence, column)


def _is_grid(evidence: Table, column: str) -> bool:
    """Whether there are several units, and each of them has every value of the column."""
    if "unit" not in evidence.columns:
        return False
    by_unit: dict[Cell, set[Cell]] = {}
    for row in evidence:
        by_unit.setdefault(row["unit"], set()).add(row[column])
    return len(by_unit) > 1 and all(len(own) == len(evidence.values(column)) for own in by_unit.values())
