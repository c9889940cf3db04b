"""The rule that turns an interval into a verdict, for each kind of claim: fixed before any evidence existed.

direction: reproduced when the interval lies beyond the minimum effect on the claimed side; contradicted when wholly on
the other side of zero, or wholly inside the minimum effect. equal: reproduced when inside the margin, contradicted when
wholly outside. no loss: only a fall counts. level: reproduced when the interval meets the published figure widened by
the tolerance. Otherwise inconclusive. An end exactly at a threshold decides nothing. A table asserts nothing that an
interval could decide: it is reported.
"""

from typing import Literal, NamedTuple

from repro.claims.catalogue import Part
from repro.claims.comparisons import Level

Outcome = Literal["reproduced", "contradicted", "inconclusive", "reported", "not applicable", "not measured"]


class Decision(NamedTuple):
    """A verdict and its reason, worded as the rest of a sentence that begins with the interval."""

    verdict: Outcome
    because: str


def decide(part: Part, low: float, high: float) -> Decision:
    """Verdict of a part on the interval [low, high], in its metric's units."""
    if part.kind == "direction" and part.minimum is not None:
        return _direction(part.minimum, *((low, high) if part.side == "higher" else (-high, -low)))
    if part.kind == "equal" and part.margin is not None:
        return _equal(part.margin, low, high)
    if part.kind == "no loss" and part.margin is not None:
        return _no_loss(part.margin, low, high)
    if isinstance(part.statistic, Level) and part.margin is not None:
        return _level(part.statistic.published, part.margin, low, high)
    raise ValueError(f"kind {part.kind!r} is not decided on an interval")


def _direction(minimum: float, low: float, high: float) -> Decision:
    if low > minimum:
        return Decision("reproduced", f"lies beyond the minimum effect {minimum:g} on the claimed side")
    if high < 0:
        return Decision("contradicted", "lies wholly on the other side of zero")
    if -minimum < low and high < minimum:
        return Decision("contradicted", f"lies wholly inside the minimum effect {minimum:g}")
    return Decision("inconclusive", f"is neither beyond the minimum effect {minimum:g} nor clear of it")


def _equal(margin: float, low: float, high: float) -> Decision:
    if -margin < low and high < margin:
        return Decision("reproduced", f"lies inside the margin {margin:g}")
    if low > margin or high < -margin:
        return Decision("contradicted", f"lies wholly outside the margin {margin:g}")
    return Decision("inconclusive", f"reaches across the margin {margin:g}")


def _no_loss(margin: float, low: float, high: float) -> Decision:
    if low > -margin:
        return Decision("reproduced", f"excludes a loss of {margin:g}")
    if high < -margin:
        return Decision("contradicted", f"lies wholly beyond a loss of {margin:g}")
    return Decision("inconclusive", f"reaches across a loss of {margin:g}")


def _level(published: float, tolerance: float, low: float, high: float) -> Decision:
    if low <= published + tolerance and high >= published - tolerance:
        return Decision("reproduced", f"meets the published {published:g} ± {tolerance:g}")
    return Decision("inconclusive", f"does not meet the published {published:g} ± {tolerance:g}")


def _thresholds(part: Part) -> tuple[float, ...]:
    """Every value at which an end of the interval can change the verdict."""
    if part.minimum is not None:
        return (-part.minimum, 0.0, part.minimum)
    margin = part.margin or 0.0
    centre = part.statistic.published if isinstance(part.statistic, Level) else 0.0
    return (centre - margin, centre + margin)


def turning(part: Part, low: float, high: float) -> float:
    """How near the verdict is to turning, in the metric's units.

    The smallest distance by which the interval, shifted as a whole, would change the verdict: that from the deciding
    end to its threshold.
    """
    now = decide(part, low, high).verdict
    moves = sorted((threshold - end for threshold in _thresholds(part) for end in (low, high)), key=abs)
    step = 1e-9 * max(1.0, abs(low), abs(high))
    for move in moves:
        if any(decide(part, low + move + d, high + move + d).verdict != now for d in (-step, step)):
            return abs(move)
    return abs(moves[-1])
