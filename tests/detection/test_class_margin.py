"""The corrected test against loops over classes and pixels, and where triggers are planted."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from repro.detection.class_margin import Corrected, changes, class_means, corrected, differences
from repro.detection.outliers import anomaly_indices, decide
from repro.detection.reconstruct import Triggers, stamp
from repro.training.fleet import Split

CLASSES, SIDE = 7, 6


def triggers_of(masks: Tensor, patterns: Tensor) -> Triggers:
    return Triggers(masks, patterns, masks.sum((2, 3)), torch.ones(masks.shape[:2]))


def drawn(seed: int, members: int = 2, channels: int = 2) -> tuple[Tensor, Split, Triggers]:
    generator = torch.Generator().manual_seed(seed)
    pool = torch.rand(60, SIDE, SIDE, channels, generator=generator) - 0.5
    indices = torch.stack([torch.randperm(60, generator=generator)[:40] for _ in range(members)])
    masks = torch.rand(members, CLASSES, SIDE, SIDE, generator=generator)
    patterns = torch.rand(members, CLASSES, SIDE, SIDE, channels, generator=generator)
    return pool, Split(indices, indices % CLASSES), triggers_of(masks, patterns)


def by_hand(pool: Tensor, clean: Split, triggers: Triggers, k: int) -> list[tuple[int, float, float, float]]:
    """Of model k, one (nearest class, margin, log size, alignment) per target class: the formulas, pair by pair."""
    images = [pool[clean.indices[k][clean.labels[k] == c]] + 0.5 for c in range(CLASSES)]
    means = [of_class.mean(0) for of_class in images]
    found = []
    for t in range(CLASSES):
        mask, pattern = triggers.masks[k, t][:, :, None], triggers.patterns[k, t]
        distances = [math.inf if s == t else (means[t] - means[s]).abs().sum().item() for s in range(CLASSES)]
        s = distances.index(min(distances))
        delta = torch.stack([mask * (pattern - image) for image in images[s]]).mean(0)
        along = mask * (means[t] - means[s])
        cosine = ((delta * along).sum() / (delta.norm() * along.norm())).item()
        size = math.log(triggers.masks[k, t].sum().item() / distances[s])
        found.append((s, distances[s], size, cosine))
    return found


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_margins_sizes_and_alignments_are_those_worked_out_pair_by_pair(seed: int) -> None:
    pool, clean, triggers = drawn(seed)
    result = corrected(triggers, class_means(pool, clean, CLASSES))
    for k in range(2):
        nearest, margins, sizes, cosines = zip(*by_hand(pool, clean, triggers, k), strict=True)
        assert result.nearest[k].tolist() == list(nearest)
        torch.testing.assert_close(result.margins[k], torch.tensor(margins))
        torch.testing.assert_close(result.alignments[k], torch.tensor(cosines), atol=1e-5, rtol=1e-4)
        expected = anomaly_indices(torch.tensor(sizes))
        torch.testing.assert_close(result.corrected_indices[k], expected, atol=1e-3, rtol=1e-3)
        assert result.aligned[k].tolist() == [cosine > math.sqrt(0.5) for cosine in cosines]
        assert torch.equal(result.raw_indices[k], anomaly_indices(triggers.norms[k]))


def test_the_change_is_what_stamping_does_on_average() -> None:
    pool, clean, triggers = drawn(3, members=1)
    ours = changes(triggers, class_means(pool, clean, CLASSES))
    for t in range(CLASSES):
        for s in range(CLASSES):
            images = pool[clean.indices[0][clean.labels[0] == s]]
            moved = stamp(images, triggers.masks[0, t], triggers.patterns[0, t]) - images
            torch.testing.assert_close(ours[0, t, s], moved.mean(0), atol=1e-6, rtol=1e-4)


def test_differences_lead_from_the_source_to_the_target() -> None:
    means = torch.rand(1, 3, 2, 2, 1)
    torch.testing.assert_close(differences(means)[0, 2, 1], means[0, 2] - means[0, 1])


def scene(target_mask: Tensor, target_pattern: Tensor, near: bool) -> Corrected:
    """Classes are rows of an image; class 1 is near class 0 if asked. Class 0's trigger is given, others are alike."""
    means = torch.zeros(1, CLASSES, SIDE + 1, SIDE, 1)
    for c in range(CLASSES):
        means[0, c, c] = 0.8 + 0.02 * c
    if near:
        means[0, 1] = means[0, 0]
        means[0, 1, 0, 0] = 0.1
    generator = torch.Generator().manual_seed(1)
    masks = 0.5 + 0.05 * torch.rand(1, CLASSES, SIDE + 1, SIDE, generator=generator)
    patterns = means.clone()
    masks[0, 0], patterns[0, 0, :, :, 0] = target_mask, target_pattern
    return corrected(triggers_of(masks, patterns), means)


def test_a_small_trigger_that_is_the_difference_between_two_near_classes_is_no_backdoor() -> None:
    mask, pattern = torch.zeros(SIDE + 1, SIDE), torch.zeros(SIDE + 1, SIDE)
    mask[0, 0], pattern[0, 0] = 1, 0.8  # what class 1 lacks to be class 0
    result = scene(mask, pattern, near=True)
    assert result.raw.backdoored.item()
    assert result.raw.classes.item() == 0
    assert result.nearest[0, 0] == 1
    assert result.aligned[0, 0]
    assert not result.corrected.backdoored.item()
    assert result.corrected.scores.item() == 0


def test_a_small_trigger_away_from_the_difference_is_one() -> None:
    mask, pattern = torch.zeros(SIDE + 1, SIDE), torch.zeros(SIDE + 1, SIDE)
    mask[0, 3:5], pattern[0, 3:5] = 1, 0.0  # darkens what is class 0's own
    result = scene(mask, pattern, near=False)
    assert not result.aligned[0, 0]
    for verdict in (result.raw, result.corrected):
        assert verdict.backdoored.item()
        assert verdict.classes.item() == 0
    assert result.corrected.scores.item() > 2


def test_pointing_against_the_difference_is_not_alignment() -> None:
    means = torch.rand(1, CLASSES, SIDE, SIDE, 1, generator=torch.Generator().manual_seed(2)) / 4 + 0.4
    masks = torch.ones(1, CLASSES, SIDE, SIDE)
    nearest = corrected(triggers_of(masks, means), means).nearest
    away = (
        2 * means[:, nearest[0]] - means
    )  # from the nearest class, as far again as the target, the other way
    result = corrected(triggers_of(masks, away), means)
    assert (result.alignments < -0.99).all()
    assert not result.aligned.any()


def test_a_large_margin_makes_a_trigger_small_and_a_small_one_large() -> None:
    _, _, triggers = drawn(5, members=1)
    even = triggers_of(torch.full_like(triggers.masks, 0.5), triggers.patterns)
    means = torch.rand(1, CLASSES, SIDE, SIDE, 2, generator=torch.Generator().manual_seed(4)) / 10
    means[0, 3] += 0.8  # far from all others
    result = corrected(even, means)
    assert torch.equal(result.raw_indices, torch.zeros(1, CLASSES))
    assert result.corrected_indices.argmax(1).item() == 3


def test_an_empty_mask_is_the_smallest_of_all() -> None:
    pool, clean, triggers = drawn(6)
    triggers.masks[0, 2] = 0
    result = corrected(triggers_of(triggers.masks, triggers.patterns), class_means(pool, clean, CLASSES))
    assert result.corrected.classes[0] == 2
    assert result.corrected.backdoored[0]


def test_members_are_judged_on_their_own() -> None:
    pool, clean, triggers = drawn(7)
    both = corrected(triggers, class_means(pool, clean, CLASSES))
    one = triggers_of(triggers.masks[1:], triggers.patterns[1:])
    alone = corrected(one, class_means(pool, clean.of(torch.tensor([1])), CLASSES))
    torch.testing.assert_close(both.corrected_indices[1:], alone.corrected_indices)
    torch.testing.assert_close(both.corrected.scores[1:], alone.corrected.scores)
    assert torch.equal(both.raw.scores, decide(both.raw_indices).scores)


def test_what_has_no_margin_is_refused() -> None:
    pool, clean, triggers = drawn(8)
    with pytest.raises(ValueError, match="no clean image of one of the classes"):
        class_means(pool, clean, CLASSES + 1)
    means = class_means(pool, clean, CLASSES)
    means[1, 2] = means[1, 5]
    with pytest.raises(ValueError, match="same mean"):
        corrected(triggers, means)
