"""The rule against a slow, obvious oracle: what is true of every point of the interval."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.claims.catalogue import Part
from repro.claims.rules import decide, turning

CONTRAST = {"kind": "contrast", "metric": "asr", "treatment": {"p": 1}, "baseline": {"p": 0}}
LEVEL = CONTRAST | {"kind": "level", "published": 0.5}

# Ends on a grid that has every threshold on it, so that equality with a threshold is common.
grid = st.integers(-24, 24).map(lambda k: k / 16)
intervals = st.tuples(grid, grid).map(sorted)
SIZE = 0.25


def part(kind: str, side: str | None = None) -> Part:
    rule = {"minimum": SIZE, "side": side} if kind == "direction" else {"margin": SIZE}
    if kind == "level":
        rule["dataset"] = "flowers"
    statistic = LEVEL if kind == "level" else CONTRAST
    return Part.model_validate({"name": "n", "experiment": "e", "kind": kind, "statistic": statistic} | rule)


PARTS = [
    part("direction", "higher"),
    part("direction", "lower"),
    part("equal"),
    part("no loss"),
    part("level"),
]
parts = st.sampled_from(PARTS)


def oracle(of: Part, low: float, high: float) -> str:
    step = Fraction(1, 16)
    points = [Fraction(low) + k * step for k in range(int((Fraction(high) - Fraction(low)) / step) + 1)]
    size = Fraction(SIZE)
    if of.kind == "direction":
        claimed = points if of.side == "higher" else [-x for x in points]
        if all(x > size for x in claimed):
            return "reproduced"
        if all(x < 0 for x in claimed) or all(abs(x) < size for x in claimed):
            return "contradicted"
    elif of.kind == "equal":
        if all(abs(x) < size for x in points):
            return "reproduced"
        if all(x > size for x in points) or all(x < -size for x in points):
            return "contradicted"
    elif of.kind == "no loss":
        if all(x > -size for x in points):
            return "reproduced"
        if all(x < -size for x in points):
            return "contradicted"
    elif any(abs(x - Fraction(1, 2)) <= size for x in points):
        return "reproduced"
    return "inconclusive"


@given(parts, intervals)
def test_verdict_is_what_holds_for_every_point(of: Part, interval: list[float]) -> None:
    assert decide(of, *interval).verdict == oracle(of, *interval)


@given(intervals)
def test_claiming_the_other_side_mirrors_the_verdict(interval: list[float]) -> None:
    low, high = interval
    assert decide(PARTS[0], low, high) == decide(PARTS[1], -high, -low)


@given(intervals)
def test_equality_does_not_depend_on_which_condition_is_the_treatment(interval: list[float]) -> None:
    low, high = interval
    assert decide(PARTS[2], low, high) == decide(PARTS[2], -high, -low)


@given(parts, intervals)
def test_turning_is_the_least_move_that_changes_the_verdict(of: Part, interval: list[float]) -> None:
    low, high = interval
    now, distance = decide(of, low, high).verdict, turning(of, low, high)
    for share in (-0.991, -0.537, 0.537, 0.991):
        assert decide(of, low + share * distance, high + share * distance).verdict == now
    beyond = distance + 1e-6
    assert (
        now != decide(of, low + beyond, high + beyond).verdict
        or now != decide(of, low - beyond, high - beyond).verdict
    )


@pytest.mark.parametrize(
    ("of", "low", "high", "verdict", "because"),
    [
        (PARTS[0], 0.26, 0.9, "reproduced", "lies beyond the minimum effect 0.25 on the claimed side"),
        (PARTS[0], -0.9, -0.3, "contradicted", "lies wholly on the other side of zero"),
        (PARTS[0], -0.1, 0.2, "contradicted", "lies wholly inside the minimum effect 0.25"),
        (PARTS[0], 0.25, 0.9, "inconclusive", "is neither beyond the minimum effect 0.25 nor clear of it"),
        (PARTS[2], -0.1, 0.2, "reproduced", "lies inside the margin 0.25"),
        (PARTS[2], 0.3, 0.4, "contradicted", "lies wholly outside the margin 0.25"),
        (PARTS[2], 0.2, 0.4, "inconclusive", "reaches across the margin 0.25"),
        (PARTS[3], -0.2, 9.0, "reproduced", "excludes a loss of 0.25"),
        (PARTS[3], -0.5, -0.3, "contradicted", "lies wholly beyond a loss of 0.25"),
        (PARTS[3], -0.5, 0.0, "inconclusive", "reaches across a loss of 0.25"),
        (PARTS[4], 0.7, 0.9, "reproduced", "meets the published 0.5 ± 0.25"),
        (PARTS[4], 0.8, 0.9, "inconclusive", "does not meet the published 0.5 ± 0.25"),
    ],
)
def test_each_outcome_says_why(of: Part, low: float, high: float, verdict: str, because: str) -> None:
    assert decide(of, low, high) == (verdict, because)
