"""Clean models class by class: the natural margins, the masks, and where the false alarms fall (desanctis 2.2)."""

from collections.abc import Sequence
from typing import cast

from repro.harness.evidence.table import Row, Table
from repro.papers.truong2020.experiments.regularisers.figures import class_name
from repro.report.markdown import NONE, escape, table
from repro.report.report import Report
from repro.report.summary import numeric
from repro.report.wording import capital, listing, name, number

_PAIR = ("7", "2")  # the document's example of a small margin, in MNIST
_ALARMS = {"raw_flagged_rate": "raw alarms", "corrected_flagged_rate": "corrected alarms"}


def by_class(report: Report, evidence: Table, architectures: Sequence[str]) -> list[str]:
    """One row per class, smallest margin first; and the document's own pair of classes, if the data has it."""
    rows = evidence.where(phase="classes")
    found = {a: {cast(int, row["class"]): row for row in rows.where(architecture=a)} for a in architectures}
    if not len(rows):
        return []
    first = found[architectures[0]]
    order = sorted(first, key=lambda c: (_figure(first[c], "margin"), c))
    lines = []
    for c in order:
        line = [
            escape(class_name(report, c)),
            escape(class_name(report, first[c]["nearest_class"])),
            number(numeric(first[c], "margin")),
        ]
        for own in found.values():
            line.append(number(numeric(own[c], "mask_size"), 1) if c in own else NONE)
            line += [number(numeric(own[c], rate)) if c in own else NONE for rate in _ALARMS]
        lines.append(line)
    columns = [f"{capital(name(a))}: {words}" for a in architectures for words in ("mask", *_ALARMS.values())]
    return [
        "**Class by class, in clean models**: a class's margin to the class that is most often nearest to it, in "
        "pixels' brightness; its mask's size; and the share of models flagged for it, all false alarms. Means over "
        "units, the smallest margin first",
        table(["Class", "Nearest", "Margin", *columns], lines, left=2),
        *_pair(report, found, order),
    ]


def _pair(report: Report, found: dict[str, dict[int, Row]], order: Sequence[int]) -> list[str]:
    """The ranks of the margins of 7 and 2, and the share of all false alarms that falls on them."""
    own = [c for c in order if class_name(report, c) in _PAIR]
    if len(own) != len(_PAIR):
        return []
    first = next(iter(found.values()))
    places = [
        f"{class_name(report, c)} has margin {number(numeric(first[c], 'margin'))} (number {order.index(c) + 1} of "
        f"{len(order)}, nearest {class_name(report, first[c]['nearest_class'])})"
        for c in sorted(own, key=lambda c: _PAIR.index(class_name(report, c)))
    ]
    shares = []
    for architecture, rows in found.items():
        alarms = {c: _figure(row, "raw_flagged_rate") for c, row in rows.items()}
        total = sum(alarms.values())
        if total:
            share = 100 * sum(alarms.get(c, 0.0) for c in own) / total
            shares.append(f"{share:.0f} % of the raw alarms of {name(architecture)}")
    fall = (
        f"On the two fall {listing(shares)}" if shares else "There are no raw alarms that could fall on them"
    )
    by_chance = f"; by chance it would be {100 * len(own) / len(order):.0f} %" if shares else ""
    return [f"The document's example is 7 and 2: here {listing(places)}. {fall}{by_chance}."]


def _figure(row: Row, column: str) -> float:
    return numeric(row, column) or 0.0
