"""Triggers found for a fleet against a plain loop for one model and class, and against planted ones."""

from dataclasses import fields

import pytest
import torch
from backdoored import POISON_CLASSES, SEEDS, Backdoored, backdoored, linear, square
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_detection import reconstruct_alone, stamped
from plain_loop import alone
from torch import Tensor

from repro.detection import reconstruct as module
from repro.detection.outliers import anomaly_indices, decide
from repro.detection.reconstruct import Search, Triggers, reconstruct, stamp
from repro.training.fleet import Split

# A window that ends unevenly, and thresholds that are reached and lost again, so that lambda moves both ways.
BRIEF = Search(steps=59, batch_size=16, window=3, patience=2, threshold=0.8, first_weight=0.05)
# A first lambda that wipes out what it is added to, and has to be lowered many times on end.
OVERSHOT = Search(steps=70, batch_size=16, window=2, patience=2, threshold=0.6, first_weight=3.0, lowered=1.3)


def of(made: Backdoored, members: list[int], search: Search = BRIEF) -> Triggers:
    state = {name: tensor[members] for name, tensor in made.stack.state().items()}
    stack = type(made.stack)(made.stack.blocks, made.stack.shape, made.stack.classes, state)
    clean = made.clean.of(torch.tensor(members))
    return reconstruct(stack, made.pool, clean, [SEEDS[k] for k in members], search)


@pytest.mark.parametrize(("architecture", "search"), [("mlp", BRIEF), ("cnn_bn", BRIEF), ("mlp", OVERSHOT)])
def test_each_problem_is_that_of_one_model_and_class_alone(architecture: str, search: Search) -> None:
    made = backdoored(architecture)
    found = of(made, [0, 1, 2], search)
    differences, both_ways = [], 0
    for k in range(3):
        images = made.pool[made.clean.indices[k]].permute(0, 3, 1, 2) + 0.5
        for target in range(10):
            model = alone(made.stack, k)
            plain = reconstruct_alone(model, images, made.clean.labels[k], 10, target, SEEDS[k], search)
            differences.append(
                max(
                    (found.masks[k, target] - plain.mask).abs().max().item(),
                    (found.patterns[k, target] - plain.pattern).abs().max().item(),
                    abs(found.norms[k, target].item() - plain.norm),
                    abs(found.success[k, target].item() - plain.success),
                )
            )
            rises = [later - sooner for sooner, later in zip(plain.weights, plain.weights[1:], strict=False)]
            both_ways += min(rises) < 0 < max(rises)
    # A prediction on the edge turns a window's success, and with it lambda: few may, most may not.
    assert sorted(differences)[24] < 1e-3
    assert both_ways >= 3


def test_members_are_independent_of_each_other_and_of_how_many_are_taken_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = backdoored("mlp")
    everyone, one = of(made, [0, 1, 2]), of(made, [1])
    monkeypatch.setattr(module, "_TOGETHER", 1)
    apart = of(made, [0, 1, 2])
    for field in fields(Triggers):
        whole = getattr(everyone, field.name)
        torch.testing.assert_close(whole[1:2], getattr(one, field.name), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(whole, getattr(apart, field.name), atol=1e-4, rtol=1e-4)


def test_the_same_seed_finds_the_same_and_another_seed_another() -> None:
    made = backdoored("mlp")
    once, again = of(made, [0]), of(made, [0])
    other = reconstruct(made.stack, made.pool, made.clean, [1, 2, 3], BRIEF)
    assert torch.equal(once.masks, again.masks)
    assert not torch.allclose(once.masks, other.masks[:1], atol=0.01)


def planted() -> tuple[Triggers, list[tuple[int, int]], list[int]]:
    """Four linear models that read which quarter of 6x6 is brightest; in each, one pixel forces one class."""
    generator = torch.Generator().manual_seed(5)
    quarters = torch.zeros(6, 6, 4)
    for c, (row, column) in enumerate([(0, 0), (0, 3), (3, 0), (3, 3)]):
        quarters[row : row + 3, column : column + 3, c] = 4
    labels = torch.arange(200) % 4
    images = 0.3 * torch.rand(200, 6, 6, generator=generator) + 0.5 * (quarters > 0).float()[
        :, :, labels
    ].permute(2, 0, 1)
    pixels, classes = [(5, 5), (0, 0), (2, 3), (4, 1)], [0, 1, 2, 3]
    weights = quarters.expand(4, 6, 6, 4).clone()
    pool = (images - 0.5).unsqueeze(3)
    for k, ((row, column), target) in enumerate(zip(pixels, classes, strict=True)):
        weights[k, row, column] = 0
        weights[k, row, column, target] = 200
        pool[:, row, column] = -0.5
    members = Split(torch.arange(200).expand(4, -1), labels.expand(4, -1))
    stack = linear(weights.flatten(1, 2), (1, 6, 6))
    stack.parameters["head.bias"].data[torch.arange(4), 0, classes] = 100
    return reconstruct(stack, pool, members, [1, 2, 3, 4], Search(steps=400)), pixels, classes


def test_a_planted_pixel_is_found_and_stands_out() -> None:
    found, pixels, classes = planted()
    for k, (pixel, target) in enumerate(zip(pixels, classes, strict=True)):
        true = torch.zeros(6, 6, dtype=torch.bool)
        true[pixel] = True
        mask = found.masks[k, target] > 0.5 * found.masks[k, target].max()
        assert torch.equal(mask, true)
        assert found.patterns[k, target][pixel] > 0.8
        assert found.success[k, target] > 0.85
    assert torch.equal(found.norms.argmin(1), torch.tensor(classes))
    verdict = decide(anomaly_indices(found.norms))
    assert verdict.backdoored.all()
    assert torch.equal(verdict.classes, torch.tensor(classes))


def test_a_trained_backdoor_has_the_smallest_trigger_where_the_square_is() -> None:
    found = of(backdoored("cnn_bn"), [0, 1, 2], Search(steps=200))
    assert torch.equal(found.norms.argmin(1), POISON_CLASSES)
    mask, _ = square()
    own = found.masks[torch.arange(3), POISON_CLASSES]
    inside = (own * mask).sum((1, 2)) / own.sum((1, 2))
    assert (inside > 0.6).all()  # the square covers 0.14 of the image


def test_images_of_the_target_class_play_no_part() -> None:
    made = backdoored("mlp")
    pool = made.pool.clone()
    pool[made.clean.indices[0][made.clean.labels[0] == 4]] = torch.nan
    one = type(made.stack)(
        made.stack.blocks,
        made.stack.shape,
        10,
        {name: tensor[:1] for name, tensor in made.stack.state().items()},
    )
    member = made.clean.of(torch.tensor([0]))
    spoiled = reconstruct(one, pool, member, SEEDS[:1], BRIEF)
    untouched = reconstruct(one, made.pool, member, SEEDS[:1], BRIEF)
    for field in fields(Triggers):
        assert torch.equal(getattr(spoiled, field.name)[:, 4], getattr(untouched, field.name)[:, 4])
    assert spoiled.masks[:, 5].isnan().any()


def test_where_no_mask_succeeds_the_last_one_is_returned_and_says_so() -> None:
    # Class 1 is never predicted: no weight reaches it and its bias is out of reach.
    weights = torch.rand(1, 9, 3, generator=torch.Generator().manual_seed(2))
    weights[:, :, 1] = 0
    stack = linear(weights, (1, 3, 3))
    stack.parameters["head.bias"].data[0, 0, 1] = -1000
    pool = torch.rand(30, 3, 3, 1) - 0.5
    clean = Split(torch.arange(30).expand(1, -1), (torch.arange(30) % 3).expand(1, -1))
    found = reconstruct(stack, pool, clean, [1], Search(steps=20))
    assert found.success[0, 1] == 0
    assert found.norms[0, 1].isfinite()
    longer = reconstruct(stack, pool, clean, [1], Search(steps=60))
    assert not torch.equal(longer.patterns[0, 1], found.patterns[0, 1])


@settings(max_examples=15, deadline=None)
@given(
    members=st.integers(1, 3),
    classes=st.integers(2, 4),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    channels=st.integers(1, 3),
    steps=st.integers(1, 25),
    rate=st.sampled_from([0.1, 1.0, 30.0]),
    seed=st.integers(0, 99),
)
def test_masks_and_patterns_stay_in_range(
    members: int, classes: int, height: int, width: int, channels: int, steps: int, rate: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    stack = linear(
        torch.randn(members, height * width * channels, classes, generator=generator),
        (channels, height, width),
    )
    pool = torch.rand(20, height, width, channels, generator=generator) - 0.5
    clean = Split(torch.arange(20).expand(members, -1), (torch.arange(20) % classes).expand(members, -1))
    search = Search(steps=steps, batch_size=4, learning_rate=rate, threshold=0.5, patience=1)
    found = reconstruct(stack, pool, clean, list(range(members)), search)
    assert found.masks.shape == (members, classes, height, width)
    assert found.patterns.shape == (members, classes, height, width, channels)
    for values in (found.masks, found.patterns, found.success):
        assert ((values >= 0) & (values <= 1)).all()
    torch.testing.assert_close(found.norms, found.masks.sum((2, 3)))
    reached = stamp(pool, found.masks[0, 0], found.patterns[0, 0])
    assert reached.abs().max() <= 0.5 + 1e-6


def test_stamping_is_the_blend_of_images_in_the_unit_interval() -> None:
    generator = torch.Generator().manual_seed(3)
    images, patterns = (
        torch.rand(2, 4, 5, 6, 3, generator=generator),
        torch.rand(2, 5, 6, 3, generator=generator),
    )
    masks = torch.rand(2, 5, 6, generator=generator)
    ours = stamp(images - 0.5, masks, patterns) + 0.5
    for k in range(2):
        plain: Tensor = stamped(images[k].permute(0, 3, 1, 2), masks[k], patterns[k].permute(2, 0, 1))
        torch.testing.assert_close(ours[k], plain.permute(0, 2, 3, 1))


def test_a_member_that_has_images_of_one_class_only_is_refused() -> None:
    stack = linear(torch.zeros(1, 4, 2), (1, 2, 2))
    clean = Split(torch.arange(5).expand(1, -1), torch.zeros(1, 5, dtype=torch.long))
    with pytest.raises(ValueError, match="no clean image outside"):
        reconstruct(stack, torch.zeros(5, 2, 2, 1), clean, [0], BRIEF)
