"""Rows of `membership_metric`: M_mem at every gap and scale beside its bound, from a record with values of its own."""

import math
from typing import Any

import pytest
from figures import assert_same, figure, rows_of

from repro.harness.profile import Profile

CERTAIN = (50.0, 100.0, 200.0, 350.0, 1000.0)
WRONG = (-1.0, -10.0, -100.0, -350.0, -1000.0)
SCALES = (0.001, 1.0, 10.0, 100.0, 350.0)


def bound_of(gap: float) -> float:
    """With 10 classes, when right at most 10 (1 + g + log 10) e^-g; when wrong at least (1 - f_y) (log 9 - g).

    The latter because -log f_y = log(1 + 9 e^-g), which is more than log 9 - g.
    """
    if gap > 0:
        return 10 * (1 + gap + math.log(10)) * math.exp(-gap)
    f_y = 1 / (1 + 9 * math.exp(-gap)) if gap > -700 else 0.0
    return (1 - f_y) * (math.log(9) - gap)


@pytest.mark.parametrize("right", [True, False])
def test_values_stand_beside_the_bound_of_their_own_gap(profile: Profile, right: bool) -> None:
    at_gaps: list[float] = []
    expected: list[dict[str, Any]] = []
    for gap in CERTAIN + WRONG:
        # On the right side of the bound or on the wrong one, each by a share of its own.
        within = (gap > 0) == right
        value = bound_of(gap) * (0.2 + 0.7 * figure(gap) if within else 1.1 + figure(gap))
        at_gaps.append(value)
        check = "zero_at_certainty" if gap > 0 else "unbounded"
        bound = pytest.approx(bound_of(gap), rel=1e-9, abs=0)
        # The bound at 1000 is nothing in floating point, and nothing is within it.
        holds = right or value == 0
        expected.append({"check": check, "gap": gap, "computed": value, "bound": bound, "holds": holds})
    least = [figure(scale) * (1 if right else -1) for scale in SCALES]
    for scale, value in zip(SCALES, least, strict=True):
        expected.append(
            {"check": "never_negative", "gap": scale, "computed": value, "bound": 0.0, "holds": right}
        )
    record = {"run": "r", "at_gaps": at_gaps, "least": least}
    assert_same(rows_of(profile, "membership_metric", {"measure": {"r": record}}), expected)
