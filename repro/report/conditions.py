"""The two conditions that a claim's part compares, cell by cell, with the floor they stand on."""

from collections.abc import Sequence
from dataclasses import dataclass

from repro.claims.catalogue import Part
from repro.claims.comparisons import Contrast, Filter
from repro.claims.reductions import Difference, Floats
from repro.claims.sample import draw, selected
from repro.claims.verdicts import PartVerdict
from repro.harness.evidence.table import Row, Table
from repro.report.report import Report
from repro.report.summary import Estimate, mean, over_units
from repro.report.wording import metric, name

Line = tuple[Estimate | None, ...]
"""One figure per line of a ``Conditions``."""
ALL = "all of them"
CHANCE = 0.5


@dataclass(frozen=True)
class Floor:
    """What the metric comes to without an attack, line by line, and what that is, in words."""

    line: Line
    words: str


@dataclass(frozen=True)
class Conditions:
    """A part's comparison: means over units with their 95 % intervals, cell by cell, and last over all cells.

    cells: the lines' names. names: those of baseline and treatment. effects: treatment less baseline, paired in units.
    """

    part: Part
    judged: PartVerdict
    metric: str
    cells: tuple[str, ...]
    names: tuple[str, str]
    baseline: Line
    treatment: Line
    effects: Line
    floor: Floor | None


def conditions(report: Report, part: Part, judged: PartVerdict) -> Conditions | None:
    """The conditions of a part that was judged on the report's evidence; None where it compares no two."""
    statistic, table = part.statistic, report.tables.get(part.experiment)
    if not isinstance(statistic, Contrast) or table is None or judged.interval is None:
        return None
    sample = draw(statistic, table, part.experiment)
    if not isinstance(sample.reduction, Difference):
        return None
    taken = sample.reduction.taken
    rows = selected(table, {**statistic.where, **statistic.treatment})
    cells = _by_cell(rows, statistic.cells)
    return Conditions(
        part=part,
        judged=judged,
        metric=metric(statistic.metric, statistic.minus),
        cells=tuple(cells),
        names=(_named(statistic.baseline), _named(statistic.treatment)),
        baseline=_lines(sample.values[..., taken:].mean(axis=-1)),
        treatment=_lines(sample.values[..., :taken].mean(axis=-1)),
        effects=_lines(sample.effects),
        floor=None if statistic.minus else _floor(statistic.metric, table, list(cells.values())),
    )


def _by_cell(rows: Sequence[Row], columns: Sequence[str]) -> dict[str, list[Row]]:
    """Rows by the name of their cell, in the order of a sample's cells, and last all of them."""
    keys = sorted({tuple(row[column] for column in columns) for row in rows}, key=str)
    cells = {
        ", ".join(map(name, key)) or ALL: [r for r in rows if tuple(r[column] for column in columns) == key]
        for key in keys
    }
    return {**cells, ALL: list(rows)} if len(cells) > 1 else cells


def _lines(values: Floats) -> Line:
    """Values (c, u) of each cell over its units, and of more than one cell the mean over them."""
    together = values.mean(axis=0, keepdims=True)
    return tuple(over_units(line.tolist()) for line in [*(values if len(values) > 1 else ()), *together])


def _named(condition: Filter) -> str:
    """A condition in a reader's words: `sources many-to-one`, `regulariser SNNL`; a phase by its name alone."""
    words = []
    for column, value in condition.items():
        listed = " or ".join(map(name, value if isinstance(value, list) else [value]))
        words.append(listed if column == "phase" else f"{name(column)} {listed}")
    return ", ".join(words)


def _floor(column: str, table: Table, lines: Sequence[list[Row]]) -> Floor | None:
    """Success of the clean model on the same triggered images, or, of an AUC, chance."""
    if column == "auc" or column.endswith("_auc"):
        return Floor(tuple(Estimate(CHANCE, None, 1) for _ in lines), "chance")
    clean = f"clean_model_{column}"
    if clean not in table.columns or any(row[clean] is None for rows in lines for row in rows):
        return None
    figures = (mean(Table(table.columns, tuple(rows)), clean) for rows in lines)
    return Floor(tuple(figures), "the clean model's on the same images")
