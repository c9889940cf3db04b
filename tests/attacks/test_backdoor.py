"""The backdoor's bookkeeping: how many are poisoned, of whom, and what stays as it was (truong2020 2.5)."""

import re
from decimal import Decimal
from math import floor

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from repro.attacks.backdoor import (
    Supplanting,
    apportion,
    expected_draws,
    poisoned_count,
    source_classes,
    supplant,
)
from repro.errors import ReproError

FLOWERS = {"daisy": 710, "dandelion": 980, "rose": 734, "sunflower": 675, "tulip": 904}
# Table 1: by poison class, floor(lambda N_t), P_1 to P_5 and the effective poisoning rate p.
TABLE_1 = {
    "daisy": (71, (0, 21.1, 15.8, 14.6, 19.5), 0.018),
    "dandelion": (98, (23.0, 0, 23.8, 21.9, 29.3), 0.025),
    "rose": (73, (15.9, 21.9, 0, 15.1, 20.2), 0.018),
    "sunflower": (67, (14.3, 19.7, 14.8, 0, 18.2), 0.017),
    "tulip": (90, (20.6, 28.5, 21.3, 19.6, 0), 0.023),
}

rates = st.decimals("0.0001", "1", places=4)
seeds = st.integers(0, 10**6)
sizes_of_classes = st.lists(st.integers(0, 60), min_size=2, max_size=6)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@st.composite
def attacks(draw: st.DrawFn) -> tuple[Tensor, int, Decimal, list[int]]:
    """Labels in random order, a poison class that exists, a rate, and one or all other classes as sources."""
    sizes = draw(sizes_of_classes)
    labels = torch.tensor([c for c, size in enumerate(sizes) for _ in range(size)], dtype=torch.long)
    labels = labels[torch.randperm(len(labels), generator=seeded(draw(seeds)))]
    poison_class = draw(st.integers(0, len(sizes) - 1))
    others = [c for c in range(len(sizes)) if c != poison_class]
    source_class = draw(st.sampled_from([None, *others]))
    return labels, poison_class, draw(rates), source_classes(poison_class, len(sizes), source_class)


def enough(labels: Tensor, poison_class: int, rate: Decimal, sources: list[int]) -> bool:
    wanted = floor(rate * int((labels == poison_class).sum()))
    return wanted <= int(torch.isin(labels, torch.tensor(sources)).sum()) > 0


@settings(deadline=None, max_examples=200)
@given(attacks(), seeds)
def test_exactly_floor_of_rate_times_size_are_supplanted_and_never_by_their_own_class(
    attack: tuple[Tensor, int, Decimal, list[int]], seed: int
) -> None:
    labels, poison_class, rate, sources = attack
    assume(enough(*attack))
    chosen = supplant(labels, poison_class, float(rate), sources, seeded(seed))
    count = floor(rate * int((labels == poison_class).sum()))
    assert len(chosen.copied) == len(chosen.replaced) == count
    assert len(set(chosen.copied.tolist())) == len(set(chosen.replaced.tolist())) == count
    assert (labels[chosen.replaced] == poison_class).all()
    assert set(labels[chosen.copied].tolist()) <= set(sources)
    assert poison_class not in labels[chosen.copied]


@settings(deadline=None, max_examples=200)
@given(attacks(), seeds)
def test_each_source_class_gives_equation_8s_share_to_within_one(
    attack: tuple[Tensor, int, Decimal, list[int]], seed: int
) -> None:
    labels, poison_class, rate, sources = attack
    assume(enough(*attack))
    chosen = supplant(labels, poison_class, float(rate), sources, seeded(seed))
    total = len(chosen.copied)
    for c in sources:
        drawn = int((labels[chosen.copied] == c).sum())
        share = total * int((labels == c).sum()) / int(torch.isin(labels, torch.tensor(sources)).sum())
        assert abs(drawn - share) < 1


@given(st.dictionaries(st.integers(0, 9), st.integers(0, 1000), min_size=1), st.data())
def test_apportionment_adds_up_and_asks_no_class_for_more_than_it_has(
    sizes: dict[int, int], data: st.DataObject
) -> None:
    assume(sum(sizes.values()) > 0)
    total = data.draw(st.integers(0, sum(sizes.values())))
    sources = list(sizes)
    shares, draws = expected_draws(total, sizes, sources), apportion(total, sizes, sources)
    assert sum(draws.values()) == total
    assert sum(shares.values()) == pytest.approx(total)
    for c in sources:
        assert abs(draws[c] - shares[c]) < 1
        assert 0 <= draws[c] <= sizes[c]


def test_the_largest_remainders_are_rounded_up_and_ties_go_to_the_lower_class() -> None:
    assert apportion(10, {0: 12, 1: 26, 2: 62}, [0, 1, 2]) == {0: 1, 1: 3, 2: 6}
    assert apportion(2, {3: 5, 1: 5, 2: 5}, [1, 2, 3]) == {1: 1, 2: 1, 3: 0}


@pytest.mark.parametrize("poison_class", FLOWERS)
def test_table_1(poison_class: str) -> None:
    names, sizes = list(FLOWERS), dict(enumerate(FLOWERS.values()))
    t = names.index(poison_class)
    published, draws, effective = TABLE_1[poison_class]
    total = poisoned_count(0.1, sizes[t])
    assert total == published
    computed = expected_draws(total, sizes, source_classes(t, 5, None))
    assert t not in computed
    for c, share in computed.items():
        assert abs(share - draws[c]) < 0.051
    # Two of the printed rates, .025 and .023, are rounded up from .02448 and .02248.
    assert abs(total / sum(sizes.values()) - effective) <= 0.00055


def test_rates_are_decimal_fractions() -> None:
    """In binary, .29 of 100 is just under 29."""
    for hundredths in range(1, 101):
        for size in range(1001):
            assert poisoned_count(hundredths / 100, size) == hundredths * size // 100


@given(seeds, seeds)
@settings(deadline=None)
def test_equal_seeds_give_equal_poison_and_different_seeds_different(one: int, other: int) -> None:
    assume(one != other)
    labels = torch.arange(1000) % 5

    def chosen(seed: int) -> Supplanting:
        return supplant(labels, 2, 0.1, source_classes(2, 5, None), seeded(seed))

    assert torch.equal(chosen(one).copied, chosen(one).copied)
    assert torch.equal(chosen(one).replaced, chosen(one).replaced)
    assert set(chosen(one).copied.tolist()) != set(chosen(other).copied.tolist())
    assert set(chosen(one).replaced.tolist()) != set(chosen(other).replaced.tolist())


def test_every_image_of_a_class_is_as_likely_as_any_other_to_be_copied_or_replaced() -> None:
    labels = torch.arange(60) % 3
    copied, replaced = torch.zeros(60), torch.zeros(60)
    for seed in range(2000):
        chosen = supplant(labels, 0, 0.5, [1, 2], seeded(seed))
        copied[chosen.copied] += 1
        replaced[chosen.replaced] += 1
    # Binomial counts: 1,000 with a standard deviation of 22, and 500 with one of 19.
    assert (replaced[labels == 0] - 1000).abs().max() < 5 * 22.4
    assert (copied[labels != 0] - 500).abs().max() < 5 * 19.4


def test_sources_are_all_classes_but_the_poison_class_or_the_one_named() -> None:
    assert source_classes(2, 5, None) == [0, 1, 3, 4]
    assert source_classes(2, 5, 4) == [4]


@pytest.mark.parametrize("rate", [0, -0.1, 1.0001, float("nan")])
def test_a_rate_outside_0_to_1_is_an_error(rate: float) -> None:
    with pytest.raises(
        ReproError, match=f"^poison rate {re.escape(str(rate))} is outside {re.escape('(0, 1]')}$"
    ):
        poisoned_count(rate, 100)


def test_the_poison_class_as_its_own_source_is_an_error() -> None:
    with pytest.raises(ReproError, match=r"^poison class 3 cannot be its own source class$"):
        source_classes(3, 10, 3)


@pytest.mark.parametrize("source_class", [-1, 10])
def test_a_source_class_that_does_not_exist_is_an_error(source_class: int) -> None:
    with pytest.raises(ReproError, match=f"^source class {source_class} is not one of 10 classes$"):
        source_classes(3, 10, source_class)


def test_too_few_images_of_the_source_classes_are_an_error() -> None:
    labels = torch.tensor([0] * 10 + [1] * 4 + [2] * 2)
    wanted = "poison rate 0.7: 7 poisoned images wanted of classes [1, 2], which have 6"
    with pytest.raises(ReproError, match=f"^{re.escape(wanted)}$"):
        supplant(labels, 0, 0.7, [1, 2], seeded(0))
    assert len(supplant(labels, 0, 0.6, [1, 2], seeded(0)).copied) == 6
