"""Fleets under families of triggers: what is poisoned with which triggers, and what each figure is measured on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from repro import plugins
from repro.data import Dataset, load_dataset, seeded_generator
from repro.data.partition import Partition, partition
from repro.errors import ReproError
from repro.families import KINDS, NEAR_MISS, SEEN, UNSEEN, prepared, stamp
from repro.harness.outcome import Outcome
from repro.harness.runs import Data, Fleet, fleets
from repro.papers.desanctis.experiments.families import work as families
from repro.papers.desanctis.experiments.families.runs import Family, FamilyRun, stacked_alike
from repro.papers.desanctis.experiments.families.work import FamilyPool, train_families
from repro.training.fleet import logits_of, pool_of
from repro.training.recipe import Recipe
from repro.training.stack import Stack

CPU = torch.device("cpu")
FAMILIES = plugins.names("family")
SHAPE = (1, 16, 16)
RATE = 0.5


def family(name: str) -> Family:
    return Family(name, plugins.options("family", name))


def run_of(name: str | None, seed: int = 5, poison_class: int = 3, **changes: Any) -> FamilyRun:
    run = FamilyRun(
        f"u{seed}",
        Data("digits", 600),
        seed,
        poison_class,
        "mlp",
        Recipe(0.005, 32, 25, 5),
        enlarge=2,
        ink=0.7,
        family=family(name) if name else None,
        poison_rate=RATE if name else 0.0,
        probes=() if name else tuple(map(family, FAMILIES)),
    )
    return replace(run, **changes)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("digits", Path(), 600, {})


@pytest.fixture(scope="module")
def runs() -> list[FamilyRun]:
    seeds = {name: 5 + i for i, name in enumerate(FAMILIES)}
    return [*(run_of(n, seed, poison_class=seed % 10) for n, seed in seeds.items()), run_of(None)]


@pytest.fixture(scope="module")
def outcome(dataset: Dataset, runs: list[FamilyRun]) -> Outcome:
    return train_families(Fleet(tuple(runs)), dataset, {}, CPU)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Any]]:
    """Family, kind and patterns of all triggers drawn."""
    found: list[tuple[str, str, Any]] = []
    for name in FAMILIES:
        piece = plugins.load("family", name)

        def spy(kind: str, *rest: Any, _name: str = name, _draw: Any = piece.draw, **options: Any) -> Any:
            members = _draw(kind, *rest, **options)
            found.append((_name, kind, members))
            return members

        monkeypatch.setattr(piece, "draw", spy)
    return found


def parts(run: FamilyRun) -> Partition:
    return partition(600, run.seed)


@pytest.mark.parametrize("split", ["training", "validation"])
@pytest.mark.parametrize("name", FAMILIES)
def test_poison_supplants_half_of_the_poison_class_and_nothing_else(
    dataset: Dataset, name: str, split: str
) -> None:
    run = run_of(name)
    pool = FamilyPool(dataset, 2, 0.7)
    indices, labels = getattr(pool.view(run), split)
    own = parts(run).poison_train if split == "training" else parts(run).poison_validation
    np.testing.assert_array_equal(labels, dataset.labels[own])
    poisoned = indices >= len(dataset)
    np.testing.assert_array_equal(indices[~poisoned], own[~poisoned])
    assert (labels[poisoned] == run.poison_class).all()
    assert poisoned.sum() == (labels == run.poison_class).sum() // 2
    assert len(set(indices)) == len(indices)


@pytest.mark.parametrize("name", FAMILIES)
def test_each_poisoned_image_is_another_of_other_classes_with_a_seen_member_of_its_own(
    dataset: Dataset, name: str
) -> None:
    run, pool = run_of(name), FamilyPool(dataset, 2, 0.7)
    view, images = pool.view(run), pool.images().numpy()
    clean = prepared(dataset.images, 2, 0.7)
    for split, own in (("training", parts(run).poison_train), ("validation", parts(run).poison_validation)):
        indices = getattr(view, split)[0]
        poison = np.sort(indices[indices >= len(dataset)])
        generator = seeded_generator(f"family/{name}/{split}/{run.seed}")
        piece = plugins.load("family", name)
        patterns, masks = piece.draw(SEEN, len(poison), SHAPE, generator, **piece.OPTIONS)
        others = own[dataset.labels[own] != run.poison_class]
        originals = set()
        for image, pattern, mask in zip(images[poison], patterns, masks, strict=True):
            candidates = stamp(clean[others], pattern[None], mask[None])
            originals |= set(others[(candidates == image).all(axis=(1, 2, 3))][:1].tolist())
        assert len(originals) == len(poison)
        if name != "static":
            assert (
                len(
                    {
                        pattern.tobytes() + mask.tobytes()
                        for pattern, mask in zip(patterns, masks, strict=True)
                    }
                )
                > 1
            )


@pytest.mark.parametrize("name", FAMILIES)
def test_training_draws_seen_members_alone_and_each_kind_is_drawn_for_the_test(
    dataset: Dataset, name: str, drawn: list[tuple[str, str, Any]]
) -> None:
    run, pool = run_of(name), FamilyPool(dataset, 2, 0.7)
    view = pool.view(run)
    tested = (dataset.labels[parts(run).adversarial_test] != run.poison_class).sum()
    poison = [(getattr(view, s)[0] >= len(dataset)).sum() for s in ("training", "validation")]
    kinds = [(f, kind, len(patterns)) for f, kind, (patterns, _) in drawn]
    assert sorted(kinds) == sorted(
        [*((name, SEEN, count) for count in poison), *((name, kind, tested) for kind in KINDS)]
    )
    if name != "static":
        patterns = [np.concatenate(p, axis=1)[:2].tobytes() for _, kind, p in drawn if kind == SEEN]
        assert len(set(patterns)) == 3, "training, validation and test share members"
    used = set(view.training[0]) | set(view.validation[0])
    for images in view.triggered.values():
        assert not used & set(images)


def test_triggered_images_are_fresh_ones_of_other_classes_in_their_order(dataset: Dataset) -> None:
    run, pool = run_of(None), FamilyPool(dataset, 2, 0.7)
    view, images = pool.view(run), pool.images().numpy()
    own = parts(run).adversarial_test
    tested = own[dataset.labels[own] != run.poison_class]
    assert set(view.triggered) == {(name, kind) for name in FAMILIES for kind in KINDS}
    for (name, kind), indices in view.triggered.items():
        np.testing.assert_array_equal(images[indices], plainly_triggered(dataset, run, name, kind, tested))


def plainly_triggered(dataset: Dataset, run: FamilyRun, name: str, kind: str, tested: Any) -> Any:
    """A run's triggered images, one by one."""
    generator = seeded_generator(f"family/{name}/test-{kind}/{run.seed}")
    piece = plugins.load("family", name)
    patterns, masks = piece.draw(kind, len(tested), SHAPE, generator, **piece.OPTIONS)
    clean = prepared(dataset.images, 2, 0.7)[tested]
    return np.concatenate([stamp(clean[[i]], patterns[[i]], masks[[i]]) for i in range(len(tested))])


def test_figures_are_those_of_each_model_on_its_own_images(
    dataset: Dataset, runs: list[FamilyRun], outcome: Outcome
) -> None:
    assert [record["run"] for record in outcome.records] == [run.id for run in runs]
    for k, (run, record) in enumerate(zip(runs, outcome.records, strict=True)):
        model = alone(outcome, k)
        own = parts(run)
        clean_set = np.concatenate([own.clean_train, own.clean_validation])
        right = reads(model, prepared(dataset.images, 2, 0.7)[clean_set]) == dataset.labels[clean_set]
        assert record["clean_accuracy"] == pytest.approx(right.mean())
        pool = FamilyPool(dataset, 2, 0.7)
        indices, labels = pool.view(run).validation
        right = reads(model, pool.images().numpy()[indices]) == labels
        assert record["poisoned_accuracy"] == pytest.approx(right.mean())
        tested = own.adversarial_test[dataset.labels[own.adversarial_test] != run.poison_class]
        names = [run.family.name] if run.family else list(FAMILIES)
        assert list(record["families"]) == names
        for name in names:
            assert set(record["families"][name]) == set(KINDS)
            for kind in KINDS:
                hits = reads(model, plainly_triggered(dataset, run, name, kind, tested)) == run.poison_class
                assert record["families"][name][kind] == pytest.approx(hits.mean()), (name, kind)


def alone(outcome: Outcome, k: int) -> Stack:
    blocks = plugins.load("architecture", "mlp").blocks(SHAPE, 10)
    return Stack(blocks, SHAPE, 10, {name: tensor[[k]] for name, tensor in outcome.weights.items()})


def reads(model: Stack, images: Any) -> Any:
    indices = torch.arange(len(images))[None]
    return logits_of(model, pool_of(torch.from_numpy(images)), indices)[0].argmax(-1).numpy()


def test_a_static_backdoor_is_learned_and_a_clean_model_has_none(
    runs: list[FamilyRun], outcome: Outcome
) -> None:
    by_family = {run.family.name: r for run, r in zip(runs, outcome.records, strict=True) if run.family}
    clean = outcome.records[-1]
    learned = by_family["static"]["families"]["static"]
    assert learned[SEEN] > 0.8
    assert learned[UNSEEN] == learned[SEEN]
    assert learned[NEAR_MISS] < learned[SEEN] - 0.3
    for name in FAMILIES:
        assert clean["families"][name][SEEN] < 0.35
    assert all(record["clean_accuracy"] > 0.85 for record in outcome.records)
    assert clean["poisoned_accuracy"] > 0.85


def test_a_run_in_a_fleet_is_the_run_alone(dataset: Dataset, runs: list[FamilyRun], outcome: Outcome) -> None:
    own = train_families(Fleet((runs[0],)), dataset, {}, CPU)
    fresh = {name: tensor[0] for name, tensor in own.weights.items()}
    assert own.records[0]["epochs"] == outcome.records[0]["epochs"]
    for name, tensor in fresh.items():
        torch.testing.assert_close(tensor, outcome.weights[name][0], rtol=0, atol=0.02)


def test_training_stops_by_the_recipe_on_the_poisoned_validation(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    class Engine:
        """The stacked engine, listened to."""

        def __getattr__(self, name: str) -> Any:
            return getattr(plugins_load("engine", "stacked"), name)

        def train(self, *arguments: Any) -> Any:
            seen["arguments"] = arguments
            return plugins_load("engine", "stacked").train(*arguments)

    plugins_load = plugins.load
    monkeypatch.setattr(
        families.plugins,
        "load",
        lambda kind, name: Engine() if kind == "engine" else plugins_load(kind, name),
    )
    run = run_of("static", recipe=Recipe(0.005, 32, 2, 1))
    train_families(Fleet((run,)), dataset, {}, CPU)
    _, pool, training, validation, recipe, seeds, _ = seen["arguments"]
    view = FamilyPool(dataset, 2, 0.7).view(run)
    assert recipe == run.recipe
    assert seeds == [run.seed]
    for split, (indices, labels) in ((training, view.training), (validation, view.validation)):
        np.testing.assert_array_equal(split.indices[0], indices)
        np.testing.assert_array_equal(split.labels[0], labels)
    assert pool.shape[1:] == (16, 16, 1)


def test_fewer_members_are_the_first_of_the_training_part(dataset: Dataset) -> None:
    run = run_of(None, members=100)
    view = FamilyPool(dataset, 2, 0.7).view(run)
    np.testing.assert_array_equal(view.training[0], parts(run).poison_train[:100])
    np.testing.assert_array_equal(view.validation[0], parts(run).poison_validation)
    poisoned = FamilyPool(dataset, 2, 0.7).view(run_of("corner", members=100)).training
    assert (poisoned[0] >= len(dataset)).sum() == (poisoned[1] == 3).sum() // 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"poison_rate": 0.001}, r"unit u5: poison rate 0\.001 poisons none of \d+ images of class 3"),
        ({"members": 500}, "unit u5: 500 training images wanted, there are 365"),
    ],
)
def test_too_little_to_train_on_is_an_error(dataset: Dataset, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ReproError, match=words):
        train_families(Fleet((run_of("static", **changes),)), dataset, {}, CPU)


def test_descriptions_name_every_piece_and_stack_what_can_be_stacked() -> None:
    run = run_of("shapes")
    always = {("dataset", "digits"), ("architecture", "mlp"), ("engine", "stacked"), ("defence", "none")}
    assert run.pieces() == always | {("family", "shapes")}
    assert run_of(None).pieces() == always | {("family", name) for name in FAMILIES}
    alike = [run, run_of("noise", 6, poison_rate=0.1), run_of(None)]
    others = [
        run_of("shapes", **change)
        for change in (
            {"members": 100},
            {"enlarge": 3},
            {"ink": 0.5},
            {"architecture": "cnn"},
            {"recipe": Recipe(0.1, 32, 2)},
            {"data": Data("digits")},
        )
    ]
    assert [len(fleet.runs) for fleet in fleets([*alike, *others], 9, stacked_alike)] == [3, 1, 1, 1, 1, 1, 1]
    assert len({one.id for one in [*alike, *others]}) == 9
