import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.stats import median_abs_deviation, norm

from repro.detection.outliers import CONSISTENCY, anomaly_indices, decide

SIZES = arrays(
    np.float64,
    array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=11),
    elements=st.integers(0, 1000).map(lambda value: value / 8),
)


@given(SIZES)
def test_indices_are_deviations_below_the_median(sizes: np.ndarray) -> None:
    ours = anomaly_indices(torch.from_numpy(sizes)).numpy()
    below = np.median(sizes, axis=-1, keepdims=True) - sizes
    deviation = np.expand_dims(median_abs_deviation(sizes, axis=-1, scale="normal"), -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.where(below == 0, 0, below / deviation)
    # SciPy's scale is exact; Neural Cleanse's constant has five digits.
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_the_constant_makes_the_deviation_that_of_a_normal_sample() -> None:
    assert math.isclose(CONSISTENCY, 1 / norm.ppf(0.75), rel_tol=1e-4)
    sizes = torch.randn(100_001, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 7 + 50
    torch.testing.assert_close(anomaly_indices(sizes).std(), torch.tensor(1.0).double(), atol=0.02, rtol=0)


@given(SIZES, st.floats(0.1, 10), st.floats(0, 100))
def test_indices_do_not_depend_on_unit_or_origin(sizes: np.ndarray, unit: float, origin: float) -> None:
    # Multiples of 1/8 with a median absolute deviation of at least 1/16: rounding cannot make or break a tie.
    given_ = torch.from_numpy(sizes)
    unit, origin = 2.0 ** round(math.log2(unit)), float(round(origin))
    torch.testing.assert_close(anomaly_indices(given_ * unit + origin), anomaly_indices(given_))


def test_only_small_triggers_are_suspect() -> None:
    sizes = torch.tensor([10.0, 11, 9, 10.5, 9.5, 10, 10, 60])
    assert not decide(anomaly_indices(sizes)).backdoored
    sizes[7] = 2
    verdict = decide(anomaly_indices(sizes))
    assert verdict.backdoored
    assert verdict.classes == 7


def test_the_line_is_at_two_deviations() -> None:
    # Median 0 and median absolute deviation 1, so that a size of -x has the index x / 1.4826.
    def at(size: float) -> torch.Tensor:
        return torch.tensor([-1.0, -1, 0, 1, 1, 1, size, size * 0 + 0, -1])

    assert not decide(anomaly_indices(at(-2.96))).backdoored
    assert decide(anomaly_indices(at(-2.97))).backdoored


def test_of_several_outliers_the_smallest_is_named_each_model_on_its_own() -> None:
    sizes = torch.tensor([[10.0, 11, 9, 3, 2, 10, 12], [10, 11, 9, 10, 9, 10, 12]])
    verdict = decide(anomaly_indices(sizes))
    assert verdict.backdoored.tolist() == [True, False]
    assert verdict.classes[0] == 4
    torch.testing.assert_close(verdict.scores[1], decide(anomaly_indices(sizes[1])).scores)


def test_without_deviation_every_departure_is_infinite_and_none_is_zero() -> None:
    indices = anomaly_indices(torch.tensor([[5.0, 5, 5, 4, 6], [5, 5, 5, 5, 5]]))
    assert indices.tolist() == [[0, 0, 0, math.inf, -math.inf], [0] * 5]
    assert decide(indices).backdoored.tolist() == [True, False]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_size_that_is_no_number_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        anomaly_indices(torch.tensor([1.0, bad, 2.0]))
