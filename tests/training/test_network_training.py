"""Backdoored and clean networks by the path that experiments take: they learn, are poisoned, and are retrained."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from repro.data import Dataset, load_dataset
from repro.harness.outcome import Outcome
from repro.harness.runs import Backdoor, Data, Fleet, Run, Trigger
from repro.papers.backdoors.work import retrain_fleet, train_fleet
from repro.training.recipe import Recipe

CPU = torch.device("cpu")
LIMIT = 1400
ATTACK = Backdoor(1, Trigger("square", 1.0, {"size": 3, "offset": 1, "value": 1.0}), 0.5)
RECIPE = Recipe(0.003, 32, epochs=12, patience=5, options={"channels_last": True})
RETRAINING = Recipe(0.001, 16, epochs=1)


def run_of(k: int, backdoor: Backdoor | None, probes: tuple[Backdoor, ...] = ()) -> Run:
    return Run(
        f"u{k:03d}", Data("digits", LIMIT), k, k, "resnet_small", RECIPE, backdoor=backdoor, probes=probes
    )


RUNS = (run_of(1, ATTACK), run_of(2, None, (ATTACK,)))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits", Path(), LIMIT)


@pytest.fixture(scope="module")
def trained(digits: Dataset) -> Outcome:
    return train_fleet(Fleet(RUNS), digits, {}, CPU)


def test_a_backdoor_takes_in_the_poisoned_network_and_not_in_the_clean_one(trained: Outcome) -> None:
    poisoned, clean = trained.records
    assert [poisoned["run"], clean["run"]] == [run.id for run in RUNS]
    assert poisoned["clean_accuracy"] > 0.8
    assert clean["clean_accuracy"] > 0.8
    assert poisoned["attacks"][0]["asr"] > 0.8
    assert clean["attacks"][0]["asr"] < 0.4
    assert all(1 <= record["epochs"] <= RECIPE.epochs for record in trained.records)


def test_retraining_starts_from_the_weights_it_is_given(trained: Outcome, digits: Dataset) -> None:
    runs = tuple(replace(run, retraining=RETRAINING) for run in RUNS)
    outcome = retrain_fleet(Fleet(runs), digits, trained.weights, CPU)
    steps = 213 // 16  # of the clean set's training images, 19 % x 80 % of 1400
    before, after = (
        weights["stem_norm.num_batches_tracked"] for weights in (trained.weights, outcome.weights)
    )
    assert (after - before).tolist() == [steps, steps]
    for record in outcome.records:
        assert record["epochs"] == 1
        assert record["clean_accuracy"] > 0.8
