"""Dirty-label poisons: target-class images of the attacker's pool alone, under every wrong label."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.attacks.dirty_label import mislabelled
from repro.errors import ReproError

LABELS = torch.arange(300) % 5
POOL = torch.arange(100, 300)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(0, 4), st.integers(0, 40), st.integers(0, 10**6))
@settings(deadline=None)
def test_poisons_are_distinct_pool_images_of_the_target_class_never_labelled_so(
    target_class: int, budget: int, seed: int
) -> None:
    indices, wrong = mislabelled(POOL, LABELS, target_class, budget=budget, classes=5, generator=seeded(seed))
    assert len(indices) == len(wrong) == budget
    assert len(set(indices.tolist())) == budget
    assert torch.isin(indices, POOL).all()
    assert (LABELS[indices] == target_class).all()
    assert (wrong != target_class).all()
    assert ((wrong >= 0) & (wrong < 5)).all()


@pytest.mark.parametrize("target_class", [0, 2, 4])
def test_wrong_labels_and_chosen_images_are_uniform(target_class: int) -> None:
    pool = torch.arange(20_000)
    labels = pool % 5
    _, wrong = mislabelled(pool, labels, target_class, budget=4000, classes=5, generator=seeded(0))
    counts = torch.bincount(wrong, minlength=5).double()
    others = counts[torch.arange(5) != target_class]
    # Chi-square over 4 labels at 1,000 each: 16.3 is exceeded once in a thousand seeds.
    assert ((others - 1000) ** 2 / 1000).sum() < 16.3
    few, _ = mislabelled(pool, labels, target_class, budget=1000, classes=5, generator=seeded(1))
    # Mean of 1,000 uniform draws over 0 to 20,000: standard error about 180.
    assert abs(few.double().mean().item() - 10_000) < 700


def test_the_same_seed_repeats_and_another_differs() -> None:
    def draw(seed: int) -> tuple[list[int], list[int]]:
        indices, wrong = mislabelled(POOL, LABELS, 3, budget=20, classes=5, generator=seeded(seed))
        return indices.tolist(), wrong.tolist()

    assert draw(1) == draw(1)
    assert draw(1)[0] != draw(2)[0]
    assert draw(1)[1] != draw(2)[1]


def test_a_budget_beyond_the_pool_says_what_the_pool_holds() -> None:
    with pytest.raises(ReproError, match=r"a budget of 41 poisons.*holds 40 images of class 3"):
        mislabelled(POOL, LABELS, 3, budget=41, classes=5, generator=seeded(0))
