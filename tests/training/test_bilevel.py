"""Bi-level poisonings of a fleet against one unit worked out plainly, and the rows and checks made of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from repro.bilevel import Samples, checks
from repro.bilevel.inner import SoftmaxRegression
from repro.bilevel.problem import Problem
from repro.bilevel.solvers import GradientDescent
from repro.data import Dataset, load_dataset, seeded_generator
from repro.errors import ReproError
from repro.harness.evidence.table import Table, table
from repro.harness.runs import Data, Fleet, Trigger
from repro.papers.desanctis.experiments import bilevel as experiment
from repro.papers.desanctis.experiments.bilevel import work as bilevel
from repro.papers.desanctis.experiments.bilevel.runs import OBJECTIVES, BilevelRun, Objective

CPU = torch.device("cpu")
SEEDS, CLASSES = [41, 32], [9, 6]
MEMBERS, TESTED, TARGETS, POISONS, REGULARISATION = 50, 12, 3, 2, 2.0
COLUMNS = {
    "clean_value": "value_clean",
    "before": "value_before",
    "after": "value_after",
    "success_clean": "success_clean",
    "success_before": "success_before",
    "success_after": "success_after",
    "accuracy_before": "accuracy_before",
    "clean_accuracy": "accuracy_after",
}
SQUARE = Trigger("square", 0.8, {"size": 3, "offset": 1, "value": 1.0})


def runs_of(objective: Objective, **changes: Any) -> list[BilevelRun]:
    return [
        BilevelRun(
            f"u{k}",
            Data("digits", 600),
            seed,
            objective,
            target_class,
            **{
                "members": MEMBERS,
                "tested": TESTED,
                "targets": TARGETS,
                "poisons": POISONS,
                "regularisation": REGULARISATION,
                "iterations": 2,
                "step": 1.0,
                "trigger": SQUARE,
            }
            | changes,
        )
        for k, (seed, target_class) in enumerate(zip(SEEDS, CLASSES, strict=True))
    ]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("digits", Path(), 600, {})


class Solved:
    """A fleet's records, and what its solver was given and gave."""

    def __init__(self, objective: Objective, dataset: Dataset) -> None:
        self.runs = runs_of(objective)
        descend = GradientDescent.solve

        def watched(solver: GradientDescent, problem: Problem, start: Samples) -> Samples:
            self.solver, self.problem, self.start = solver, problem, start
            self.solved = descend(solver, problem, start)
            return self.solved

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(GradientDescent, "solve", watched)
            self.records = bilevel.train_bilevel(Fleet(tuple(self.runs)), dataset, {}, CPU).records


@pytest.fixture(scope="module")
def solved(dataset: Dataset) -> dict[str, Solved]:
    return {objective: Solved(objective, dataset) for objective in OBJECTIVES}


def parts_of(run: BilevelRun, dataset: Dataset) -> dict[str, list[int]]:
    """The unit's split, one image after the other."""
    order = seeded_generator(f"bilevel/{run.seed}").permutation(len(dataset.labels)).tolist()
    bases = [i for i in order[MEMBERS:] if dataset.labels[i] == run.target_class][:POISONS]
    held_out = [i for i in order[MEMBERS:] if i not in bases]
    others = [i for i in held_out if dataset.labels[i] != run.target_class]
    return {
        "members": order[:MEMBERS],
        "bases": bases,
        "tested": held_out[:TESTED],
        "others": others[:TESTED],
    }


def is_images(found: Tensor, indices: list[int], dataset: Dataset) -> bool:
    return np.array_equal(found.numpy(), dataset.images[indices].astype(np.float64))


def stamped_plainly(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    stamped = image.astype(np.float64)
    for row in range(1, 4):
        for column in range(1, 4):
            stamped[0, row, column] = 0.2 * stamped[0, row, column] + 0.8
    return stamped


def test_every_objective_gets_the_same_clean_samples_start_model_and_solver(
    solved: dict[str, Solved], dataset: Dataset
) -> None:
    for found in solved.values():
        assert found.solver == GradientDescent(2, 1.0)
        assert found.problem.inner == SoftmaxRegression(10, REGULARISATION)
        for k, run in enumerate(found.runs):
            parts = parts_of(run, dataset)
            assert is_images(found.problem.clean.images[k], parts["members"], dataset)
            assert found.problem.clean.labels[k].tolist() == dataset.labels[parts["members"]].tolist()
            assert is_images(found.start.images[k], parts["bases"], dataset)
            assert found.start.labels[k].tolist() == [run.target_class] * POISONS


def test_targets_are_those_of_the_document(solved: dict[str, Solved], dataset: Dataset) -> None:
    aims = {name: found.problem.objective for name, found in solved.items()}
    for k, run in enumerate(runs_of("backdoor")):
        parts = parts_of(run, dataset)
        degraded, targeted = aims["accuracy_degradation"], aims["targeted_misclassification"]
        assert is_images(degraded.inputs[k], parts["tested"], dataset)
        assert degraded.labels[k].tolist() == dataset.labels[parts["tested"]].tolist()
        assert is_images(targeted.inputs[k], parts["others"][:TARGETS], dataset)
        assert targeted.labels[k].tolist() == [run.target_class] * TARGETS
        plain = np.stack([stamped_plainly(dataset.images[i]) for i in parts["others"]])
        np.testing.assert_allclose(aims["backdoor"].inputs[k].numpy(), plain, atol=1e-12)
        assert aims["backdoor"].labels[k].tolist() == [run.target_class] * TESTED
    assert [aim.sign for aim in aims.values()] == [-1, 1, 1]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_records_measure_no_poisons_their_start_and_what_was_solved(
    objective: Objective, solved: dict[str, Solved], dataset: Dataset
) -> None:
    found = solved[objective]
    none = Samples(found.start.images[:, :0], found.start.labels[:, :0])
    for stage, poison in {"clean": none, "before": found.start, "after": found.solved}.items():
        theta = found.problem.inner.fit(poison, found.problem.clean)
        values = found.problem.value(poison)
        for k, (run, record) in enumerate(zip(found.runs, found.records, strict=True)):
            assert record["run"] == run.id
            assert record[f"value_{stage}"] == pytest.approx(float(values[k]), rel=1e-9)
            own = theta[k].numpy()
            tested = parts_of(run, dataset)["tested"]
            right = [
                np.argmax(dataset.images[i].ravel() @ own[:-1] + own[-1]) == dataset.labels[i] for i in tested
            ]
            assert record[f"accuracy_{stage}"] == pytest.approx(np.mean(right))
            aim = found.problem.objective
            read = (aim.inputs[k].flatten(1).numpy() @ own[:-1] + own[-1]).argmax(1)
            hits = read == aim.labels[k].numpy()
            wanted = 1 - hits.mean() if objective == "accuracy_degradation" else hits.mean()
            assert record[f"success_{stage}"] == pytest.approx(wanted)
    assert all(record["value_after"] < record["value_before"] for record in found.records)


def rows_of(solved: dict[str, Solved], monkeypatch: pytest.MonkeyPatch, **changes: float) -> Table:
    """The experiment's rows of the records, the first one's changed."""
    records = {record["run"]: dict(record) for found in solved.values() for record in found.records}
    records[solved["backdoor"].runs[0].id] |= changes
    monkeypatch.setattr(experiment, "_runs", lambda _: [found.runs for found in solved.values()])
    return table(experiment._rows(None, {"train": records}))  # type: ignore[arg-type]


def test_a_run_has_one_row_of_figures_and_four_checks_that_hold(
    solved: dict[str, Solved], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(solved, monkeypatch)
    assert len(rows) == 3 * 2 * 5
    assert all(row["holds"] is True for row in rows.where(phase="checked"))
    for objective, found in solved.items():
        for record in found.records:
            (row,) = rows.where(run=record["run"], phase="attacked")
            assert row["objective"] == objective
            assert {column: row[column] for column in COLUMNS} == {
                column: record[name] for column, name in COLUMNS.items()
            }
            assert row["holds"] is None
            checked = {row["check"]: row for row in rows.where(run=record["run"], phase="checked")}
            assert list(checked) == ["formula", "inner_optimal", "gradient", "objective_falls"]
            assert checked["formula"]["published"] == record["value_written_out"]
            assert checked["gradient"]["bound"] == 1e-2
            assert checked["inner_optimal"]["bound"] == 1e-4
            assert checked["objective_falls"]["bound"] == 0.0
            assert checked["objective_falls"]["computed"] == record["value_after"] - record["value_before"]
            assert all(row["before"] is None for row in checked.values())


@pytest.mark.parametrize(
    ("check", "changes"),
    [
        ("formula", {"value_written_out": 1e6}),
        ("inner_optimal", {"inner_gradient_norm": 2e-4}),
        ("gradient", {"hypergradient_error": 0.02}),
        ("objective_falls", {"value_before": -1e6}),
    ],
)
def test_each_check_can_fail(
    check: str, changes: dict[str, float], solved: dict[str, Solved], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(solved, monkeypatch, **changes)
    assert [row["check"] for row in rows.where(holds=False)] == [check]


def test_the_inner_gradient_is_far_from_nothing_away_from_the_optimum(solved: dict[str, Solved]) -> None:
    found = solved["backdoor"]
    inner, clean = found.problem.inner, found.problem.clean
    theta = inner.fit(found.solved, clean)
    both = [clean, found.solved]
    assert (checks.inner_gradient_norm(inner.logits, theta, both, REGULARISATION) < 1e-9).all()
    assert (checks.inner_gradient_norm(inner.logits, theta, [clean], REGULARISATION) > 1e-3).all()
    assert (checks.inner_gradient_norm(inner.logits, theta, both, 1.0) > 1e-3).all()


def test_a_wrong_hypergradient_is_noticed(solved: dict[str, Solved], monkeypatch: pytest.MonkeyPatch) -> None:
    found = solved["targeted_misclassification"]
    generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    right = Problem.gradient

    def wrong(self: Problem, *rest: Any) -> Any:
        slope = right(self, *rest)
        return slope._replace(gradient=1.05 * slope.gradient)

    monkeypatch.setattr(Problem, "gradient", wrong)
    errors = checks.hypergradient_error(found.problem, found.start, generators)
    assert errors.tolist() == pytest.approx([0.05 / 1.05] * 2, abs=1e-4)


def test_a_runs_figures_do_not_depend_on_its_fleet(solved: dict[str, Solved], dataset: Dataset) -> None:
    run = solved["backdoor"].runs[1]
    (alone,) = bilevel.train_bilevel(Fleet((run,)), dataset, {}, CPU).records
    together = solved["backdoor"].records[1]
    for name in ("value_clean", "value_after", "value_written_out", "success_after"):
        assert alone[name] == pytest.approx(together[name], rel=1e-6)


@pytest.mark.parametrize(
    ("objective", "aimed_at"), [("targeted_misclassification", 20), ("backdoor", TESTED)]
)
def test_targets_may_outnumber_test_images(
    objective: Objective, aimed_at: int, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Problem] = []
    monkeypatch.setattr(GradientDescent, "solve", lambda _, problem, start: (seen.append(problem), start)[1])
    bilevel.train_bilevel(Fleet((runs_of(objective, targets=20)[0],)), dataset, {}, CPU)
    assert seen[0].objective.labels.shape == (1, aimed_at)


def test_each_unit_has_its_own_trigger(dataset: Dataset) -> None:
    trigger = Trigger("random_square", 1.0, {"size": 3, "value": 1.0})
    records = bilevel.train_bilevel(
        Fleet(tuple(runs_of("backdoor", trigger=trigger))), dataset, {}, CPU
    ).records
    for record in records:
        assert record["value_after"] == pytest.approx(record["value_written_out"], rel=1e-9)


def test_runs_name_their_trigger_among_their_pieces() -> None:
    assert runs_of("backdoor")[0].pieces() == {("dataset", "digits"), ("trigger", "square")}


@pytest.mark.parametrize("changes", [{"poisons": 70}, {"tested": 600}, {"targets": 600}])
def test_too_few_images_are_an_error_in_one_line(changes: dict[str, int], dataset: Dataset) -> None:
    run = replace(runs_of("backdoor")[0], **changes)
    with pytest.raises(ReproError, match="bilevel: unit u0: 600 images are too few for 50 members"):
        bilevel.train_bilevel(Fleet((run,)), dataset, {}, CPU)
