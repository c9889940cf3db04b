"""Effects of a unit: chosen on one half of the units and measured on the other, so that noise alone has no effect."""

import numpy as np
import pytest
from scipy import stats

from repro.claims.reductions import Deviations, Difference, HigherHalf, HighestLessLowest

UNITS, LEVELS = 60, 10
OF_UNITS = np.arange(UNITS) % LEVELS


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(1.0, size=shape) - 1.0


@pytest.mark.parametrize(
    ("reduction", "conditions"),
    [
        (HighestLessLowest(), 4),
        (HighestLessLowest(noise((2000, UNITS, 4), 1)), 4),
        (HigherHalf(OF_UNITS), 1),
        (HigherHalf(OF_UNITS % 5), 1),
        (Deviations(1), 3),
        (Difference(2), 5),
    ],
)
def test_noise_alone_has_no_effect_and_keeps_to_the_error_rate(reduction: object, conditions: int) -> None:
    effects = reduction.effects(noise((2000, UNITS, conditions)))
    assert abs(effects.mean()) < 4 * effects.std() / np.sqrt(effects.size)
    missed = (stats.ttest_1samp(effects, 0, axis=1).pvalue < 0.05).mean()
    assert 0.03 < missed < 0.08


def test_a_range_is_the_one_of_the_levels_that_are_ahead_in_the_first_half() -> None:
    values = np.tile([0.2, 0.9, 0.5], (UNITS, 1))
    values[UNITS // 2 :] = [0.3, 0.4, 0.8]
    np.testing.assert_allclose(HighestLessLowest().effects(values), 0.1)
    np.testing.assert_allclose(HighestLessLowest(np.tile([1, 2, 3], (UNITS, 1))).effects(values), 0.5)


def test_by_is_averaged_over_the_cells_when_values_are() -> None:
    by = np.stack([np.tile([0.0, 1.0], (UNITS, 1)), np.tile([3.0, 0.0], (UNITS, 1))])
    values = np.tile([0.0, 0.7], (UNITS, 1))
    np.testing.assert_allclose(
        HighestLessLowest(by).effects(np.stack([values, values])), [[0.7], [-0.7]] * np.ones((2, UNITS // 2))
    )
    np.testing.assert_allclose(HighestLessLowest(by).pooled().effects(values), -0.7)


@pytest.mark.parametrize("levels", [10, 5, 2])
def test_halves_differ_by_the_difference_of_their_means(levels: int) -> None:
    of_units = np.arange(UNITS) % levels
    values = (0.1 * of_units + 0.001 * noise((UNITS,)))[:, None]
    effects = HigherHalf(of_units).effects(values)
    high = of_units[UNITS // 2 :] >= (levels + 1) // 2
    later = values[UNITS // 2 :, 0]
    assert len(effects) == UNITS // 2
    assert effects.mean() == pytest.approx(later[high].mean() - later[~high].mean())


def test_a_spread_does_not_see_a_shift_and_sees_a_scale() -> None:
    base = noise((UNITS,))
    values = np.stack([base + 5, base], axis=1)
    np.testing.assert_allclose(Deviations(1).effects(values), 0, atol=1e-12)
    wider = Deviations(1).effects(np.stack([3 * base, base], axis=1))
    assert wider.mean() == pytest.approx(2 * np.abs(base - np.median(base)).mean())
