"""Encoders and exposed victims against one unit worked out plainly: poisons, training, every figure at checkpoints."""

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from exposed_victims import (
    BUDGET,
    CLASSES,
    CPU,
    CRAFTING,
    IMAGES,
    MEMBERS,
    SHAPE,
    TARGET_CLASSES,
    VALIDATION,
    as_seen,
    centred,
    encoder_runs,
    features_alone,
    fresh_alone,
    mlp_blocks,
    own_parts,
    pairs,
    public_encoders,
    trained_alone,
    victim_runs,
)
from plain_loop import alone, largest_difference, logits_alone, train_alone
from torch import Tensor

from repro.data import Dataset, load_dataset
from repro.errors import ReproError
from repro.harness.runs import Fleet
from repro.papers.desanctis.victims import work as exposure
from repro.papers.desanctis.victims.runs import Amplification, ExposureRun
from repro.papers.desanctis.victims.work import train_encoders, train_victims
from repro.training.fleet import Split, train
from repro.training.recipe import Recipe
from repro.training.stack import Stack

ATTACKS = {
    "none": None,
    "dirty": Amplification("dirty_label", BUDGET),
    "clean": Amplification("feature_collision", BUDGET, CRAFTING),
}
VICTIMS = ("scratch", "fine-tuned", "frozen")
CONDITIONS = list(product(VICTIMS, ATTACKS))
RECIPE = Recipe(0.01, 16, 4)


@dataclass
class Exposed:
    """What training a fleet of victims left: its records, and what it was trained on."""

    runs: list[ExposureRun]
    records: list[dict[str, Any]]
    pool: Tensor
    training: Split
    trained: Stack

    def poisons(self, k: int) -> tuple[Tensor, Tensor]:
        """What joined a member's samples: rows of what its victim sees, and labels."""
        return self.pool[self.training.indices[k, MEMBERS:]], self.training.labels[k, MEMBERS:]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("digits", Path(), IMAGES, {})


@pytest.fixture(scope="module")
def encoders(dataset: Dataset) -> Stack:
    return public_encoders(dataset)


def watched(dataset: Dataset, encoders: Stack, **changes: Any) -> Exposed:
    """Victims, and what the fleet's training was given and gave."""
    runs = victim_runs(**changes)
    seen: list[tuple[Tensor, Split, Stack]] = []

    def keeping(stack: Stack, pool: Tensor, training: Split, *rest: Any, **more: Any) -> Any:
        trained, epochs = train(stack, pool, training, *rest, **more)
        seen.append((pool, training, trained))
        return trained, epochs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exposure, "plain", SimpleNamespace(train=keeping))
        outcome = train_victims(Fleet(tuple(runs)), dataset, encoders.state(), CPU)
    assert not outcome.weights
    ((pool, training, trained),) = seen
    return Exposed(runs, outcome.records, pool, training, trained)


@pytest.fixture(scope="module")
def exposed(dataset: Dataset, encoders: Stack) -> dict[tuple[str, str], Exposed]:
    return {
        (victim, attack): watched(
            dataset, encoders, victim=victim, attack=ATTACKS[attack], recipe=RECIPE, checkpoints=(1, 4)
        )
        for victim, attack in CONDITIONS
    }


def test_public_encoders_are_what_a_plain_loop_trains_on_the_pool(dataset: Dataset) -> None:
    images, labels = centred(dataset), torch.from_numpy(dataset.labels)
    few_steps = Recipe(0.005, 64, 2)  # rounding grows with every step
    for validation in (0, VALIDATION):
        runs = tuple(replace(run, recipe=few_steps) for run in encoder_runs(validation=validation))
        outcome = train_encoders(Fleet(runs), dataset, {}, CPU)
        trained = Stack(mlp_blocks(), SHAPE, CLASSES, dict(outcome.weights))
        for k, (run, record) in enumerate(zip(runs, outcome.records, strict=True)):
            own = own_parts(run.seed, validation)
            model = fresh_alone(run.seed, "encoder")
            train_alone(model, (images[own.pool], labels[own.pool]), run.recipe, run.seed, purpose="encoder")
            assert largest_difference(alone(trained, k), model) < 2e-3
            right = logits_alone(model, images[own.nonmembers]).argmax(1) == labels[own.nonmembers]
            expected = {"run": run.id, "test_accuracy": float(right.double().mean())}
            assert record == pytest.approx(expected, abs=1e-3)
            assert record["test_accuracy"] > 0.3


@pytest.mark.parametrize(("victim", "attack"), CONDITIONS)
def test_each_victim_and_every_figure_are_those_of_a_plain_loop(
    victim: str,
    attack: str,
    exposed: dict[tuple[str, str], Exposed],
    encoders: Stack,
    dataset: Dataset,
) -> None:
    one = exposed[victim, attack]
    for k, run in enumerate(one.runs):
        model, expected = trained_alone(run, encoders, dataset, k)
        assert largest_difference(alone(one.trained, k), model) < 2e-3
        assert one.records[k]["run"] == run.id
        found = one.records[k]["checkpoints"]
        assert [c["epoch"] for c in found] == [1, 4]
        for checkpoint, plain in zip(found, expected, strict=True):
            assert checkpoint == pytest.approx(plain, abs=1e-3)


def test_the_figures_can_differ(exposed: dict[tuple[str, str], Exposed]) -> None:
    """Or comparing them above would show nothing."""
    found = [c for one in exposed.values() for record in one.records for c in record["checkpoints"]]
    same = {name for name in found[0] if len({c[name] for c in found}) == 1}
    assert same <= {"ties"}
    for one, other in (("auc", "target_auc"), ("auc", "other_auc"), ("target_accuracy", "other_accuracy")):
        assert any(c[one] != c[other] for c in found)


def test_poisons_and_kinds_of_victim_change_what_is_trained(exposed: dict[tuple[str, str], Exposed]) -> None:
    for victim, attack in CONDITIONS:
        head = exposed[victim, attack].trained.state()["head.weight"]
        others = [exposed[victim, a] for a in ATTACKS if a != attack]
        others += [exposed[v, attack] for v in VICTIMS if v != victim]
        for other in others:
            assert (
                not torch.isclose(head, other.trained.state()["head.weight"], atol=1e-3).all(2).all(1).any()
            )


@pytest.mark.parametrize("victim", VICTIMS)
def test_dirty_label_poisons_are_pool_images_of_the_target_class_under_wrong_labels(
    victim: str, exposed: dict[tuple[str, str], Exposed], encoders: Stack, dataset: Dataset
) -> None:
    one, images = exposed[victim, "dirty"], centred(dataset)
    for k, run in enumerate(one.runs):
        seen, labels = one.poisons(k)
        pool = own_parts(run.seed).pool
        of_target = [i for i in pool.tolist() if dataset.labels[i] == TARGET_CLASSES[k]]
        known = as_seen(run, encoders, k, images[of_target]).flatten(1)
        nearest = torch.cdist(seen.flatten(1).double(), known.double()).min(1)
        assert len(labels) == BUDGET == len(set(nearest.indices.tolist()))
        assert float(nearest.values.max()) < 1e-3
        assert TARGET_CLASSES[k] not in labels.tolist()
        assert len(set(labels.tolist())) > 2


@pytest.mark.parametrize("victim", VICTIMS)
def test_clean_label_poisons_are_pool_images_of_other_classes_moved_towards_members_of_the_target_class(
    victim: str, exposed: dict[tuple[str, str], Exposed], encoders: Stack, dataset: Dataset
) -> None:
    one, images = exposed[victim, "clean"], centred(dataset)
    for k, run in enumerate(one.runs):
        seen, labels = one.poisons(k)
        bases, targets = pairs(run, dataset)
        own = own_parts(run.seed)
        assert len(labels) == BUDGET == len(set(bases))
        assert set(bases) <= set(own.pool.tolist())
        assert set(targets) == {i for i in own.members.tolist() if dataset.labels[i] == TARGET_CLASSES[k]}
        assert labels.tolist() == dataset.labels[bases].tolist()
        assert TARGET_CLASSES[k] not in labels.tolist()
        encoder = alone(encoders, k)
        start, goal = (features_alone(encoder, images[chosen]) for chosen in (bases, targets))
        there = seen.flatten(1) if victim == "frozen" else features_alone(encoder, seen.permute(0, 3, 1, 2))
        assert ((there - goal).norm(dim=1) < (start - goal).norm(dim=1)).all()
        if victim != "frozen":
            pixels = seen.permute(0, 3, 1, 2)
            assert float(pixels.abs().max()) <= 0.5
            moved = (pixels - images[bases]).flatten(1).norm(dim=1)
            assert (moved > 1e-3).all()
            assert (moved < (images[targets] - images[bases]).flatten(1).norm(dim=1)).all()


@pytest.mark.parametrize("victim", VICTIMS)
def test_members_come_first_under_their_own_labels_whatever_the_attack(
    victim: str, exposed: dict[tuple[str, str], Exposed], encoders: Stack, dataset: Dataset
) -> None:
    for name, attack in ATTACKS.items():
        one = exposed[victim, name]
        assert one.training.indices.shape[1] == MEMBERS + (BUDGET if attack else 0)
        for k, run in enumerate(one.runs):
            members = own_parts(run.seed).members
            assert one.training.labels[k, :MEMBERS].tolist() == dataset.labels[members].tolist()
            seen = one.pool[one.training.indices[k, :MEMBERS]].flatten(1)
            expected = as_seen(run, encoders, k, centred(dataset)[members]).flatten(1)
            torch.testing.assert_close(seen, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("victim", ["fine-tuned", "frozen"])
def test_validation_accuracy_is_measured_only_of_victims_with_validation_images(
    victim: str, exposed: dict[tuple[str, str], Exposed], dataset: Dataset
) -> None:
    encoders = public_encoders(dataset, validation=VALIDATION)
    changes = {"victim": victim, "attack": ATTACKS["dirty"], "recipe": RECIPE, "checkpoints": (2, 3, 4)}
    one = watched(dataset, encoders, validation=VALIDATION, **changes)
    accuracies = set()
    for k, run in enumerate(one.runs):
        model, expected = trained_alone(run, encoders, dataset, k)
        assert largest_difference(alone(one.trained, k), model) < 2e-3
        for checkpoint, plain in zip(one.records[k]["checkpoints"], expected, strict=True):
            assert checkpoint == pytest.approx(plain, abs=1e-3)
            accuracies.add((checkpoint["validation_accuracy"], checkpoint["test_accuracy"]))
    assert any(validation != test for validation, test in accuracies)
    for without in exposed.values():
        assert not any("validation" in name for c in without.records[0]["checkpoints"] for name in c)


def test_no_epsilon_is_recorded_where_none_is_promised(exposed: dict[tuple[str, str], Exposed]) -> None:
    for one in exposed.values():
        assert not any("epsilon" in c for record in one.records for c in record["checkpoints"])


def test_too_few_images_to_poison_with_is_one_line(dataset: Dataset, encoders: Stack) -> None:
    runs = victim_runs(attack=Amplification("dirty_label", 300))
    with pytest.raises(ReproError, match=r"^dirty_label: a budget of 300 poisons, but .* of class 3$"):
        train_victims(Fleet(tuple(runs)), dataset, encoders.state(), CPU)
