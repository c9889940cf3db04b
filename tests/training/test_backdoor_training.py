"""Fleets of backdoored and clean models: what is recorded of each is what a plain PyTorch model measures."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from plain_loop import (
    PlainModel,
    accuracy,
    alone,
    cross_entropy,
    largest_difference,
    logits_alone,
    train_alone,
)
from torch import Tensor

from repro import plugins
from repro.data import Dataset, load_dataset
from repro.harness.outcome import Outcome
from repro.harness.runs import Backdoor, Data, Defence, Fleet, Run, Trigger
from repro.papers.backdoors.poisoning import Indices, Pool
from repro.papers.backdoors.work import regularisation, retrain_fleet, train_fleet
from repro.training.recipe import Recipe
from repro.training.stack import Stack

CPU = torch.device("cpu")
LIMIT = 400
SQUARE = Trigger("square", 1.0, {"size": 3, "offset": 1, "value": 1.0})
SINE = Trigger("sine", 0.5, {"amplitude": 0.4, "cycles": 2.0})
RECIPE = Recipe(0.01, 32, epochs=15, patience=2)
RETRAINING = Recipe(0.003, 16, epochs=2)


def run_of(k: int, backdoor: Backdoor | None, probes: tuple[Backdoor, ...] = ()) -> Run:
    return Run(f"u{k:03d}", Data("digits", LIMIT), k, k, "mlp", RECIPE, backdoor=backdoor, probes=probes)


# The poison classes differ, and so do the numbers of adversarial-test images; one run is clean and has two probes,
# and one is measured under a trigger it was not trained with too.
RUNS = (
    run_of(1, Backdoor(1, SQUARE, 0.5)),
    run_of(2, Backdoor(2, SQUARE, 0.5, source_class=7)),
    run_of(3, None, (Backdoor(3, SQUARE, 0.5), Backdoor(3, SINE, 0.5))),
    run_of(4, Backdoor(9, SINE, 0.8), (Backdoor(9, SQUARE, 0.5),)),
)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits", Path(), LIMIT)


@pytest.fixture(scope="module")
def trained(digits: Dataset) -> Outcome:
    return train_fleet(Fleet(RUNS), digits, {}, CPU)


def stack_with(weights: dict[str, Tensor]) -> Stack:
    blocks = plugins.load("architecture", "mlp").blocks((1, 8, 8), 10)
    return Stack(blocks, (1, 8, 8), 10, weights)


def check_record(record: dict[str, object], run: Run, model: PlainModel, digits: Dataset) -> None:
    """Everything recorded of a run, measured again image by image."""
    pool = Pool(digits)
    view = pool.view(run)
    images = pool.images() - 0.5

    def samples(pair: tuple[Indices, Indices]) -> tuple[Tensor, Tensor]:
        return images[torch.from_numpy(pair[0])], torch.from_numpy(pair[1])

    assert record["run"] == run.id
    assert record["poisoned_accuracy"] == pytest.approx(accuracy(model, samples(view.validation)), abs=1e-9)
    assert record["clean_accuracy"] == pytest.approx(
        accuracy(model, samples(view.clean_validation)), abs=1e-9
    )
    attacks = record["attacks"]
    assert isinstance(attacks, list)
    assert len(attacks) == len(view.successes)
    for measured, success in zip(attacks, view.successes, strict=True):
        predicted = logits_alone(model, images[torch.from_numpy(success.indices)]).argmax(1).tolist()
        target = success.backdoor.poison_class
        own = [
            p for p, c in zip(predicted, success.classes, strict=True) if c == success.backdoor.source_class
        ]
        assert measured["images"] == len(predicted)
        assert measured["asr"] == pytest.approx(predicted.count(target) / len(predicted), abs=1e-9)
        expected = own.count(target) / len(own) if own else None
        assert measured["own_source_asr"] == (None if expected is None else pytest.approx(expected, abs=1e-9))


def test_what_is_recorded_after_training_is_what_a_plain_model_measures(
    trained: Outcome, digits: Dataset
) -> None:
    stack = stack_with(dict(trained.weights))
    for k, (record, run) in enumerate(zip(trained.records, RUNS, strict=True)):
        check_record(record, run, alone(stack, k), digits)
    images = [attack["images"] for record in trained.records for attack in record["attacks"]]
    assert len(set(images)) > 1
    rates = [attack["asr"] for record in trained.records for attack in record["attacks"]]
    assert max(rates) > 0.5 > min(rates)
    assert trained.records[0]["attacks"][0]["own_source_asr"] is None
    assert trained.records[1]["attacks"][0]["own_source_asr"] is not None
    assert [len(record["attacks"]) for record in trained.records] == [1, 1, 2, 2]
    assert len({record["epochs"] for record in trained.records}) > 1


def test_each_run_trains_on_its_own_poison_set_until_its_own_end(trained: Outcome, digits: Dataset) -> None:
    stack = stack_with(dict(trained.weights))
    agree = []
    for k, run in enumerate(RUNS):
        pool = Pool(digits)
        view = pool.view(run)
        images = pool.images() - 0.5
        model = alone(Stack.initialised(stack.blocks, (1, 8, 8), 10, [run.seed]), 0)
        its_training, its_validation = (
            (images[torch.from_numpy(indices)], torch.from_numpy(labels))
            for indices, labels in (view.training, view.validation)
        )
        expected = train_alone(model, its_training, RECIPE, run.seed, validation=its_validation)
        agree.append(
            trained.records[k]["epochs"] == expected.epochs
            and largest_difference(alone(stack, k), model) < 1e-2
        )
    # Single precision: one may part ways at a tie of the rectifier.
    assert sum(agree) >= len(RUNS) - 1


def test_retraining_goes_on_from_the_weights_on_the_clean_set_alone(
    trained: Outcome, digits: Dataset
) -> None:
    runs = tuple(replace(run, retraining=RETRAINING, defence=Defence("logit_squeezing", 5.0)) for run in RUNS)
    outcome = retrain_fleet(Fleet(runs), digits, trained.weights, CPU)
    after = stack_with(dict(outcome.weights))
    agree = []
    for k, run in enumerate(runs):
        pool = Pool(digits)
        indices, labels = pool.view(run).clean_training
        model = alone(stack_with(dict(trained.weights)), k)
        samples = pool.images()[torch.from_numpy(indices)] - 0.5, torch.from_numpy(labels)
        train_alone(model, samples, RETRAINING, run.seed, cross_entropy, purpose="retraining")
        agree.append(largest_difference(alone(after, k), model) < 1e-2)
        check_record(outcome.records[k], run, alone(after, k), digits)
        assert outcome.records[k]["epochs"] == 2
    assert sum(agree) >= len(runs) - 1
    assert not torch.equal(outcome.weights["head.weight"], trained.weights["head.weight"])


def test_retraining_without_a_recipe_is_an_error(trained: Outcome, digits: Dataset) -> None:
    with pytest.raises(ValueError, match=r"^these runs have no retraining recipe$"):
        retrain_fleet(Fleet(RUNS), digits, trained.weights, CPU)


def test_training_again_gives_the_same_records_and_weights(trained: Outcome, digits: Dataset) -> None:
    again = train_fleet(Fleet(RUNS), digits, {}, CPU)
    assert again.records == trained.records
    for name, tensor in again.weights.items():
        assert torch.equal(tensor, trained.weights[name])


def test_each_run_has_its_own_weight_and_the_fleet_one_defence_with_its_options() -> None:
    runs = [
        replace(run_of(k, None), defence=Defence("snnl", weight, {"temperature": 7.0}))
        for k, weight in enumerate((0.1, 0.5, 2.0))
    ]
    made = regularisation(runs)
    assert made.piece is plugins.load("defence", "snnl")
    assert made.options == {"temperature": 7.0}
    torch.testing.assert_close(made.weights, torch.tensor([0.1, 0.5, 2.0]))
    plain = regularisation([replace(runs[0], defence=Defence("snnl", 1.0))])
    assert plain.options == plugins.load("defence", "snnl").OPTIONS
