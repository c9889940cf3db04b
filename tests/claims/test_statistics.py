"""Intervals against SciPy's own, by simulation at the levels used, and at their edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from repro.claims.statistics import bootstrap_t_interval, t_interval

LEVEL = 1 - 0.05 / 25
units = arrays(np.float64, st.integers(2, 80), elements=st.floats(-1, 1, width=32))
levels = st.floats(0.5, 0.999)


@given(units, levels)
def test_t_interval_is_scipys(values: np.ndarray, level: float) -> None:
    low, high = t_interval(values, level)
    if values.std() < 1e-9:
        np.testing.assert_allclose([low, high], values.mean(), atol=1e-8)
    else:
        scipys = stats.ttest_1samp(values, 0).confidence_interval(level)
        np.testing.assert_allclose([low, high], [scipys.low, scipys.high], rtol=1e-9, atol=1e-12)


@given(units, levels, levels)
def test_a_higher_level_never_narrows_the_interval(values: np.ndarray, one: float, other: float) -> None:
    low, high = t_interval(values, max(one, other))
    inner_low, inner_high = t_interval(values, min(one, other))
    assert low <= inner_low <= inner_high <= high


@given(units)
def test_both_intervals_mirror_with_the_sign(values: np.ndarray) -> None:
    low, high = t_interval(values, LEVEL)
    mirrored_low, mirrored_high = t_interval(-values, LEVEL)
    np.testing.assert_allclose([-mirrored_high, -mirrored_low], [low, high], atol=1e-12)


def test_t_interval_works_on_a_stack_of_repetitions() -> None:
    stack = np.random.default_rng(0).normal(size=(7, 3, 30))
    low, high = t_interval(stack, LEVEL)
    assert low.shape == high.shape == (7, 3)
    np.testing.assert_array_equal((low[4, 1], high[4, 1]), t_interval(stack[4, 1], LEVEL))


def test_no_spread_gives_no_width() -> None:
    assert t_interval(np.full(30, 0.25), LEVEL) == (0.25, 0.25)
    assert bootstrap_t_interval(np.full(30, 0.25), LEVEL) == (0.25, 0.25)


def test_one_unit_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least two units"):
        t_interval(np.array([0.1]), LEVEL)
    with pytest.raises(ValueError, match="at least two units"):
        bootstrap_t_interval(np.array([0.1]), LEVEL)


def test_t_interval_misses_as_often_as_it_says_on_normal_units() -> None:
    repetitions = 20_000
    low, high = t_interval(np.random.default_rng(1).normal(0.3, 1, size=(repetitions, 30)), LEVEL)
    misses = int(((low > 0.3) | (high < 0.3)).sum())
    assert (
        stats.binom.ppf(1e-4, repetitions, 1 - LEVEL)
        <= misses
        <= stats.binom.isf(1e-4, repetitions, 1 - LEVEL)
    )


def test_bootstrap_is_repeatable_and_close_to_t_on_normal_units() -> None:
    values = np.random.default_rng(2).normal(0.3, 0.1, size=60)
    bootstrap = bootstrap_t_interval(values, LEVEL)
    assert bootstrap == bootstrap_t_interval(values, LEVEL)
    np.testing.assert_allclose(bootstrap, t_interval(values, LEVEL), atol=0.02)


def test_bootstrap_reaches_further_on_the_side_of_the_long_tail() -> None:
    values = stats.expon.ppf((np.arange(40) + 0.5) / 40)
    low, high = bootstrap_t_interval(values, LEVEL)
    assert high - values.mean() > 1.3 * (values.mean() - low)


def test_bootstrap_misses_about_as_often_as_it_says_on_skewed_units() -> None:
    generator, repetitions, level = np.random.default_rng(3), 600, 0.95
    misses = 0
    for _ in range(repetitions):
        low, high = bootstrap_t_interval(generator.exponential(size=30), level, resamples=1000)
        misses += not low <= 1 <= high
    assert 0.03 * repetitions <= misses <= 0.075 * repetitions


def test_bootstrap_without_finite_ends_is_none() -> None:
    assert bootstrap_t_interval(np.array([0.0, 0.0, 1.0]), LEVEL) is None
