"""Pruning, unlearning and filtering against loops for one model, and on fleets with a real backdoor."""

import pytest
import torch
from backdoored import POISON_CLASSES, SEEDS, Backdoored, backdoored, square
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_loop import alone
from torch import Tensor

from repro import plugins
from repro.detection.mitigation import (
    Filter,
    proactive_filter,
    profile,
    prune,
    related_units,
    stamped_split,
    unlearn,
)
from repro.detection.reconstruct import stamp
from repro.training.fleet import Regularisation, Split, predict
from repro.training.recipe import Recipe
from repro.training.stack import Stack
from repro.training.train import train

ROUND = Recipe(learning_rate=0.003, batch_size=32, epochs=2)


def triggers() -> tuple[Tensor, Tensor]:
    mask, pattern = square()
    return mask.expand(3, -1, -1), pattern.expand(3, -1, -1, -1)


def seen(made: Backdoored, split: Split) -> tuple[Tensor, Tensor]:
    """The images, clean and under the true trigger."""
    images = made.pool[split.indices]
    return images, stamp(images, *triggers())


def asr(stack: Stack, made: Backdoored) -> Tensor:
    _, triggered = seen(made, made.held)
    predicted = stack.logits(stack.hidden(triggered, False)).argmax(-1)
    sources = made.held.labels != POISON_CLASSES[:, None]
    return ((predicted == POISON_CLASSES[:, None]) & sources).sum(1) / sources.sum(1)


def accuracy(stack: Stack, made: Backdoored) -> Tensor:
    return (predict(stack, made.pool, made.held.indices) == made.held.labels).float().mean(1)


@pytest.mark.parametrize("architecture", ["mlp", "cnn_bn"])
def test_related_units_are_those_that_rise_most(architecture: str) -> None:
    made = backdoored(architecture)
    images, triggered = seen(made, made.clean)
    units = related_units(made.stack, images, triggered, 5)
    for k in range(3):
        body = alone(made.stack, k).eval().body
        with torch.no_grad():
            rise = (body(triggered[k].permute(0, 3, 1, 2)) - body(images[k].permute(0, 3, 1, 2))).mean(0)
        ranked = sorted(range(len(rise)), key=lambda unit: -rise[unit].item())
        assert units[k].tolist() == ranked[:5]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 64))
def test_pruning_takes_exactly_so_many_units_of_each_member_and_nothing_else(units: int) -> None:
    made = backdoored("mlp")
    before = {name: tensor.clone() for name, tensor in made.stack.state().items()}
    images, triggered = seen(made, made.clean)
    after = prune(made.stack, images, triggered, units).state()
    gone = (after["head.weight"] == 0).all(2)
    assert gone.sum(1).tolist() == [units] * 3
    kept = ~gone
    assert torch.equal(after["head.weight"][kept], before["head.weight"][kept])
    related = related_units(made.stack, images, triggered, units)
    assert gone.gather(1, related).all()
    for name, tensor in made.stack.state().items():
        assert torch.equal(tensor, before[name])
        assert name == "head.weight" or torch.equal(after[name], before[name])


def test_a_pruned_model_ignores_the_units() -> None:
    made = backdoored("mlp")
    images, triggered = seen(made, made.clean)
    hidden = made.stack.hidden(triggered, False).detach()
    rows = related_units(made.stack, images, triggered, 7).unsqueeze(1).expand(-1, hidden.shape[1], -1)
    silenced = made.stack.logits(hidden.scatter(2, rows, 0))
    pruned = prune(made.stack, images, triggered, 7)
    torch.testing.assert_close(pruned.logits(pruned.hidden(triggered, False)), silenced)


@pytest.mark.parametrize("architecture", ["mlp", "cnn_bn"])
def test_pruning_and_unlearning_take_the_backdoor_out(architecture: str) -> None:
    made = backdoored(architecture)
    assert (asr(made.stack, made) > 0.9).all()
    images, triggered = seen(made, made.clean)
    assert (asr(prune(made.stack, images, triggered, 20), made) < asr(made.stack, made) - 0.3).all()
    learned = unlearn(made.stack, made.pool, made.clean, *triggers(), ROUND, SEEDS)
    assert (asr(learned, made) < 0.15).all()
    assert (accuracy(learned, made) > accuracy(made.stack, made) - 0.08).all()


@settings(max_examples=20, deadline=None)
@given(share=st.floats(0, 1), n=st.integers(1, 30), seed=st.integers(0, 99))
def test_a_share_is_stamped_under_true_labels_and_the_rest_is_left(share: float, n: int, seed: int) -> None:
    made = backdoored("mlp")
    few = Split(made.clean.indices[:, :n], made.clean.labels[:, :n])
    masks, patterns = triggers()
    masks, patterns = masks * torch.tensor([0.3, 0.5, 1])[:, None, None], patterns * 0.9
    pool, split = stamped_split(made.pool, few, masks, patterns, [seed, seed + 1, seed + 2], share)
    assert torch.equal(split.labels, few.labels)
    assert torch.equal(pool[: len(made.pool)], made.pool)
    stamped = split.indices >= len(made.pool)
    assert stamped.sum(1).tolist() == [round(share * n)] * 3
    assert torch.equal(split.indices[~stamped], few.indices[~stamped])
    expected = stamp(made.pool[few.indices], masks, patterns)
    assert torch.equal(pool[split.indices][stamped], expected[stamped])


def test_who_is_stamped_comes_from_each_member_s_own_seed() -> None:
    made = backdoored("mlp")

    def stamped(seeds: list[int]) -> Tensor:
        return stamped_split(made.pool, made.clean, *triggers(), seeds, 0.2)[1].indices >= len(made.pool)

    assert torch.equal(stamped([1, 2, 3])[1:], stamped([9, 2, 3])[1:])
    assert not torch.equal(stamped([1, 2, 3])[0], stamped([9, 2, 3])[0])


def test_unlearning_is_training_on_that_set() -> None:
    made = backdoored("mlp")
    learned = unlearn(made.stack, made.pool, made.clean, *triggers(), ROUND, SEEDS, share=0.3)
    pool, split = stamped_split(made.pool, made.clean, *triggers(), SEEDS, 0.3)
    undefended = Regularisation(plugins.load("defence", "none"), torch.zeros(3), {})
    by_hand, epochs = train(made.stack, pool, split, None, ROUND, SEEDS, undefended, purpose="unlearning")
    assert epochs == [2, 2, 2]
    for name, tensor in by_hand.state().items():
        assert torch.equal(tensor, learned.state()[name])


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2])
def test_the_filter_flags_its_share_of_clean_images_and_many_more_triggered_ones(rate: float) -> None:
    made = backdoored("cnn_bn")
    images, triggered = seen(made, made.clean)
    found = proactive_filter(made.stack, images, triggered, 6, rate)
    assert found.flags(made.stack, images).sum(1).tolist() == [int(rate * 400)] * 3
    held, held_triggered = seen(made, made.held)
    assert (found.flags(made.stack, held).float().mean(1) < rate + 0.06).all()
    if rate == 0.05:
        assert (found.flags(made.stack, held_triggered).float().mean(1) > 0.3).all()


def test_a_profile_is_the_mean_activation_over_the_units() -> None:
    made = backdoored("mlp")
    images, _ = seen(made, made.held)
    units = torch.tensor([[0, 5], [9, 3], [63, 2]])
    ours = profile(made.stack, images, units)
    hidden = made.stack.hidden(images, False).detach()
    for k in range(3):
        torch.testing.assert_close(ours[k], hidden[k][:, units[k]].sum(1) / 2)
    flags = Filter(units, ours.median(1).values).flags(made.stack, images)
    assert torch.equal(flags, ours > ours.median(1, keepdim=True).values)


def test_what_cannot_be_is_refused() -> None:
    made = backdoored("mlp")
    images, triggered = seen(made, made.clean)
    for units in (-1, 65):
        with pytest.raises(ValueError, match="units of 64"):
            prune(made.stack, images, triggered, units)
    for units, rate in ((0, 0.05), (3, 1.0), (3, -0.1)):
        with pytest.raises(ValueError, match="false positive rate"):
            proactive_filter(made.stack, images, triggered, units, rate)
    for share in (-0.1, 1.1):
        with pytest.raises(ValueError, match="share"):
            unlearn(made.stack, made.pool, made.clean, *triggers(), ROUND, SEEDS, share=share)
    with pytest.raises(ValueError, match="early stopping"):
        unlearn(made.stack, made.pool, made.clean, *triggers(), Recipe(0.01, 32, 2, patience=3), SEEDS)
