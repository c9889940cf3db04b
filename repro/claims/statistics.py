"""Intervals of a mean over independent units: Student's t, and the studentised bootstrap as a check.

t comes from SciPy. SciPy's bootstrap offers percentile, basic and BCa, which miss too often with few skewed units at
levels near 0.998; the studentised (bootstrap-t) interval does not, but SciPy lacks it.
"""

from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
RESAMPLES = 20_000
BOOTSTRAP_SEED = 20_200_425


@cache
def _t_quantile(level: float, degrees: int) -> float:
    # scipy.stats.t.ppf calls this; importing all of scipy.stats takes longer than judging a profile.
    return float(special.stdtrit(degrees, (1 + level) / 2))


def t_interval(values: Floats, level: float) -> tuple[Floats, Floats]:
    """Two-sided t interval of the mean over the last axis (n >= 2 units); zero spread gives zero width.

    values: (..., n); returns lower and upper ends, each (...).
    """
    n = values.shape[-1]
    if n < 2:
        raise ValueError("an interval needs at least two units")
    mean = values.mean(axis=-1)
    half_width = _t_quantile(level, n - 1) * values.std(axis=-1, ddof=1) / np.sqrt(n)
    return mean - half_width, mean + half_width


@lru_cache(maxsize=4)
def _resampled(n: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """Which of n units each resample draws, (resamples, n): the same for every claim."""
    return np.random.default_rng(seed).integers(n, size=(resamples, n))


def bootstrap_t_interval(
    values: Floats, level: float, resamples: int = RESAMPLES, seed: int = BOOTSTRAP_SEED
) -> tuple[float, float] | None:
    """Studentised bootstrap interval of the mean of (n,) values; None where it has no finite ends.

    The bootstrap distribution of (mean* - mean) / error* takes the place of Student's. Its seed is fixed, so
    that the same values give the same interval.
    """
    n = len(values)
    if n < 2:
        raise ValueError("an interval needs at least two units")
    mean, error = values.mean(), values.std(ddof=1) / np.sqrt(n)
    if error == 0:
        return float(mean), float(mean)
    drawn = values[_resampled(n, resamples, seed)]
    drawn_mean = drawn.mean(axis=1, keepdims=True)
    shift = drawn_mean[:, 0] - mean
    drawn_error = drawn.std(axis=1, ddof=1, mean=drawn_mean) / np.sqrt(n)
    spread = drawn_error > 0
    studentised = np.where(shift == 0, 0.0, np.copysign(np.inf, shift))
    np.divide(shift, drawn_error, out=studentised, where=spread)
    low, high = np.quantile(studentised, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    if not (np.isfinite(low) and np.isfinite(high)):
        return None
    return float(mean - high * error), float(mean - low * error)
