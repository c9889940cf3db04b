"""Table 1 of truong2020 beside eq. 8 and 9, its misprints marked, and the invariants of every poisoning made."""

from repro.harness.evidence.table import Cell, Row, Table
from repro.papers.truong2020 import published
from repro.papers.truong2020.experiments import poison_statistics as table_1
from repro.report.markdown import NONE, table
from repro.report.report import Report
from repro.report.summary import numeric
from repro.report.wording import capital, listing, name, number

TITLE = "What poisoning does to the training set: Table 1"
PLACE = 20

_OF_TABLE_1 = ("expected_samples", "drawn_per_source", "effective_rate")


def blocks(report: Report, evidence: Table) -> list[str]:
    """Table 1 with the computed figures, and how many rows of each check hold."""
    flowers = listing(published.FLOWERS_CLASSES)
    sizes = listing([f"{size:,}" for size in table_1.FLOWERS])
    found = [
        f"**Table 1 beside ours.** Poison rate {table_1.POISON_RATE}, many-to-one, on the paper's own Flowers "
        f"training counts ({flowers}: {sizes}). Each field: the paper's figure / computed by eq. 8 and 9. A figure "
        "computed from the same counts must agree to the printed rounding.",
        _table_1(evidence),
    ]
    if table_1.CORRECTED_RATES:
        slips = listing(
            [
                f"{number(table_1.PUBLISHED_RATES[t], 3)} for {published.FLOWERS_CLASSES[t]} should read "
                f"{number(p, 3)}"
                for t, p in table_1.CORRECTED_RATES.items()
            ]
        )
        found.append(
            f"\u2020 Two slips of the print: p {slips}. They agree with neither reading of eq. 9; with the sum over "
            "all 4,003 samples, which the other three rates follow, they would be as given here."
        )
    return [
        *found,
        f"**Invariants**, counted on the poisoning of each unit of this profile "
        f"({report.profile.data.name}, poison rate {report.profile.poison_rate:g}):",
        _invariants(evidence),
    ]


def _computed(evidence: Table, check: str, poison_class: int, source: Cell = None) -> float | None:
    for row in evidence.where(check=check, poison_class=poison_class):
        if row["unit"] is None and (source is None or row["source_class"] == source):
            return numeric(row, "computed")
    return None


def _table_1(evidence: Table) -> str:
    classes = range(len(table_1.FLOWERS))
    lines = []
    for t in classes:
        draws = [
            NONE if c == t else f"{number(p, 1)} / {number(_computed(evidence, 'drawn_per_source', t, c), 1)}"
            for c, p in zip(classes, table_1.PUBLISHED_DRAWS[t], strict=True)
        ]
        slip = " \u2020" if t in table_1.CORRECTED_RATES else ""
        rate = _computed(evidence, "effective_rate", t)
        lines.append(
            [
                capital(published.FLOWERS_CLASSES[t]),
                f"{table_1.PUBLISHED_POISONED[t]} / {number(_computed(evidence, 'expected_samples', t), 0)}",
                *draws,
                f"{number(table_1.PUBLISHED_RATES[t], 3)}{slip} / {number(rate, 4)}",
            ]
        )
    sources = [f"P, {flower}" for flower in published.FLOWERS_CLASSES]
    return table(["Poison class", "Supplanted", *sources, "p"], lines)


def _invariants(evidence: Table) -> str:
    groups: dict[str, list[Row]] = {}
    for row in evidence:
        groups.setdefault(str(row["check"]), []).append(row)
    lines = [
        [capital(name(check)), f"{len(rows):,}", f"{sum(row['holds'] is True for row in rows):,}"]
        for check, rows in groups.items()
        if check not in _OF_TABLE_1
    ]
    return table(["Check", "Rows", "Hold"], lines)
