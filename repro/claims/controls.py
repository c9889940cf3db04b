"""Negative and positive controls, made for every claim in the same way from its data: the checks on the judge itself.

By kind of part. direction and level: the conditions permuted within units (a constant's metric reflected about the
constant). equal and no loss: a difference of the margin planted. exact: one cell corrupted. In each, *reproduced* must
be as rare as the rule's error rate; with the effect planted, the verdict must be reproduced. Works on any sample:
synthetic, or committed evidence.

A table asserts nothing that could be reproduced, and has no control: it fails if a figure is missing.

A level is controlled together with the claim's other parts. Alone it cannot be: permuting widens the interval
too, and by the rule a wider interval meets the published figure more easily.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from repro.claims.catalogue import Claim, Part
from repro.claims.comparisons import Among, Constant, Exact
from repro.claims.exactness import failing_rows
from repro.claims.reductions import Floats
from repro.claims.rules import Outcome, decide
from repro.claims.sample import Sample
from repro.claims.statistics import t_interval
from repro.harness.evidence.table import Row

SURE = 1e-5


def allowed(repetitions: int, level: float) -> int:
    """The most *reproduced* verdicts that chance allows among a control's repetitions, but for one time in 100,000.

    A false *reproduced* needs one end of the two-sided interval on the wrong side: rate (1 - level) / 2.
    """
    return int(stats.binom.isf(SURE, repetitions, (1 - level) / 2))


def null_units(part: Part, sample: Sample, repetitions: int, generator: np.random.Generator) -> Floats:
    """Units' means (repetitions, u) under the part's negative control."""
    if part.kind in ("equal", "no loss"):
        return _margin_planted(part, sample, repetitions, generator)
    if isinstance(part.statistic, Constant):
        signs = generator.choice([-1.0, 1.0], size=(repetitions, len(sample.units)))
        return np.asarray(signs * sample.effects.mean(axis=0))
    return _permuted(sample, repetitions, generator)


def _permuted(sample: Sample, repetitions: int, generator: np.random.Generator) -> Floats:
    """Conditions permuted within each unit, in the same way in all its cells (which are not independent).

    Where the conditions are the units' own, their values are permuted among the units.
    """
    pooled = sample.values.mean(axis=0)
    axis = -2 if sample.reduction.between else -1
    drawn = generator.permuted(np.broadcast_to(pooled, (repetitions, *pooled.shape)), axis=axis)
    return sample.reduction.pooled().effects(drawn)


def _margin_planted(part: Part, sample: Sample, repetitions: int, generator: np.random.Generator) -> Floats:
    """Units redrawn around a difference of exactly the margin: a loss, or of either sign for equality."""
    units = sample.effects.mean(axis=0)
    drawn = generator.choice(units - units.mean(), size=(repetitions, len(units)))
    signs = np.where((np.arange(repetitions) % 2 == 0) | (part.kind == "no loss"), -1.0, 1.0)
    return drawn + signs[:, None] * (part.margin or 0.0)


def planted_units(claim: Claim, part: Part, sample: Sample) -> Floats:
    """Units' means (u,) with the claimed effect planted in place of the sample's own.

    direction: three times the minimum effect, or the least that n units of this spread can show if that is more. level:
    the published figure. equal: no difference. no loss: no difference either, or the gain that n units of this spread
    need to rule a loss out.
    """
    units = sample.effects.mean(axis=0)
    low, high = t_interval(units, claim.level)
    effect = 0.0
    if part.minimum is not None:
        size = max(3 * part.minimum, part.minimum + float(high - low))
        effect = size if part.side == "higher" else -size
    elif part.kind == "no loss":
        effect = max(0.0, float(high - low) / 2 - (part.margin or 0.0) / 2)
    elif part.statistic.kind == "level":
        effect = part.statistic.published
    return np.asarray(units - units.mean() + effect)


def reproductions(
    claim: Claim, drawn: Sequence[tuple[Part, Sample]], repetitions: int, generator: np.random.Generator
) -> int:
    """The number of repetitions of the negative control in which all parts come out reproduced."""
    whole = np.ones(repetitions, dtype=bool)
    for part, sample in drawn:
        verdicts = outcomes(claim, part, null_units(part, sample, repetitions, generator))
        whole &= np.array(verdicts) == "reproduced"
    return int(whole.sum())


def outcomes(claim: Claim, part: Part, units: Floats) -> list[Outcome]:
    """Verdicts of the rule on units' means (..., u), flattened over the leading axes."""
    low, high = t_interval(np.atleast_2d(units), claim.level)
    return [decide(part, *ends).verdict for ends in zip(low.tolist(), high.tolist(), strict=True)]


def corrupted(statistic: Exact | Among, rows: list[Row], at: int) -> list[Row]:
    """The rows of an exact statistic with the one cell at index `at` made wrong.

    Where the row has numbers to compare, the computed one is moved and `holds` still claims to be true.
    """
    wrong = dict(rows[at])
    if isinstance(statistic, Among):
        wrong[statistic.metric] = sum(statistic.allowed) + 0.5
        return [*rows[:at], wrong, *rows[at + 1 :]]
    computed, bound = wrong.get("computed"), wrong.get("bound")
    bounded = statistic.bounds.get(str(wrong["check"])) if isinstance(bound, int | float) else None
    if isinstance(computed, int | float) and isinstance(wrong.get("published"), int | float):
        tolerance = wrong.get("tolerance")
        wrong["computed"] = computed + 3 * (tolerance if isinstance(tolerance, int | float) else 0) + 1e-6
    elif isinstance(computed, int | float) and bounded and isinstance(bound, int | float):
        wrong["computed"] = bound - 1.0 if bounded == "at least" else bound + 1.0
    else:
        wrong["holds"] = False
    return [*rows[:at], wrong, *rows[at + 1 :]]


def undetected_corruptions(statistic: Exact | Among, rows: list[Row], experiment: str) -> list[int]:
    """Indices of rows whose corruption the exact rule does not notice: must be empty."""
    return [
        at
        for at in range(len(rows))
        if not failing_rows(statistic, corrupted(statistic, rows, at), experiment)
    ]
