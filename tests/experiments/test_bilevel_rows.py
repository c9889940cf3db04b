"""Rows of `bilevel`: one of figures and four checks of every run, by objective."""

from itertools import product
from pathlib import Path
from typing import Any

from backdoor_grids import SQUARE
from figures import assert_same, figure, of, records_of, rows_of
from synthetic_records import EVIDENCE, small_profile

from repro.harness.experiment import Record
from repro.harness.runs import Data, Trigger
from repro.papers.desanctis.experiments.bilevel.runs import BilevelRun

UNITS = 3
SHOWN = {
    "clean_value": "value_clean",
    "before": "value_before",
    "after": "value_after",
    "success_clean": "success_clean",
    "success_before": "success_before",
    "success_after": "success_after",
    "accuracy_before": "accuracy_before",
    "clean_accuracy": "accuracy_after",
}
CHECKS = ("check", "computed", "published", "tolerance", "bound", "holds")
RECORDED = (*SHOWN.values(), "accuracy_clean")


def record(phase: str, run: Any) -> Record:
    """Of unit 1 nothing holds; of the others all but that the objective falls, which is as chance has it."""
    found = {name: figure(phase, run.id, name) for name in RECORDED}
    scale = 1.0 if run.unit == "u001" else 1e-7
    found["value_written_out"] = found["value_after"] + scale * figure(phase, run.id, "off")
    found["inner_gradient_norm"] = scale * (0.1 + figure(phase, run.id, "norm"))
    found["hypergradient_error"] = scale * (0.1 + figure(phase, run.id, "error"))
    return found


def test_objectives_take_turns_and_each_run_is_followed_by_its_checks(tmp_path: Path) -> None:
    sizes = {"members": 70, "tested": 25, "targets": 3, "poisons": 5, "iterations": 4}
    steps = {"regularisation": 0.5, "step": 2.0}
    profile = small_profile(tmp_path, "bilevel", units=UNITS, trigger="square", **sizes, **steps)
    records = records_of(profile, "bilevel", record)
    expected: list[dict[str, Any]] = []
    falls = []
    objectives: tuple[Any, ...] = ("accuracy_degradation", "targeted_misclassification", "backdoor")
    for objective, unit in product(objectives, range(UNITS)):
        run = BilevelRun(
            unit=f"u{unit:03d}",
            data=Data("digits", 600),
            seed=EVIDENCE + unit,
            objective=objective,
            target_class=unit,
            trigger=Trigger("square", 1.0, SQUARE),
            **sizes,
            **steps,
        )
        own = of(records, "train", run)
        described = {
            "run": run.id,
            "unit": f"u{unit:03d}",
            "partition_seed": EVIDENCE + unit,
            "seed": EVIDENCE + unit,
            "target_class": unit,
            "objective": objective,
        }
        nothing: dict[str, Any] = dict.fromkeys((*SHOWN, *CHECKS))

        def row(phase: str, cells: dict[str, Any], about: Any = described, empty: Any = nothing) -> Any:
            return {"run": about["run"], "phase": phase} | about | empty | cells

        expected.append(row("attacked", {column: own[name] for column, name in SHOWN.items()}))
        after, written = own["value_after"], own["value_written_out"]
        fine = unit != 1
        near = {"computed": after, "published": written, "tolerance": 1e-6 * max(1.0, written)}
        expected.append(row("checked", {"check": "formula", **near, "holds": fine}))
        change = after - own["value_before"]
        falls.append(change <= 0)
        for check, computed, bound, holds in (
            ("inner_optimal", own["inner_gradient_norm"], 1e-4, fine),
            ("gradient", own["hypergradient_error"], 1e-2, fine),
            ("objective_falls", change, 0.0, change <= 0),
        ):
            cells = {"check": check, "computed": computed, "bound": bound, "holds": holds}
            expected.append(row("checked", cells))
    assert_same(rows_of(profile, "bilevel", records), expected)
    assert set(falls) == {True, False}
