"""The membership metric's limits and sign, at growing gaps between the logits (desanctis 2.3)."""

from repro.harness.evidence.table import Table
from repro.report.markdown import details, table
from repro.report.report import Report
from repro.report.summary import numeric
from repro.report.wording import capital, name, number

TITLE = "The membership metric at its limits"
PLACE = 70


def blocks(report: Report, evidence: Table) -> list[str]:
    """How many rows of each check hold, and every row folded away."""
    del report
    checks = [str(check) for check in evidence.values("check")]
    counts = []
    for check in checks:
        rows = evidence.where(check=check)
        counts.append([capital(name(check)), f"{len(rows):,}", f"{len(rows.where(holds=True)):,}"])
    lines = [
        [
            capital(name(row["check"])),
            number(numeric(row, "gap"), 1, signed=True),
            _scientific(numeric(row, "computed")),
            _scientific(numeric(row, "bound")),
            "yes" if row["holds"] is True else "no",
        ]
        for row in evidence
    ]
    return [
        "M_mem is 0 where the model is certain of the true label, grows without bound as that certainty goes, and is "
        "never negative. Checked at gaps between the true label's logit and the others' far beyond where a softmax in "
        "float32 is exactly 0 or 1.".replace("M_mem", "M\\_mem"),
        table(["Check", "Rows", "Hold"], counts),
        details(f"All {len(lines)} rows", table(["Check", "Gap", "Computed", "Bound", "Holds"], lines)),
    ]


def _scientific(value: float | None) -> str:
    if value is None:
        return number(None)
    return number(value, 3) if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.2e}"
