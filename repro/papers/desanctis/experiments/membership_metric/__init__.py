"""The limits of the membership metric M_mem, computed from logits (desanctis 2.3)."""

import math
from dataclasses import dataclass

from repro.harness.evidence.table import Row
from repro.harness.experiment import Experiment, Phase, Records
from repro.harness.profile import Profile, Strict
from repro.harness.runs import Data, Description, Fleet

CLASSES = 10
CERTAIN = (50.0, 100.0, 200.0, 350.0, 1000.0)
WRONG = (-1.0, -10.0, -100.0, -350.0, -1000.0)
SCALES = (1e-3, 1.0, 10.0, 100.0, 350.0)
DRAWS = 10_000


class Settings(Strict):
    """Nothing to set: the limits are the same for every profile."""


@dataclass(frozen=True)
class LimitsRun(Description):
    """M_mem at given gaps between the true label's logit and all others, and at random logits."""

    seed: int
    gaps: tuple[float, ...] = CERTAIN + WRONG
    scales: tuple[float, ...] = SCALES
    classes: int = CLASSES
    draws: int = DRAWS
    data: Data | None = None


def _fleets(profile: Profile) -> list[Fleet]:
    return [Fleet((LimitsRun(profile.seeds.evidence),))]


def _row(check: str, gap: float, computed: float, bound: float, holds: bool) -> Row:
    return {"check": check, "gap": gap, "computed": computed, "bound": bound, "holds": holds}


def _rows(profile: Profile, records: Records) -> list[Row]:
    """The bounds for a gap g when the other n - 1 logits are equal.

    With the true label certain, M_mem is below n (1 + g + log n) exp(-g) up to rounding; with it hopeless, it is at
    least (1 - f_y) (-log f_y), hence at least |g|.
    """
    (record,) = records["measure"].values()
    rows = []
    for gap, value in zip(CERTAIN + WRONG, record["at_gaps"], strict=True):
        if gap > 0:
            bound = CLASSES * (1 + gap + math.log(CLASSES)) * math.exp(-gap)
            rows.append(_row("zero_at_certainty", gap, value, bound, 0 <= value <= bound))
        else:
            others = math.log(CLASSES - 1) - gap
            bound = others / (1 + math.exp(-others)) * (1 - 1e-12)
            rows.append(_row("unbounded", gap, value, bound, value >= bound))
    rows += [
        _row("never_negative", scale, value, 0.0, value >= 0)
        for scale, value in zip(SCALES, record["least"], strict=True)
    ]
    return rows


COLUMNS = {
    "gap": "the true label's logit less the others'",
}
"""What columns hold that no other experiment has."""

EXPERIMENT = Experiment(
    paper="desanctis",
    reproduces="the metric of section 2.3",
    phases=(
        Phase("measure", "repro.papers.desanctis.experiments.membership_metric.work:measure_fleet", _fleets),
    ),
    rows=_rows,
)
