"""Fleets under five defences: what each one makes of a model, what it trains on, and what it is measured on."""

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
from repro.families import SEEN, UNSEEN, prepared, stamp
from repro.harness.needs import most_steps
from repro.harness.outcome import Outcome
from repro.harness.runs import Data, Fleet, fleets
from repro.papers.desanctis.experiments.families.runs import Family
from repro.papers.desanctis.experiments.families.work import FamilyPool
from repro.papers.desanctis.experiments.mitigation import work as mitigation
from repro.papers.desanctis.experiments.mitigation.runs import MitigationRun, defended_alike
from repro.papers.desanctis.experiments.mitigation.work import (
    Checkpoints,
    DefendersPool,
    pruned,
    train_mitigated,
)
from repro.seeds import stream
from repro.training.fleet import Regularisation, Split, logits_of, pool_of, train
from repro.training.recipe import Recipe
from repro.training.stack import Stack

CPU = torch.device("cpu")
SHAPE = (1, 16, 16)
COUNT = 600
RECIPE = Recipe(0.005, 32, 6, 2)
LINES: dict[str, Any] = {
    "pruned": (8, 40),
    "weights": (0.003, 0.1),
    "epochs_stopped": (6, 3, 1),
    "epochs_retrained": (1, 3),
}
DEFENCES = ["pruning", "regularisation", "early_stopping", "clean_retraining", "unlearning"]


def run_of(name: str, seed: int = 5, poison_class: int = 3, **changes: Any) -> MitigationRun:
    run = MitigationRun(
        f"u{seed}",
        Data("digits", COUNT),
        seed,
        poison_class,
        "mlp",
        RECIPE,
        enlarge=2,
        ink=0.7,
        family=Family(name, plugins.options("family", name)),
        poison_rate=0.5,
        **LINES,
    )
    return replace(run, **changes)


RUNS = [run_of("noise"), run_of("noise", 6, 7), run_of("noise", 11, 4)]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("digits", Path(), COUNT, {})


@pytest.fixture(scope="module")
def trainings() -> list[tuple[Any, ...]]:
    """Filled by ``outcome``: the arguments and the results of every training of the fleet."""
    return []


@pytest.fixture(scope="module")
def outcome(dataset: Dataset, trainings: list[tuple[Any, ...]]) -> Outcome:
    def spied(*arguments: Any, observe: Any = None, **named: Any) -> Any:
        listener = arguments[8] if len(arguments) > 8 else observe
        purpose = arguments[7] if len(arguments) > 7 else named.get("purpose", "training")
        found = train(*arguments[:7], purpose, listener)
        trainings.append((arguments, purpose, found))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mitigation, "train", spied)
        return train_mitigated(Fleet(tuple(RUNS)), dataset, {}, CPU)


def parts(run: MitigationRun) -> Partition:
    return partition(COUNT, run.seed)


def reads(model: Stack, images: Any) -> Any:
    indices = torch.arange(len(images))[None]
    return logits_of(model, pool_of(torch.from_numpy(images)), indices)[0].argmax(-1).numpy()


def member(stack: Stack, k: int) -> Stack:
    state = {name: tensor[[k]] for name, tensor in stack.state().items()}
    return Stack(stack.blocks, stack.shape, stack.classes, state)


def plainly(dataset: Dataset, run: MitigationRun, model: Stack) -> dict[str, float]:
    """A model's figures, from images made one by one."""
    assert run.family
    clean, own = prepared(dataset.images, 2, 0.7), parts(run)
    found = {
        "validation_accuracy": reads(model, clean[own.clean_validation])
        == dataset.labels[own.clean_validation],
        "clean_accuracy": reads(model, clean[own.adversarial_test]) == dataset.labels[own.adversarial_test],
    }
    tested = own.adversarial_test[dataset.labels[own.adversarial_test] != run.poison_class]
    piece = plugins.load("family", run.family.name)
    for kind in (SEEN, UNSEEN):
        generator = seeded_generator(f"family/{run.family.name}/test-{kind}/{run.seed}")
        patterns, masks = piece.draw(kind, len(tested), SHAPE, generator, **piece.OPTIONS)
        triggered = np.concatenate(
            [stamp(clean[[i]], patterns[[at]], masks[[at]]) for at, i in enumerate(tested)]
        )
        found[f"asr_{kind}"] = reads(model, triggered) == run.poison_class
    return {name: float(hits.mean()) for name, hits in found.items()}


def test_every_figure_is_that_of_the_defended_model_on_its_own_images(
    dataset: Dataset, outcome: Outcome, trainings: list[tuple[Any, ...]]
) -> None:
    undefended, heavy = trainings[0][2][0], trainings[2][2][0]
    clean, unlearned = trainings[3][2][0], trainings[4][2][0]
    for k, (run, record) in enumerate(zip(RUNS, outcome.records, strict=True)):
        assert record["run"] == run.id
        assert record["epochs"] == trainings[0][2][1][k]
        assert list(record["lines"]) == DEFENCES
        lines = record["lines"]
        assert [len(line) for line in lines.values()] == [2, 2, 3, 2, 2]
        for stack, figures in (
            (undefended, record["undefended"]),
            (undefended, lines["early_stopping"][0]),
            (heavy, lines["regularisation"][1]),
            (clean, lines["clean_retraining"][1]),
            (unlearned, lines["unlearning"][1]),
        ):
            assert figures == pytest.approx(plainly(dataset, run, member(stack, k)))
        for at, count in enumerate(run.pruned):
            model = plainly_pruned(dataset, run, member(undefended, k), count)
            assert lines["pruning"][at] == pytest.approx(plainly(dataset, run, model))


def plainly_pruned(dataset: Dataset, run: MitigationRun, model: Stack, count: int) -> Stack:
    """A model whose least active units' outgoing weights are zero, unit by unit."""
    images = pool_of(torch.from_numpy(prepared(dataset.images, 2, 0.7)[parts(run).clean_train]))
    hidden = model.hidden(images[None], training=False)[0]
    activity = [float(hidden[:, unit].detach().mean()) for unit in range(hidden.shape[1])]
    state = {name: tensor.clone() for name, tensor in model.state().items()}
    for unit in sorted(range(len(activity)), key=activity.__getitem__)[:count]:
        state["head.weight"][0, unit] = 0
    return Stack(model.blocks, model.shape, model.classes, state)


def test_fleets_lines_differ_from_the_undefended_model(outcome: Outcome) -> None:
    for record in outcome.records:
        for line in record["lines"].values():
            assert line[-1] != record["undefended"]


def test_each_defence_trains_on_what_it_may_with_its_own_recipe(
    dataset: Dataset, outcome: Outcome, trainings: list[tuple[Any, ...]]
) -> None:
    del outcome
    purposes = [purpose for _, purpose, _ in trainings]
    assert purposes == ["training"] * 3 + ["retraining"] * 2
    pieces = [a[6].piece.__name__.rpartition(".")[2] for a, _, _ in trainings]
    assert pieces == ["none", "weight_decay", "weight_decay", "none", "none"]
    assert [a[6].weights.tolist() for a, _, _ in trainings[1:3]] == [
        pytest.approx([w] * 3) for w in LINES["weights"]
    ]
    assert [a[4] for a, _, _ in trainings] == [RECIPE] * 3 + [Recipe(0.005, 32, 3)] * 2
    for arguments, _, _ in trainings:
        assert arguments[5] == [run.seed for run in RUNS]
    pool = DefendersPool(dataset, 2, 0.7)
    for k, run in enumerate(RUNS):
        view = FamilyPool(dataset, 2, 0.7).view(run)
        for arguments, _, _ in trainings[:3]:
            assert_labels_and_clean_ones(arguments[2], k, *view.training)
            assert_labels_and_clean_ones(arguments[3], k, *view.validation)
        clean, stamped = pool.defenders(run)
        for (arguments, _, _), wanted in zip(trainings[3:], (clean, stamped), strict=True):
            assert arguments[3] is None
            assert_labels_and_clean_ones(arguments[2], k, *wanted)
            torch.testing.assert_close(arguments[0].state(), trainings[0][2][0].state(), rtol=0, atol=0)


def assert_labels_and_clean_ones(split: Split, k: int, indices: Any, labels: Any) -> None:
    """A model's samples are these, wherever its triggered ones stand in the pool."""
    np.testing.assert_array_equal(split.labels[k], labels)
    np.testing.assert_array_equal(np.minimum(split.indices[k].numpy(), COUNT), np.minimum(indices, COUNT))


def test_stopping_early_is_training_for_fewer_epochs(dataset: Dataset, outcome: Outcome) -> None:
    for k, run in enumerate(RUNS):
        pool = FamilyPool(dataset, 2, 0.7)
        view = pool.view(run)
        for at, epochs in enumerate(run.epochs_stopped):
            model = trained_alone(run, pool, view.training, min(epochs, outcome.records[k]["epochs"]))
            expected = plainly(dataset, run, model)
            for metric, value in outcome.records[k]["lines"]["early_stopping"][at].items():
                assert value == pytest.approx(expected[metric], abs=0.04)  # rounding may turn an image or two


def trained_alone(run: MitigationRun, pool: FamilyPool, samples: tuple[Any, Any], epochs: int) -> Stack:
    blocks = plugins.load("architecture", "mlp").blocks(SHAPE, 10)
    fresh = Stack.initialised(blocks, SHAPE, 10, [run.seed])
    own = Split(*(torch.from_numpy(part)[None] for part in samples))
    recipe = Recipe(RECIPE.learning_rate, RECIPE.batch_size, epochs)
    nothing = Regularisation(plugins.load("defence", "none"), torch.zeros(1), {})
    return train(fresh, pool_of(pool.images()), own, None, recipe, [run.seed], nothing)[0]


def stack_of(values: list[float]) -> Stack:
    """Models without hidden layers, of one input and two classes; a model's weights are all its value."""
    weights = torch.tensor(values, dtype=torch.float32).view(-1, 1, 1).expand(-1, 1, 2).clone()
    return Stack((), (1, 1, 1), 2, {"head.weight": weights, "head.bias": torch.zeros(len(values), 1, 2)})


def test_a_checkpoint_of_a_member_that_has_stopped_is_its_end() -> None:
    kept = Checkpoints((4, 2, 1))
    kept(1, torch.tensor([0, 1, 2]), stack_of([1, 2, 3]))
    kept(2, torch.tensor([0, 2]), stack_of([10, 30]))
    kept(3, torch.tensor([2]), stack_of([300]))
    end = stack_of([10, 2, 300])
    found = [stack.state()["head.weight"][:, 0, 0].tolist() for stack in kept.stacks(end)]
    assert found == [[10, 2, 300], [10, 2, 30], [1, 2, 3]]
    assert end.state()["head.weight"][:, 0, 0].tolist() == [10, 2, 300]


def test_a_checkpoint_does_not_move_with_the_training() -> None:
    kept, stack = Checkpoints((1,)), stack_of([1])
    kept(1, torch.tensor([0]), stack)
    with torch.no_grad():
        stack.parameters["head.weight"].fill_(9)
    assert kept.stacks(stack)[0].state()["head.weight"].unique().tolist() == [1]


def test_pruning_takes_the_least_active_units_first_and_leaves_the_model_as_it_was() -> None:
    images = torch.tensor([[[3.0, 1.0, 2.0, 1.0]] * 2, [[0.0, 5.0, 0.0, 7.0]] * 2]).view(2, 2, 1, 1, 4)
    state = {"head.weight": torch.ones(2, 4, 3), "head.bias": torch.ones(2, 1, 3)}
    stack = Stack((), (4, 1, 1), 3, state)
    found = pruned(stack, images, (1, 3))
    left = [pruned_stack.state()["head.weight"][..., 0].tolist() for pruned_stack in found]
    assert left == [[[1, 0, 1, 1], [0, 1, 1, 1]], [[1, 0, 0, 0], [0, 0, 0, 1]]]
    assert stack.state()["head.weight"].unique().tolist() == [1]
    assert found[1].state()["head.bias"].unique().tolist() == [1]
    with pytest.raises(ReproError, match="mitigation: pruned: 5 units, but the last hidden layer has 4"):
        pruned(stack, images, (1, 5))


def test_activity_is_over_all_images_whatever_the_batches() -> None:
    images = torch.zeros(1, 300, 1, 1, 2)
    images[..., 0] = 0.8
    images[0, 256:, :, :, 1] = 3.0  # of less activity in all, but of more in a last, small batch
    stack = Stack((), (2, 1, 1), 2, {"head.weight": torch.ones(1, 2, 2), "head.bias": torch.zeros(1, 1, 2)})
    assert pruned(stack, images, (1,))[0].state()["head.weight"][0, :, 0].tolist() == [1, 0]


@pytest.mark.parametrize("name", plugins.names("family"))
def test_unlearning_stamps_a_fifth_of_the_clean_images_under_their_true_labels(
    dataset: Dataset, name: str
) -> None:
    run, pool = run_of(name), DefendersPool(dataset, 2, 0.7)
    view = pool.view(run)
    (clean, labels), (stamped, true) = pool.defenders(run)
    own = parts(run).clean_train
    np.testing.assert_array_equal(clean, own)
    np.testing.assert_array_equal(labels, dataset.labels[own])
    np.testing.assert_array_equal(true, labels)
    triggered = stamped >= COUNT
    assert triggered.sum() == round(len(own) / 5)
    np.testing.assert_array_equal(stamped[~triggered], own[~triggered])
    assert len(set(stamped)) == len(stamped)
    assert not set(stamped[triggered]) & set(np.concatenate([*view.triggered.values(), view.training[0]]))
    # The triggers are of the seen kind, each image's its own, and in the order in which images were chosen.
    piece = plugins.load("family", name)
    generator = seeded_generator(f"family/{name}/unlearning/{run.seed}")
    patterns, masks = piece.draw(SEEN, int(triggered.sum()), SHAPE, generator, **piece.OPTIONS)
    images, plain = pool.images().numpy(), prepared(dataset.images, 2, 0.7)
    places = np.argsort(stamped[triggered])
    originals = plain[own[triggered][places]]
    np.testing.assert_array_equal(
        images[stamped[triggered][places]], stamp(originals, patterns, masks), strict=True
    )


def test_which_images_are_stamped_is_drawn_from_the_run_s_own_seed(dataset: Dataset) -> None:
    places = [DefendersPool(dataset, 2, 0.7).defenders(run)[1][0] >= COUNT for run in (*RUNS, RUNS[0])]
    assert (places[0] == places[3]).all()
    assert (places[0] != places[1]).any()
    for run, stamped in zip(RUNS, places, strict=False):
        order = torch.randperm(len(stamped), generator=stream(run.seed, "unlearning-stamped"))
        assert stamped[order[: stamped.sum()].numpy()].all()


def test_only_stacked_architectures_can_be_defended(dataset: Dataset) -> None:
    with pytest.raises(ReproError, match="architecture resnet50: only the stacked engine's can be defended"):
        train_mitigated(Fleet((run_of("static", architecture="resnet50"),)), dataset, {}, CPU)


def test_a_clean_model_is_not_defended(dataset: Dataset) -> None:
    with pytest.raises(ValueError, match="clean model"):
        DefendersPool(dataset, 2, 0.7).defenders(run_of("static", family=None, poison_rate=0.0))


def test_a_fleet_is_of_one_family_and_the_same_lines() -> None:
    others = [
        run_of("static"),
        run_of("noise", architecture="cnn"),
        run_of("noise", pruned=(8,)),
        run_of("noise", weights=(1.0,)),
        run_of("noise", epochs_stopped=(1,)),
        run_of("noise", epochs_retrained=(1,)),
    ]
    assert [len(fleet.runs) for fleet in fleets([*RUNS, *others], 9, defended_alike)] == [3, 1, 1, 1, 1, 1, 1]
    assert len({run.id for run in [*RUNS, *others]}) == 9


def test_descriptions_name_every_piece_and_count_every_training() -> None:
    run = run_of("noise")
    assert {("family", "noise"), ("defence", "none"), ("defence", "weight_decay")} <= run.pieces()
    own = parts(run)
    trained, clean = len(own.poison_train), len(own.clean_train)
    images = 3 * 6 * trained + 2 * 3 * clean
    assert abs(run.epoch_images(COUNT) * 6 - images) < 6
    assert most_steps(run, COUNT) == 6 * (run.epoch_images(COUNT) // 32)
    assert run_of("noise", members=100).epoch_images(COUNT) == run.epoch_images(COUNT) - 3 * (trained - 100)
