import hashlib
from dataclasses import astuple, fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.data.partition import Partition, partition
from repro.errors import ReproError

sizes = st.integers(15, 5000)
seeds = st.integers(0, 2**63)


@settings(deadline=None)
@given(sizes, seeds)
def test_parts_are_disjoint_and_cover_the_dataset(n: int, seed: int) -> None:
    everything = np.concatenate(astuple(partition(n, seed)))
    np.testing.assert_array_equal(np.sort(everything), np.arange(n))


@settings(deadline=None)
@given(sizes, seeds)
def test_sizes_are_76_19_5_and_80_20_to_within_rounding(n: int, seed: int) -> None:
    parts = partition(n, seed)
    poison = len(parts.poison_train) + len(parts.poison_validation)
    clean = len(parts.clean_train) + len(parts.clean_validation)
    assert abs(poison - 0.76 * n) <= 0.5
    assert abs(clean - 0.19 * n) <= 0.5
    assert abs(len(parts.adversarial_test) - 0.05 * n) <= 1
    assert abs(len(parts.poison_train) - 0.8 * poison) <= 0.5
    assert abs(len(parts.clean_train) - 0.8 * clean) <= 0.5


def test_sizes_on_digits() -> None:
    parts = partition(1797, 1)
    assert [len(getattr(parts, f.name)) for f in fields(parts)] == [1093, 273, 273, 68, 90]


@settings(deadline=None)
@given(sizes, seeds)
def test_equal_seeds_give_equal_partitions(n: int, seed: int) -> None:
    for one, other in zip(astuple(partition(n, seed)), astuple(partition(n, seed)), strict=True):
        np.testing.assert_array_equal(one, other)


@settings(deadline=None)
@given(st.integers(100, 3000), seeds, seeds)
def test_different_seeds_give_independent_partitions(n: int, one: int, other: int) -> None:
    if one == other:
        other += 1
    first, second = partition(n, one), partition(n, other)
    shared = np.intersect1d(first.poison_train, second.poison_train).size / len(first.poison_train)
    expected = len(second.poison_train) / n
    assert abs(shared - expected) < 6 * (expected * (1 - expected) / len(first.poison_train)) ** 0.5


def test_an_upgrade_that_changes_the_random_stream_is_noticed() -> None:
    parts = partition(1797, 1)
    digest = hashlib.sha256(b"".join(a.astype("<i8").tobytes() for a in astuple(parts))).hexdigest()
    assert digest == "484fa216e2f87df4cc114eee4531210b7edf40022c17ac2bed7dc81c68a04b95"


def test_every_image_is_equally_likely_in_adversarial_test() -> None:
    n, draws = 100, 2000
    counts = np.zeros(n)
    for seed in range(draws):
        counts[partition(n, seed).adversarial_test] += 1
    expected = draws * 0.05
    chi_squared = float(((counts - expected) ** 2 / (expected * 0.95)).sum())
    assert 40 < chi_squared < 180  # 99 degrees of freedom: mean 99, standard deviation 14


@pytest.mark.parametrize(
    ("n", "part"), [(0, "poison_train"), (10, "clean_validation"), (14, "adversarial_test")]
)
def test_too_few_images_are_refused(n: int, part: str) -> None:
    with pytest.raises(ReproError, match=f"^{n} images are too few to partition: {part} would be empty$"):
        partition(n, 1)


def test_indices_are_int64_vectors() -> None:
    parts: Partition = partition(50, 3)
    assert all(a.dtype == np.int64 and a.ndim == 1 for a in astuple(parts))
