"""Who is a member of which part, how a victim begins, and what it sees, against one unit worked out plainly."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from exposed_victims import (
    CPU,
    IMAGES,
    MEMBERS,
    NONMEMBERS,
    SEEDS,
    SHAPE,
    VALIDATION,
    encoder_runs,
    features_alone,
    fresh_alone,
    own_parts,
    victim_runs,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_loop import alone, largest_difference, logits_alone
from torch import Tensor

from repro import plugins
from repro.data import Dataset, load_dataset
from repro.errors import ReproError
from repro.harness.runs import Defence
from repro.papers.desanctis.victims.runs import Victim
from repro.papers.desanctis.victims.training import (
    View,
    begun,
    fresh,
    images_and_labels,
    joined,
    parts_of,
    regularisation,
)
from repro.training.fleet import Split
from repro.training.stack import Stack

POISONS = 7


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("digits", Path(), IMAGES, {})


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_parts_are_disjoint_and_cover_the_dataset_whatever_the_sizes_and_seeds(
    dataset: Dataset, data: st.DataObject
) -> None:
    members, nonmembers = data.draw(st.integers(1, 250)), data.draw(st.integers(1, 250))
    validation = data.draw(st.integers(0, IMAGES - 1 - members - nonmembers))
    sizes = {"members": members, "nonmembers": nonmembers, "validation": validation}
    seeds = data.draw(st.lists(st.integers(0, 2**40), min_size=1, max_size=3))
    runs = [replace(encoder_runs(**sizes)[0], seed=seed) for seed in seeds]
    parts = parts_of(runs, dataset, CPU)
    left = IMAGES - members - nonmembers - validation
    found = [parts.members, parts.nonmembers, parts.validation, parts.pool]
    assert [part.shape[1] for part in found] == [members, nonmembers, validation, left]
    for k in range(len(runs)):
        assert sorted(torch.cat([part[k] for part in found]).tolist()) == list(range(IMAGES))


@pytest.mark.parametrize("validation", [0, VALIDATION])
def test_each_unit_is_split_by_its_own_seed_alone_and_alike_for_encoder_and_victim(
    dataset: Dataset, validation: int
) -> None:
    encoders = parts_of(encoder_runs(validation=validation), dataset, CPU)
    victims = parts_of(
        victim_runs(validation=validation, victim="frozen", defence=Defence("margin", 1.0)), dataset, CPU
    )
    for name in ("members", "nonmembers", "validation", "pool"):
        for k, seed in enumerate(SEEDS):
            own = getattr(own_parts(seed, validation), name)
            assert torch.equal(getattr(encoders, name)[k], own)
            assert torch.equal(getattr(victims, name)[k], own)
    assert not torch.equal(encoders.members[0], encoders.members[1])


def test_validation_images_come_out_of_the_pool(dataset: Dataset) -> None:
    without = parts_of(encoder_runs(), dataset, CPU)
    with_some = parts_of(encoder_runs(validation=VALIDATION), dataset, CPU)
    assert torch.equal(with_some.members, without.members)
    assert torch.equal(with_some.nonmembers, without.nonmembers)
    for k in range(len(SEEDS)):
        split = set(with_some.validation[k].tolist()), set(with_some.pool[k].tolist())
        assert not split[0] & split[1]
        assert split[0] | split[1] == set(without.pool[k].tolist())


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((60, 540, 0), "exposure: 60 members and 540 non-members leave no pool of 600 images"),
        (
            (60, 520, 20),
            "exposure: 60 members and 520 non-members with 20 images to stop early by leave no pool of 600 images",
        ),
    ],
)
def test_no_pool_is_one_line(dataset: Dataset, sizes: tuple[int, int, int], message: str) -> None:
    given = dict(zip(("members", "nonmembers", "validation"), sizes, strict=True))
    with pytest.raises(ReproError) as error:
        parts_of(victim_runs(**given), dataset, CPU)
    assert str(error.value) == message
    one_less = given | {"nonmembers": sizes[1] - 1}
    assert parts_of(victim_runs(**one_less), dataset, CPU).pool.shape == (len(SEEDS), 1)


def test_models_begin_as_their_seed_and_purpose_say(dataset: Dataset) -> None:
    runs = victim_runs()
    for purpose in ("encoder", "victim"):
        stack = fresh(runs, dataset, purpose, CPU)
        for k, seed in enumerate(SEEDS):
            assert largest_difference(alone(stack, k), fresh_alone(seed, purpose)) == 0
    heads = [fresh(runs, dataset, purpose, CPU).state()["head.weight"] for purpose in ("encoder", "victim")]
    drawn = [*heads[0], *heads[1]]
    assert all(not torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])


@pytest.fixture(scope="module")
def images(dataset: Dataset) -> Tensor:
    """The dataset followed by a few poisons per model."""
    pool, labels = images_and_labels(dataset, CPU)
    assert torch.equal(pool, torch.from_numpy(dataset.images).permute(0, 2, 3, 1) - 0.5)
    assert labels.tolist() == dataset.labels.tolist()
    noise = torch.rand(POISONS * len(SEEDS), 8, 8, 1, generator=torch.Generator().manual_seed(1)) - 0.5
    return torch.cat([pool, noise])


def two_stacks(dataset: Dataset, architecture: str) -> tuple[Stack, Stack]:
    """Fresh models, and encoders whose running statistics are no fresh model's."""
    runs = victim_runs(architecture=architecture)
    blank, encoders = (fresh(runs, dataset, purpose, CPU) for purpose in ("victim", "encoder"))
    with torch.no_grad():
        for name, tensor in encoders.buffers.items():
            moved = torch.rand(tensor.shape, generator=torch.Generator().manual_seed(len(name)))
            tensor.copy_(moved + 0.5)
    return blank, encoders


def asked(k: int) -> list[int]:
    """Images of every part, and a model's own poisons."""
    poisons = range(IMAGES + k * POISONS, IMAGES + (k + 1) * POISONS)
    return [0, 17, 511, 512, 513, IMAGES - 1, 17 + k, *poisons]


@pytest.mark.parametrize("architecture", ["mlp", "cnn_bn"])
@pytest.mark.parametrize("victim", get_args(Victim))
def test_victims_begin_as_their_kind_says_and_read_any_image_as_one_would_alone(
    victim: Victim, architecture: str, dataset: Dataset, images: Tensor
) -> None:
    blank, encoders = two_stacks(dataset, architecture)
    before = [{n: t.clone() for n, t in stack.state().items()} for stack in (blank, encoders)]
    stack, view = begun(victim, blank, encoders, images)
    indices = torch.tensor([asked(k) for k in range(len(SEEDS))])
    logits, reads = view.logits(stack, indices), view.reads(stack, indices)
    hidden = view.features(stack, indices)
    for k in range(len(SEEDS)):
        body, head = alone(blank if victim == "scratch" else encoders, k), alone(blank, k).head
        features = features_alone(body, images[indices[k]].permute(0, 3, 1, 2))
        torch.testing.assert_close(hidden[k], features, rtol=1e-5, atol=1e-6)
        with torch.no_grad():
            expected = head(features)
        torch.testing.assert_close(logits[k], expected, rtol=1e-5, atol=1e-6)
        assert reads[k].tolist() == expected.argmax(1).tolist()
    trained = set(stack.parameters)
    assert trained == ({"head.weight", "head.bias"} if victim == "frozen" else set(blank.parameters))
    assert set(stack.buffers) == (set() if victim == "frozen" else set(blank.buffers))
    # Training the victims must change neither the encoders nor the models that others begin from.
    with torch.no_grad():
        for tensor in stack.parameters.values() if victim != "scratch" else ():
            tensor.add_(1.0)
    for old, kept in zip(before, (blank, encoders), strict=True):
        assert all(torch.equal(tensor, old[name]) for name, tensor in kept.state().items())


@pytest.mark.parametrize("victim", get_args(Victim))
def test_a_split_names_the_samples_that_a_victim_sees(
    victim: Victim, dataset: Dataset, images: Tensor
) -> None:
    blank, encoders = two_stacks(dataset, "mlp")
    _, view = begun(victim, blank, encoders, images)
    indices = torch.tensor([asked(k) for k in range(len(SEEDS))])
    labels = indices % 10
    split = view.split(indices, labels)
    assert torch.equal(split.labels, labels)
    for k in range(len(SEEDS)):
        seen = view.pool[split.indices[k]]
        shown = images[indices[k]]
        if victim == "frozen":
            own = features_alone(alone(encoders, k), shown.permute(0, 3, 1, 2))
            torch.testing.assert_close(seen, own[:, None, None], rtol=1e-5, atol=1e-6)
        else:
            assert torch.equal(seen, shown)


def test_a_head_alone_on_features_is_the_whole_victim_whose_body_stands_still(
    dataset: Dataset, images: Tensor
) -> None:
    blank, encoders = two_stacks(dataset, "cnn")
    indices = torch.tensor([asked(k) for k in range(len(SEEDS))])
    (head, of_features), (whole, of_images) = (
        begun(victim, blank, encoders, images) for victim in ("frozen", "fine-tuned")
    )
    torch.testing.assert_close(
        of_features.logits(head, indices), of_images.logits(whole, indices), rtol=1e-5, atol=1e-6
    )
    for k in range(len(SEEDS)):
        plain = logits_alone(alone(whole, k), images[indices[k]].permute(0, 3, 1, 2))
        torch.testing.assert_close(of_features.logits(head, indices)[k], plain, rtol=1e-5, atol=1e-6)


def test_a_view_adds_each_members_own_offset() -> None:
    view = View(torch.arange(12.0).view(12, 1, 1, 1), torch.tensor([[0], [6]]))
    split = view.split(torch.tensor([[1, 5], [0, 2]]), torch.tensor([[3, 4], [5, 6]]))
    assert split.indices.tolist() == [[1, 5], [6, 8]]
    assert split.labels.tolist() == [[3, 4], [5, 6]]


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 5))
def test_poisons_join_behind_the_members_samples(k: int, members: int, poisons: int) -> None:
    def numbered(start: int, n: int) -> Split:
        return Split(start + torch.arange(k * n).view(k, n), -start - torch.arange(k * n).view(k, n))

    one, two = numbered(1, members), numbered(1000, poisons)
    both = joined(one, two)
    for name in ("indices", "labels"):
        own, added, found = (getattr(split, name).tolist() for split in (one, two, both))
        assert found == [a + b for a, b in zip(own, added, strict=True)]


def test_a_fleets_defence_has_each_runs_weight_and_all_the_pieces_options() -> None:
    piece = plugins.load("defence", "triplet")
    (option,) = piece.OPTIONS
    plain = regularisation([Defence("triplet", w) for w in (0.5, 2.0, 0.0)])
    assert plain.piece is piece
    assert plain.weights.tolist() == [0.5, 2.0, 0.0]
    assert plain.options == piece.OPTIONS
    changed = {option: piece.OPTIONS[option] + 1}
    assert regularisation([Defence("triplet", 1.0, changed)]).options == changed


def test_sizes_tried_here_are_those_of_the_dataset(dataset: Dataset) -> None:
    assert dataset.images.shape == (IMAGES, *SHAPE)
    assert MEMBERS + NONMEMBERS + VALIDATION < IMAGES
