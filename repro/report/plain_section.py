"""The section of an experiment without a section of its own: its figures by condition."""

from repro.harness.evidence.table import Table
from repro.report.markdown import details, escape, table
from repro.report.summary import mean
from repro.report.wording import capital, estimate, metric, name

_IDENTITY = {"run", "unit", "partition_seed", "seed"}
_FOLD = 30


def blocks(evidence: Table) -> list[str]:
    """Means over units of every column of fractions, by the columns of words that tell rows apart."""
    conditions = [
        column for column in evidence.columns if column not in _IDENTITY and _tells_apart(evidence, column)
    ]
    measured = [
        column for column in evidence.columns if any(isinstance(row[column], float) for row in evidence)
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
    return len(found) > 1 and all(isinstance(value, str | None) for value in found)
