"""Targeted attacks against one unit worked out plainly: its split, target, poisons, three victims and every figure."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from plain_loop import PlainModel, alone, largest_difference, logits_alone, train_alone
from torch import Tensor

from repro import plugins
from repro.attacks.feature_collision import collide
from repro.data import Dataset, load_dataset, seeded_generator
from repro.errors import ReproError
from repro.harness.runs import Data, Defence, Fleet
from repro.papers.desanctis.experiments.targeted import work as targeted
from repro.papers.desanctis.experiments.targeted.runs import TargetedRun
from repro.papers.desanctis.victims.runs import EncoderRun
from repro.papers.desanctis.victims.work import train_encoders
from repro.seeds import stream
from repro.training.fleet import Split, train
from repro.training.recipe import Recipe
from repro.training.stack import Stack

SEEDS = [41, 32, 43]
BASE_CLASSES = [9, 0, 8]
MEMBERS, NONMEMBERS, BUDGET = 80, 150, 12
CRAFTING = {"beta": 2.0, "step": 1.0, "iterations": 12}
DATA = Data("digits", 600)
MARGIN = Defence("margin", 1.0)
CPU = torch.device("cpu")
CLEAN, POISONED, PLACEBO = range(3)
SETTINGS = {
    "frozen": {"frozen": True, "recipe": Recipe(0.01, 32, 4), "watermark": 0.0},
    "end-to-end": {"frozen": False, "recipe": Recipe(0.01, 32, 8), "watermark": 0.3},
    "margin": {"frozen": False, "recipe": Recipe(0.01, 32, 8), "watermark": 0.3, "defence": MARGIN},
}


@dataclass
class Attacked:
    """What an attack on a fleet left: its records, and the three trainings, clean, poisoned and placebo."""

    runs: list[TargetedRun]
    records: list[dict[str, Any]]
    starts: list[Stack]
    pools: list[Tensor]
    splits: list[Split]
    victims: list[Stack]

    def seen(self, training: int, k: int) -> tuple[Tensor, Tensor]:
        """What a member was trained on: rows of the pool and labels."""
        split = self.splits[training]
        return self.pools[training][split.indices[k]], split.labels[k]

    def poisons(self, k: int) -> Tensor:
        """The images that a member's poisons are, centred, (P, 1, 8, 8), of victims that see images."""
        return self.seen(POISONED, k)[0][MEMBERS:].permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("digits", Path(), 600, {})


@pytest.fixture(scope="module")
def encoders(dataset: Dataset) -> Stack:
    runs = [run.encoder for run in attack_runs(**SETTINGS["frozen"])]
    assert runs[1] == EncoderRun("u1", DATA, 32, "mlp", Recipe(0.003, 32, 12), MEMBERS, NONMEMBERS)
    state = train_encoders(Fleet(tuple(runs)), dataset, {}, CPU).weights
    return Stack(plugins.load("architecture", "mlp").blocks((1, 8, 8), 10), (1, 8, 8), 10, dict(state))


def attack_runs(**changes: Any) -> list[TargetedRun]:
    return [
        TargetedRun(
            f"u{k}",
            DATA,
            seed,
            base_class,
            "mlp",
            Recipe(0.003, 32, 12),
            members=MEMBERS,
            nonmembers=NONMEMBERS,
            **{"budget": BUDGET, "crafting": CRAFTING} | changes,
        )
        for k, (seed, base_class) in enumerate(zip(SEEDS, BASE_CLASSES, strict=True))
    ]


def watched(
    seen: list[tuple[Stack, Tensor, Split, Stack]],
    stack: Stack,
    pool: Tensor,
    training: Split,
    *rest: Any,
    **more: Any,
) -> tuple[Stack, list[int]]:
    """`train`, and what it was given and gave."""
    trained, epochs = train(stack, pool, training, *rest, **more)
    seen.append((stack, pool, training, trained))
    return trained, epochs


@pytest.fixture(scope="module")
def attacked(dataset: Dataset, encoders: Stack) -> dict[str, Attacked]:
    found = {}
    for name, setting in SETTINGS.items():
        runs = attack_runs(**setting)
        seen: list[tuple[Stack, Tensor, Split, Stack]] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(targeted, "train", partial(watched, seen))
            outcome = targeted.train_targeted(Fleet(tuple(runs)), dataset, encoders.state(), CPU)
        starts, pools, splits, victims = map(list, zip(*seen, strict=True))
        found[name] = Attacked(runs, outcome.records, starts, pools, splits, victims)
    return found


def parts(run: TargetedRun) -> tuple[Tensor, Tensor, Tensor]:
    order = torch.from_numpy(seeded_generator(f"exposure/{run.seed}").permutation(600))
    return order[:MEMBERS], order[MEMBERS : MEMBERS + NONMEMBERS], order[MEMBERS + NONMEMBERS :]


def centred(dataset: Dataset) -> Tensor:
    return torch.from_numpy(dataset.images) - 0.5


def public_features(encoders: Stack, k: int, images: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = alone(encoders, k).body(images)
    return found


def views(one: Attacked, encoders: Stack, dataset: Dataset, k: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A unit's poisons, bases, target and non-members, as centred images."""
    images, record = centred(dataset), one.records[k]
    poisons = crafted_alone(one.runs[k], record, encoders, dataset, k)
    return poisons, images[record["bases"]], images[[record["target"]]], images[parts(one.runs[k])[1]]


def crafted_alone(
    run: TargetedRun, record: dict[str, Any], encoders: Stack, dataset: Dataset, k: int
) -> Tensor:
    images, encoder = torch.from_numpy(dataset.images), alone(encoders, k)
    target = images[record["target"]]
    bases = (1 - run.watermark) * images[record["bases"]] + run.watermark * target
    features = lambda x: encoder.body(x[0] - 0.5)[None]  # noqa: E731
    return collide(features, bases[None], target.expand_as(bases)[None], **CRAFTING)[0] - 0.5


@pytest.mark.parametrize("name", ["frozen", "end-to-end"])
def test_each_victim_is_what_a_plain_loop_trains(
    name: str, attacked: dict[str, Attacked], encoders: Stack, dataset: Dataset
) -> None:
    one = attacked[name]
    labels = torch.from_numpy(dataset.labels)
    for k, run in enumerate(one.runs):
        members, record = parts(run)[0], one.records[k]
        poisons = crafted_alone(run, record, encoders, dataset, k)
        of_base = torch.full((BUDGET,), run.base_class)
        images, bases = centred(dataset), centred(dataset)[record["bases"]]
        sets = [
            (images[members], labels[members]),
            (torch.cat([images[members], poisons]), torch.cat([labels[members], of_base])),
            (torch.cat([images[members], bases]), torch.cat([labels[members], of_base])),
        ]
        drawn = int(torch.randint(2**62, (1,), generator=stream(run.seed, "victim")))
        fresh = alone(Stack.initialised(encoders.blocks, (1, 8, 8), 10, [drawn]), 0)
        for training, (x, y) in enumerate(sets):
            model = PlainModel((), (64, 1, 1), 10) if run.frozen else alone(encoders, k)
            seen = public_features(encoders, k, x) if run.frozen else x
            model.head.load_state_dict(fresh.head.state_dict())
            train_alone(model, (seen, y), run.recipe, run.seed, purpose="victim")
            assert largest_difference(alone(one.victims[training], k), model) < 2e-3


@pytest.mark.parametrize("name", ["end-to-end", "margin"])
def test_poisons_are_those_of_one_unit_crafted_alone(
    name: str, attacked: dict[str, Attacked], encoders: Stack, dataset: Dataset
) -> None:
    one = attacked[name]
    for k, run in enumerate(one.runs):
        plain = crafted_alone(run, one.records[k], encoders, dataset, k)
        torch.testing.assert_close(one.poisons(k), plain, rtol=0, atol=1e-4)
        assert (one.poisons(k) - centred(dataset)[one.records[k]["bases"]]).abs().max() > 0.05


@pytest.mark.parametrize("name", SETTINGS)
def test_victims_start_alike_and_the_placebo_meets_the_bases_in_place_of_the_poisons(
    name: str, attacked: dict[str, Attacked], encoders: Stack, dataset: Dataset
) -> None:
    one = attacked[name]
    for start in one.starts:
        for tensor_name, tensor in start.state().items():
            assert torch.equal(tensor, one.starts[CLEAN].state()[tensor_name])
    for k, run in enumerate(one.runs):
        (x, y), (poisoned_x, poisoned_y), (placebo_x, placebo_y) = (one.seen(t, k) for t in range(3))
        assert len(y) == MEMBERS
        assert torch.equal(poisoned_y, placebo_y)
        assert torch.equal(poisoned_y, torch.cat([y, torch.full((BUDGET,), run.base_class)]))
        for with_more in (poisoned_x, placebo_x):
            torch.testing.assert_close(with_more[:MEMBERS], x)
        bases = centred(dataset)[one.records[k]["bases"]]
        pixels = bases.permute(0, 2, 3, 1)
        features = public_features(encoders, k, bases)[:, None, None]
        torch.testing.assert_close(placebo_x[MEMBERS:], features if run.frozen else pixels)
        assert not torch.isclose(poisoned_x[MEMBERS:], placebo_x[MEMBERS:], atol=1e-3).flatten(1).all(1).any()


@pytest.mark.parametrize("name", SETTINGS)
def test_bases_are_the_attackers_and_the_target_is_held_out_of_another_class_and_read_correctly(
    name: str, attacked: dict[str, Attacked], encoders: Stack, dataset: Dataset
) -> None:
    one, labels = attacked[name], torch.from_numpy(dataset.labels)
    for k, run in enumerate(one.runs):
        _, nonmembers, pool = parts(run)
        record = one.records[k]
        assert len(set(record["bases"])) == BUDGET
        assert set(record["bases"]) <= set(pool.tolist())
        assert {int(labels[b]) for b in record["bases"]} == {run.base_class}
        read = dict(
            zip(
                nonmembers.tolist(), reads(one, CLEAN, k, encoders, centred(dataset)[nonmembers]), strict=True
            )
        )
        order = torch.randperm(NONMEMBERS, generator=stream(run.seed, "target"))
        fit = [
            i for i in nonmembers[order].tolist() if labels[i] != run.base_class and read[i] == int(labels[i])
        ]
        assert record["target"] == fit[0]
        assert record["target_class"] == int(labels[fit[0]]) != run.base_class


def reads(one: Attacked, training: int, k: int, encoders: Stack, images: Tensor) -> list[int]:
    """Classes that a member's victim reads centred images as."""
    seen = public_features(encoders, k, images) if one.runs[k].frozen else images
    found: list[int] = logits_alone(alone(one.victims[training], k), seen).argmax(1).tolist()
    return found


def share(found: list[bool]) -> float:
    return sum(found) / len(found)


def nearer(these: Tensor, first: Tensor, second: Tensor) -> float:
    """Share of rows nearer to their row of the first than to that of the second."""
    return share(
        [bool((t - a).norm() < (t - b).norm()) for t, a, b in zip(these, first, second, strict=True)]
    )


@pytest.mark.parametrize("name", SETTINGS)
def test_every_figure_is_what_it_says(
    name: str, attacked: dict[str, Attacked], encoders: Stack, dataset: Dataset
) -> None:
    one, labels = attacked[name], torch.from_numpy(dataset.labels)
    for k, run in enumerate(one.runs):
        record, base_class = one.records[k], run.base_class
        poisons, bases, target, held_out = views(one, encoders, dataset, k)
        truth = labels[parts(run)[1]].tolist()
        clean, poisoned, placebo = (
            {
                what: reads(one, training, k, encoders, images)
                for what, images in (("p", poisons), ("b", bases), ("t", target), ("held out", held_out))
            }
            for training in (CLEAN, POISONED, PLACEBO)
        )
        expected = {
            "target_asr": float(poisoned["t"] == [base_class]),
            "placebo_asr": float(placebo["t"] == [base_class]),
            "poison_as_target_rate": share([c == record["target_class"] for c in clean["p"]]),
            "base_as_target_rate": share([c == record["target_class"] for c in clean["b"]]),
            "poison_as_base_rate": share([c == base_class for c in poisoned["p"]]),
            "clean_accuracy": share([c == y for c, y in zip(poisoned["held out"], truth, strict=True)]),
            "placebo_accuracy": share([c == y for c, y in zip(placebo["held out"], truth, strict=True)]),
        }
        targets = target.expand_as(bases)
        f_p, f_b, f_t = (public_features(encoders, k, x) for x in (poisons, bases, targets))
        own = alone(one.victims[POISONED], k).body
        with torch.no_grad():
            own_p, own_b, own_t = (
                own(x) for x in ((f_p, f_b, f_t) if run.frozen else (poisons, bases, targets))
            )
        expected |= {
            "nearer_target_rate": nearer(f_p, f_t, f_b),
            "nearer_base_rate": nearer(poisons, bases, targets),
            "collapsed_rate": nearer(own_p, own_t, own_b),
            "feature_ratio": float(((f_p - f_t).norm(dim=1) / (f_b - f_t).norm(dim=1)).mean()),
            "input_ratio": float(
                ((poisons - bases).flatten(1).norm(dim=1) / (targets - bases).flatten(1).norm(dim=1)).mean()
            ),
        }
        described = ("run", "target", "target_class", "bases", "pictures")
        measured = {n: v for n, v in record.items() if n not in described}
        assert measured == pytest.approx(expected, abs=1e-3)
        for shown, image in zip(record["pictures"], (bases[0], target[0], poisons[0]), strict=True):
            values = torch.frombuffer(bytearray.fromhex(shown.removeprefix("x")), dtype=torch.uint8)
            assert values.tolist() == ((image + 0.5) * 255).round().permute(1, 2, 0).flatten().tolist()
        assert record["run"] == run.id


def test_the_figures_can_differ(attacked: dict[str, Attacked]) -> None:
    """Or comparing them above would show nothing."""
    records = [record for one in attacked.values() for record in one.records]
    same = {name for name in records[0] if len({str(record[name]) for record in records}) == 1}
    assert same <= {"placebo_asr", "nearer_target_rate"}
    assert any(record["collapsed_rate"] != record["nearer_target_rate"] for record in records)


def test_the_margin_loss_changes_victims_and_nothing_that_comes_before_them(
    attacked: dict[str, Attacked],
) -> None:
    plain, defended = attacked["end-to-end"], attacked["margin"]
    crafted = ("nearer_target_rate", "nearer_base_rate", "feature_ratio", "input_ratio")
    alike = 0
    for k in range(len(SEEDS)):
        one, two = plain.records[k], defended.records[k]
        assert one["bases"] == two["bases"]
        # The clean victim too is trained with the loss, and may read another image first.
        if one["target"] == two["target"]:
            alike += 1
            assert [one[name] for name in crafted] == [two[name] for name in crafted]
            assert torch.equal(plain.poisons(k), defended.poisons(k))
    assert alike
    for training in range(3):
        starts = plain.starts[training].state(), defended.starts[training].state()
        assert all(torch.equal(tensor, starts[1][name]) for name, tensor in starts[0].items())
        ends = plain.victims[training].state(), defended.victims[training].state()
        assert all(not torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())


def test_too_few_bases_and_no_target_end_in_one_line(dataset: Dataset, encoders: Stack) -> None:
    def attack(data: Dataset, **changes: Any) -> None:
        runs = attack_runs(**(SETTINGS["end-to-end"] | changes))
        targeted.train_targeted(Fleet(tuple(runs[1:2])), data, one_encoder, CPU)

    one_encoder = {name: tensor[1:2] for name, tensor in encoders.state().items()}
    message = r"^targeted: unit u1: 500 poisons, but the pool has \d+ images of class 0$"
    with pytest.raises(ReproError, match=message):
        attack(dataset, budget=500)
    nothing_else = replace(dataset, labels=dataset.labels * 0)
    message = r"^targeted: unit u1: the clean victim classifies no held-out image of another class correctly$"
    with pytest.raises(ReproError, match=message):
        attack(nothing_else)


def test_a_split_that_leaves_no_pool_is_one_line(dataset: Dataset, encoders: Stack) -> None:
    runs = [replace(run, nonmembers=520) for run in attack_runs(**SETTINGS["frozen"])]
    with pytest.raises(ReproError, match=r"80 members and 520 non-members leave no pool of 600"):
        targeted.train_targeted(Fleet(tuple(runs)), dataset, encoders.state(), CPU)
