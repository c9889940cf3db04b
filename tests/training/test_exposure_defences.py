"""Victims under a defence against the same model trained alone: by DP-SGD, whose privacy is told, and by a loss."""

from dataclasses import replace
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from exposed_victims import (
    BUDGET,
    CLASSES,
    CPU,
    IMAGES,
    MEMBERS,
    SHAPE,
    centred,
    figures,
    mlp_blocks,
    own_parts,
    public_encoders,
    samples,
    starting,
    victim_runs,
)
from plain_loop import PlainModel, logits_alone, train_alone
from plain_private import train_one_by_one
from torch import Tensor

from repro.data import Dataset, load_dataset
from repro.harness.runs import Defence, Fleet
from repro.papers.desanctis.victims import work as exposure
from repro.papers.desanctis.victims.runs import Amplification, ExposureRun
from repro.papers.desanctis.victims.work import train_victims
from repro.seeds import stream
from repro.training.recipe import Recipe
from repro.training.stack import Stack

RECIPE = Recipe(0.01, 16, 4)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("digits", Path(), IMAGES, {})


@pytest.fixture(scope="module")
def encoders(dataset: Dataset) -> Stack:
    return public_encoders(dataset)


@pytest.fixture(scope="module")
def privately(dataset: Dataset, encoders: Stack) -> tuple[list[ExposureRun], list[dict[str, Any]]]:
    runs = victim_runs(
        attack=Amplification("dirty_label", BUDGET), recipe=Recipe(0.01, 16, 3), checkpoints=(1, 3)
    )
    noises = (0.0, 0.8, 2.0)
    given = [
        replace(run, defence=Defence("dp_sgd", noise, {"clip": 0.7}))
        for run, noise in zip(runs, noises, strict=True)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exposure, "plain", SimpleNamespace(train=None))
        return given, train_victims(Fleet(tuple(given)), dataset, encoders.state(), CPU).records


def test_a_defence_that_trains_in_its_own_way_takes_the_fleets_place(
    privately: tuple[list[ExposureRun], list[dict[str, Any]]], encoders: Stack, dataset: Dataset
) -> None:
    runs, records = privately
    for k, (run, record) in enumerate(zip(runs, records, strict=True)):
        drawn = int(torch.randint(2**62, (1,), generator=stream(run.seed, "victim")))
        start = Stack.initialised(mlp_blocks(), SHAPE, CLASSES, [drawn])
        seen = samples(run, encoders, dataset, k)
        weight = run.defence.weight
        model = train_one_by_one(start, 0, seen, run.recipe, run.seed, 0.7, weight, "victim")
        own = own_parts(run.seed)
        both = (logits_alone(model, centred(dataset)[i]) for i in (own.members, own.nonmembers))
        found = {name: v for name, v in record["checkpoints"][-1].items() if name not in ("epoch", "epsilon")}
        assert found == pytest.approx(figures(run, *both, dataset), abs=1e-3)


def test_epsilon_is_recorded_as_opacus_counts_it_up_to_that_epoch_over_members_and_poisons(
    privately: tuple[list[ExposureRun], list[dict[str, Any]]],
) -> None:
    from opacus.accountants import RDPAccountant

    samples_seen = MEMBERS + BUDGET
    for run, record in zip(*privately, strict=True):
        for checkpoint, epoch in zip(record["checkpoints"], (1, 3), strict=True):
            assert checkpoint["epoch"] == epoch
            if run.defence.weight == 0:
                assert checkpoint["epsilon"] == inf
                continue
            accountant = RDPAccountant()
            for _ in range(epoch * (samples_seen // 16)):
                accountant.step(noise_multiplier=run.defence.weight, sample_rate=16 / samples_seen)
            assert checkpoint["epsilon"] == pytest.approx(accountant.get_epsilon(1e-4), rel=1e-9)


def test_a_loss_that_defends_is_added_with_each_runs_own_weight(dataset: Dataset, encoders: Stack) -> None:
    runs = victim_runs(recipe=RECIPE)
    weights = (0.0, 0.1, 1.0)
    given = [
        replace(run, defence=Defence("weight_decay", weight))
        for run, weight in zip(runs, weights, strict=True)
    ]
    records = train_victims(Fleet(tuple(given)), dataset, encoders.state(), CPU).records
    for k, run in enumerate(given):
        model, own = starting(run, encoders, k), own_parts(run.seed)

        def decayed(
            m: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor, factor: float = run.defence.weight
        ) -> Tensor:
            squares = sum(parameter.square().sum() for parameter in m.parameters())
            return F.cross_entropy(m.head(hidden), labels) + factor * squares / 2

        train_alone(model, samples(run, encoders, dataset, k), RECIPE, run.seed, decayed, purpose="victim")
        both = (logits_alone(model, centred(dataset)[i]) for i in (own.members, own.nonmembers))
        expected = {"epoch": 4.0} | figures(run, *both, dataset)
        assert records[k]["checkpoints"][-1] == pytest.approx(expected, abs=1e-3)
