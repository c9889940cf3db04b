"""What losses over pairs cost in summands, and which of them depend on absolute distances (desanctis 3.1)."""

from repro.harness.evidence.table import Table
from repro.report.markdown import NONE, details, table
from repro.report.report import Report
from repro.report.summary import numeric
from repro.report.wording import capital, name, number

TITLE = "The cost of losses over pairs"
PLACE = 86

_SHIFTED = ("margin_shift_invariant", "contrastive_not_invariant")


def blocks(report: Report, evidence: Table) -> list[str]:
    """Summands by loss and number of points, how many rows of each check hold, and every row folded away."""
    del report
    checks = [str(check) for check in evidence.values("check")]
    held = []
    for check in checks:
        rows = evidence.where(check=check)
        held.append([capital(name(check)), f"{len(rows):,}", f"{len(rows.where(holds=True)):,}"])
    return [
        "Summands of each loss, as its definition has them, in a batch of as many points of each class: the base "
        "contrastive loss and the margin loss have every pair, the triplet loss every anchor with a positive and a "
        "negative, the sampled margin loss one positive and one negative per anchor.",
        _counts(evidence),
        "The flexibility of the triplet loss, made exact: it compares distances with each other, so one constant added "
        "to all of them changes nothing. Nor does it change the margin loss, whose boundary beta is learnt and moves "
        "along; the base contrastive loss, whose positives are drawn to 0 and whose margin is constant, does change. "
        "Below, the largest absolute change over random distances for the first two, and the smallest for the last.",
        _changes(evidence),
        table(["Check", "Rows", "Hold"], held),
        details(f"All {len(evidence)} rows", _every_row(evidence)),
    ]


def _counts(evidence: Table) -> str:
    """One line per number of points, one column per loss."""
    counted = [row for row in evidence if row["check"] not in _SHIFTED]
    losses = list(dict.fromkeys(str(row["loss"]) for row in counted))
    by_points: dict[str, dict[str, str]] = {}
    for row in counted:
        points = number(numeric(row, "points"), 0)
        by_points.setdefault(points, {})[str(row["loss"])] = _plain(numeric(row, "computed"))
    lines = [[points, *(counts.get(loss, NONE) for loss in losses)] for points, counts in by_points.items()]
    return table(["Points", *(capital(name(loss)) for loss in losses)], lines)


def _changes(evidence: Table) -> str:
    lines = [
        [capital(name(row["loss"])), _plain(numeric(row, "computed")), _plain(numeric(row, "bound"))]
        for row in evidence
        if row["check"] in _SHIFTED
    ]
    return table(["Loss", "Change", "Bound"], lines)


def _every_row(evidence: Table) -> str:
    lines = [
        [
            capital(name(row["check"])),
            capital(name(row["loss"])),
            number(numeric(row, "points"), 0),
            _plain(numeric(row, "computed")),
            _plain(numeric(row, "published")),
            _plain(numeric(row, "bound")),
            "yes" if row["holds"] is True else "no",
        ]
        for row in evidence
    ]
    return table(["Check", "Loss", "Points", "Computed", "Exactly", "Bound", "Holds"], lines)


def _plain(value: float | None) -> str:
    """Counts with thousands separators, other numbers formatted by magnitude."""
    if value is None:
        return NONE
    if value == int(value):
        return f"{int(value):,}"
    return number(value, 3) if abs(value) >= 1e-2 else f"{value:.1e}"
