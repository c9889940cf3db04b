"""What experiments on exposed victims share: equal accuracy against a slow oracle, encoders, fleets, rows."""

from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from equal_accuracy import slow_matched, slow_path
from hypothesis import assume, given
from hypothesis import strategies as st
from synthetic_records import (
    MEASURED,
    exposed_record,
    fleets_of,
    runs_of,
    small_profile,
)

from repro import plugins
from repro.harness.runs import Data, Defence
from repro.papers.desanctis.victims.experiment import chunks, encoder_of, exposed_row, matched
from repro.papers.desanctis.victims.runs import Amplification, EncoderRun, ExposureRun
from repro.training.recipe import Recipe

EXPERIMENTS = ("exposure", "amplification", "comparative", "targeted")
ACCURACIES = st.integers(0, 16).map(lambda i: i / 16) | st.integers(0, 1000).map(lambda i: i / 1000)


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    """A record of some checkpoints, whose accuracy may fall, rest and rise."""
    accuracies = draw(st.lists(ACCURACIES, min_size=1, max_size=6))
    return pictured(*((accuracy, draw(st.floats(0, 1))) for accuracy in accuracies))


def pictured(*points: tuple[float, float]) -> dict[str, Any]:
    """A record of checkpoints with these held-out accuracies and AUCs."""
    return {
        "checkpoints": [
            {"epoch": epoch, "test_accuracy": accuracy, "auc": auc}
            for epoch, (accuracy, auc) in enumerate(points, start=1)
        ]
    }


@given(records(), records())
def test_matched_is_a_slow_lookup_on_the_path_of_best_accuracies(
    own: dict[str, Any], other: dict[str, Any]
) -> None:
    assert matched(own, other) == pytest.approx(slow_matched(own, other), abs=1e-7)


@given(records(), records())
def test_both_sides_are_compared_at_equal_accuracy(own: dict[str, Any], other: dict[str, Any]) -> None:
    ends = [(p[0]["test_accuracy"], p[-1]["test_accuracy"]) for p in map(slow_path, (own, other))]
    low, high = max(start for start, _ in ends), min(end for _, end in ends)
    assume(low <= high)
    for one, two in ((own, other), (other, own)):
        assert matched(one, two)["test_accuracy"] == pytest.approx((low + high) / 2, abs=1e-9)


@given(records(), records(), st.floats(-1, 1), st.floats(0, 1))
def test_victims_whose_exposure_is_a_matter_of_accuracy_alone_come_out_equal(
    own: dict[str, Any], other: dict[str, Any], slope: float, level: float
) -> None:
    """However far apart their checkpoints lie: a lower AUC cannot come from training less."""
    for record in (own, other):
        for checkpoint in record["checkpoints"]:
            checkpoint["auc"] = level + slope * checkpoint["test_accuracy"]
    one, two = matched(own, other), matched(other, own)
    for found in (one, two):
        assert found["auc"] == pytest.approx(level + slope * found["test_accuracy"], abs=1e-7)


@given(records())
def test_a_record_matched_with_itself_is_equal_on_both_sides_and_of_its_whole_path(
    record: dict[str, Any],
) -> None:
    twin = {"checkpoints": [dict(checkpoint) for checkpoint in record["checkpoints"]]}
    assert matched(record, twin) == matched(twin, record)
    path = slow_path(record)
    middle = (path[0]["test_accuracy"] + path[-1]["test_accuracy"]) / 2
    assert matched(record, twin)["test_accuracy"] == pytest.approx(middle, abs=1e-9)


@given(records(), records())
def test_what_is_matched_lies_within_what_was_measured(own: dict[str, Any], other: dict[str, Any]) -> None:
    for name, value in matched(own, other).items():
        seen = [checkpoint[name] for checkpoint in own["checkpoints"]]
        assert min(seen) - 1e-9 <= value <= max(seen) + 1e-9


def test_accuracy_that_fell_is_not_interpolated_from() -> None:
    """From the checkpoint that set the best, past the one that fell below it."""
    own, other = pictured((0.5, 0.5), (0.2, 0.9), (1.0, 1.0)), pictured((0.75, 0.0))
    assert matched(own, other) == {"epoch": 2.0, "test_accuracy": 0.75, "auc": 0.75}


def test_a_victim_that_starts_above_where_the_other_ends_is_looked_at_when_it_starts() -> None:
    strong, weak = pictured((0.9, 0.6), (1.0, 0.7)), pictured((0.1, 0.2), (0.5, 0.3), (0.4, 0.8))
    assert matched(strong, weak) == {"epoch": 1.0, "test_accuracy": 0.9, "auc": 0.6}
    assert matched(weak, strong) == {"epoch": 2.0, "test_accuracy": 0.5, "auc": 0.3}


def test_ten_levels_are_looked_at() -> None:
    """A curve that bends tells their number."""
    own = pictured((0.0, 0.0), (0.5, 0.0), (1.0, 1.0))
    assert matched(own, own)["auc"] == pytest.approx(fmean(max(0.0, 2 * i / 9 - 1) for i in range(10)))


def victim(**changes: Any) -> ExposureRun:
    about = {
        "unit": "u004",
        "data": Data("digits", 600),
        "seed": 11,
        "target_class": 4,
        "architecture": "mlp",
        "recipe": Recipe(0.01, 16, 9),
        "members": 61,
        "nonmembers": 122,
        "victim": "scratch",
        "checkpoints": (3, 9),
    }
    return ExposureRun(**(about | changes))


def test_victims_of_a_unit_share_an_encoder_that_knows_nothing_of_attack_defence_or_recipe(
    tmp_path: Path,
) -> None:
    changed = {"learning_rate": 0.02, "batch_size": 24, "encoder_epochs": 5}
    settings = small_profile(tmp_path, "exposure", **changed).settings("exposure")
    expected = EncoderRun("u004", Data("digits", 600), 11, "mlp", Recipe(0.02, 24, 5), 61, 122)
    for changes in (
        {},
        {"attack": Amplification("dirty_label", 5)},
        {"defence": Defence("margin", 2.0)},
        {"victim": "frozen"},
        {"recipe": Recipe(0.5, 8, 2), "checkpoints": (2,)},
        {"target_class": 5},
    ):
        assert encoder_of(victim(**changes), settings) == expected
    assert encoder_of(victim(validation=30), settings).validation == 30


@given(st.lists(st.integers(), max_size=30), st.integers(1, 9))
def test_chunks_keep_all_runs_in_order_in_full_fleets_but_the_last(runs: list[int], size: int) -> None:
    fleets = chunks(runs, size)
    assert [run for fleet in fleets for run in fleet.runs] == runs
    assert all(len(fleet.runs) == size for fleet in fleets[:-1])
    assert all(1 <= len(fleet.runs) <= size for fleet in fleets)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_fleet_of_victims_goes_on_from_encoders_that_are_trained_in_the_same_order(
    experiment: str, tmp_path: Path
) -> None:
    profile = small_profile(tmp_path, experiment, units=7)
    first, *others = plugins.load("experiment", experiment).EXPERIMENT.phases
    assert (first.name, first.keeps_weights) == ("train", True)
    encoders = {fleet.id for fleet in fleets_of(profile, experiment, "train")}
    needed = set()
    for phase in others:
        assert phase.after == "train"
        assert phase.parent is not None
        for fleet in phase.fleets(profile):
            parent = phase.parent(profile, fleet)
            needed.add(parent.id)
            assert [run.unit for run in parent.runs] == [run.unit for run in fleet.runs]
            assert [run.seed for run in parent.runs] == [run.seed for run in fleet.runs]
    assert needed == encoders


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_nothing_is_trained_twice(experiment: str, tmp_path: Path) -> None:
    profile = small_profile(tmp_path, experiment, units=7)
    phases = plugins.load("experiment", experiment).EXPERIMENT.phases
    trained = [run.id for phase in phases for run in runs_of(profile, experiment, phase.name)]
    assert len(trained) == len(set(trained))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_runs_of_a_fleet_are_of_one_condition(experiment: str, tmp_path: Path) -> None:
    """Their work function reads what they share from the first of them."""
    profile = small_profile(tmp_path, experiment, units=7)
    own = ("unit", "seed", "target_class", "base_class", "id")
    for phase in plugins.load("experiment", experiment).EXPERIMENT.phases:
        for fleet in phase.fleets(profile):
            shared = [{n: v for n, v in vars(run).items() if n not in own} for run in fleet.runs]
            assert all(about == shared[0] for about in shared)


@pytest.mark.parametrize(
    ("attack", "expected"),
    [
        (None, ("none", 0)),
        (Amplification("dirty_label", 5), ("dirty_label", 5)),
        (Amplification("feature_collision", 8), ("clean_label", 8)),
    ],
)
def test_a_row_says_what_the_run_is_and_what_was_measured(
    attack: Amplification | None, expected: tuple[str, int]
) -> None:
    run = victim(attack=attack, victim="frozen", defence=Defence("margin", 2))
    measured = exposed_record(run, np.random.default_rng(0))["checkpoints"][1]
    row = exposed_row(run, "final", measured)
    assert row == {
        "run": run.id,
        "phase": "final",
        "unit": "u004",
        "partition_seed": 11,
        "seed": 11,
        "target_class": 4,
        "victim": "frozen",
        "attack": expected[0],
        "budget": expected[1],
        "architecture": "mlp",
        "regulariser": "margin",
        "weight": 2.0,
        "epochs": 9.0,
    } | {name: measured[name] for name in MEASURED}
    assert list(row)[-len(MEASURED) :] == list(MEASURED)
    assert all(type(row[name]) is float for name in ("weight", "epochs", *MEASURED))
