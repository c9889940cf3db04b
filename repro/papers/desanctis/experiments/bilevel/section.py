"""One bi-level problem, three objectives: their values and success before and after, and the checks that hold."""

from repro.harness.evidence.table import Table
from repro.report.markdown import table
from repro.report.report import Report
from repro.report.summary import mean, ordered
from repro.report.wording import capital, estimate, name

TITLE = "Poisoning as one bi-level problem"
PLACE = 96

_OBJECTIVES = ("accuracy_degradation", "targeted_misclassification", "backdoor")
_FIGURES = {
    "clean_value": "Objective, no poisons",
    "before": "At their start",
    "after": "Solved",
    "success_clean": "Success, no poisons",
    "success_before": "At their start",
    "success_after": "Solved",
    "accuracy_before": "Test accuracy at the start",
    "clean_accuracy": "Solved",
}
_CHECKS = {
    "formula": "the value is the document's sum of A, written out sample by sample",
    "inner_optimal": "theta\\* is a minimum of the inner problem: its gradient vanishes",
    "gradient": "the hypergradient is the slope that retraining to either side measures",
    "objective_falls": "the poisons found are no worse than those at the start",
}


def blocks(report: Report, evidence: Table) -> list[str]:
    """The interface, the figures by objective, and how many rows of each check hold."""
    attacked = evidence.where(phase="attacked")
    objectives = ordered(attacked.values("objective"), _OBJECTIVES)
    figures = [
        [
            capital(name(objective)),
            *(estimate(mean(attacked.where(objective=objective), column)) for column in _FIGURES),
        ]
        for objective in objectives
    ]
    return [
        "The attacker's objective is a sum of A over target samples at the optimum of training on clean samples and "
        "poisons: A is minus the loss of the true label on all test images (*accuracy degradation*), the loss of the "
        "target class on chosen images (*targeted misclassification*), or on images under a trigger (*backdoor*). The "
        "three share one problem, one inner model, softmax regression trained to its optimum, and one solver: "
        "projected descent of the poisons' images along the hypergradient, their labels "
        f"unchanged.{_protocol(report)}",
        table(["Objective", *_FIGURES.values()], figures),
        "*Success: share of test images misread, of targets read as the target class, of triggered images read as it; "
        "± 95 % intervals over units. Poisons move freely within [0, 1]: nothing keeps them looking like their class.*",
        "**Checks**, rows that hold of all rows",
        table(
            ["Check", "What it asserts", *(capital(name(o)) for o in objectives)],
            _counts(evidence, objectives),
            left=2,
        ),
        "Other solvers of the same problem, without evidence here: flipping the poisons' labels one by one "
        "(dirty-label), and feature collision (eq. 1), which never looks at the inner problem.",
    ]


def _protocol(report: Report) -> str:
    """Sizes and steps, as the profile sets them."""
    if "bilevel" not in report.profile.experiments:
        return ""
    s = report.profile.settings("bilevel")
    return (
        f" Each unit has {s.members} clean samples, {s.poisons} poisons that start as images of the target class "
        f"with their own label, {s.tested} test images, {s.targets} chosen images of other classes and {s.tested} "
        f"such under the trigger {name(s.trigger)}; {s.iterations} steps of {s.step:g} at most, regularisation "
        f"{s.regularisation:g}."
    )


def _counts(evidence: Table, objectives: list[str]) -> list[list[str]]:
    lines = []
    for check in ordered([value for value in evidence.values("check") if value is not None], tuple(_CHECKS)):
        cells = []
        for objective in objectives:
            rows = evidence.where(check=check, objective=objective)
            cells.append(f"{len(rows.where(holds=True)):,} of {len(rows):,}")
        lines.append([capital(name(check)), _CHECKS.get(check, ""), *cells])
    return lines
