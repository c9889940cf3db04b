"""Three adversarial objectives as instances of one bi-level problem (desanctis 2.1)."""

from repro.harness.evidence.table import Cell, Row
from repro.harness.experiment import Experiment, Phase, Record, Records, units
from repro.harness.profile import Count, Positive, Profile, Strict
from repro.harness.runs import Fleet
from repro.papers.desanctis.experiments.bilevel.runs import OBJECTIVES, BilevelRun

MEASURED = {
    "clean_value": "value_clean",
    "before": "value_before",
    "after": "value_after",
    "success_clean": "success_clean",
    "success_before": "success_before",
    "success_after": "success_after",
    "accuracy_before": "accuracy_before",
    "clean_accuracy": "accuracy_after",
}
"""Columns of a run's row, and their names in its record."""

CHECKED = ("computed", "published", "tolerance", "bound")
FORMULA_TOLERANCE = 1e-6  # relative to the sum written out, or to 1 if that is larger
GRADIENT_NORM = 1e-4
GRADIENT_ERROR = 1e-2


class Settings(Strict):
    """Sizes, the inner model's regularisation, the solver's steps, and the trigger of the backdoor."""

    units: Count = 30
    members: Count = 150
    tested: Count = 100
    targets: Count = 5
    poisons: Count = 10
    regularisation: Positive = 1.0
    iterations: Count = 5
    step: Positive = 1.0
    trigger: str


def _runs(profile: Profile) -> list[list[BilevelRun]]:
    """Runs by objective, each in the order of the units."""
    s: Settings = profile.settings("bilevel")
    trigger = profile.trigger(s.trigger)
    return [
        [
            BilevelRun(
                unit=u.name,
                data=profile.dataset(),
                seed=u.partition_seed,
                objective=objective,
                target_class=u.poison_class,
                members=s.members,
                tested=s.tested,
                targets=s.targets,
                poisons=s.poisons,
                regularisation=s.regularisation,
                iterations=s.iterations,
                step=s.step,
                trigger=trigger,
            )
            for u in units(profile.seeds.evidence, s.units, profile.classes())
        ]
        for objective in OBJECTIVES
    ]


def _fleets(profile: Profile) -> list[Fleet]:
    size = profile.fleet
    return [Fleet(tuple(runs[i : i + size])) for runs in _runs(profile) for i in range(0, len(runs), size)]


def _row(run: BilevelRun, phase: str, cells: dict[str, Cell]) -> Row:
    described: Row = {
        "run": run.id,
        "phase": phase,
        "unit": run.unit,
        "partition_seed": run.seed,
        "seed": run.seed,
        "target_class": run.target_class,
        "objective": run.objective,
    }
    empty = dict.fromkeys((*MEASURED, "check", *CHECKED, "holds"))
    return described | empty | cells


def _check_rows(run: BilevelRun, record: Record) -> list[Row]:
    """Checks of four assertions: the document's sum, theta* a minimum, the hypergradient, the objective's fall."""
    written_out = float(record["value_written_out"])
    tolerance = FORMULA_TOLERANCE * max(1.0, abs(written_out))
    value = float(record["value_after"])
    near: dict[str, Cell] = {
        "check": "formula",
        "computed": value,
        "published": written_out,
        "tolerance": tolerance,
        "holds": abs(value - written_out) <= tolerance,
    }
    bounds = {
        "inner_optimal": (float(record["inner_gradient_norm"]), GRADIENT_NORM),
        "gradient": (float(record["hypergradient_error"]), GRADIENT_ERROR),
        "objective_falls": (value - float(record["value_before"]), 0.0),
    }
    below: list[dict[str, Cell]] = [
        {"check": check, "computed": computed, "bound": bound, "holds": computed <= bound}
        for check, (computed, bound) in bounds.items()
    ]
    return [_row(run, "checked", cells) for cells in (near, *below)]


def _rows(profile: Profile, records: Records) -> list[Row]:
    rows = []
    for run in (run for runs in _runs(profile) for run in runs):
        record = records["train"][run.id]
        rows.append(_row(run, "attacked", {column: float(record[name]) for column, name in MEASURED.items()}))
        rows += _check_rows(run, record)
    return rows


COLUMNS = {
    "objective": "the adversarial objective: accuracy degradation, targeted misclassification or backdoor",
    "clean_value": "sum of the objective over its targets, of the model without poisons",
    "before": "the same with the poisons as they start",
    "after": "the same with the poisons that the solver found",
    "success_clean": "share of targets read as the attacker wants, without poisons",
    "success_before": "the same with the poisons as they start",
    "success_after": "the same with the poisons that the solver found",
    "accuracy_before": "test accuracy with the poisons as they start",
}
"""What columns hold that no other experiment has."""

EXPERIMENT = Experiment(
    paper="desanctis",
    reproduces="the bi-level problem of section 2.1",
    phases=(Phase("train", "repro.papers.desanctis.experiments.bilevel.work:train_bilevel", _fleets),),
    rows=_rows,
)
