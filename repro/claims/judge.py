"""The judge: a verdict for each claim from the evidence of a profile, and `reports/<profile>/verdicts.json`.

The unit is one (partition seed, poison or target class) pair. Within each cell of the grid the estimate is the mean
paired effect, over cells their plain mean; the interval is Student's t over the units' means at level 1 - 0.05 / m. A
table's figures are computed in the same way and not judged.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from repro.claims.catalogue import Beside, Claim, Part, load_claims
from repro.claims.comparisons import Among, Exact
from repro.claims.exactness import failing_rows, rows_of
from repro.claims.facts import ProfileFacts, profile_facts
from repro.claims.rules import Outcome, decide, turning
from repro.claims.sample import Sample, draw, left_out
from repro.claims.statistics import bootstrap_t_interval, t_interval
from repro.claims.verdicts import CellEstimate, Interval, PartVerdict, Verdict
from repro.errors import ReproError
from repro.files import write_json
from repro.harness.evidence.fingerprint import evidence_path
from repro.harness.evidence.table import Table, read_table


def judge(claim: Claim, tables: Mapping[str, Table], facts: ProfileFacts) -> Verdict:
    """Verdict on a claim from the tables (by experiment) of a profile; raises ReproError on incomplete evidence."""
    if claim.id in facts.not_applicable:
        return _unjudged(claim, "not applicable", facts.not_applicable[claim.id])
    if claim.pending is not None:
        return _unjudged(claim, "not measured", claim.pending)
    needed = claim.beside if claim.is_table else [part for part in claim.parts if _applies(part, facts)]
    unmeasured = _unmeasured(claim, needed, tables, facts)
    if unmeasured:
        return _unjudged(claim, "not measured", unmeasured)
    if claim.is_table:
        return _reported(claim, tables)
    judged = [_judge_part(claim, part, tables, facts) for part in claim.parts]
    shown = [_beside(claim, entry, tables) for entry in claim.beside]
    verdict = _combine([part.verdict for part in judged])
    deciding = next(part for part in judged if part.verdict == verdict)
    return Verdict(
        id=claim.id,
        verdict=verdict,
        estimate=deciding.estimate,
        interval=deciding.interval,
        level=claim.level,
        n=deciding.n,
        published=claim.published,
        parts=(*judged, *shown),
        reason=deciding.reason if len(judged) == 1 else f"{deciding.name}: {deciding.reason}",
    )


def _combine(verdicts: list[Outcome | None]) -> Outcome:
    """A compound claim's verdict: reproduced only if every applicable part is, contradicted if any is."""
    applicable = [verdict for verdict in verdicts if verdict != "not applicable"]
    if not applicable:
        return "not applicable"
    if "contradicted" in applicable:
        return "contradicted"
    return "reproduced" if all(verdict == "reproduced" for verdict in applicable) else "inconclusive"


def _unmeasured(
    claim: Claim, needed: Sequence[Part | Beside], tables: Mapping[str, Table], facts: ProfileFacts
) -> str | None:
    """What the claim needs and the profile does not measure, in words; None if it measures everything."""
    for experiment in dict.fromkeys(entry.experiment for entry in needed):
        if experiment not in facts.experiments:
            return f"profile {facts.name} does not run experiment {experiment}"
        if experiment not in tables:
            raise ReproError(f"{experiment}.csv: claim {claim.id}: no such evidence; `dvc repro` makes it")
    for entry in needed:
        if not isinstance(entry.statistic, Exact):
            missing = left_out(entry.statistic, tables[entry.experiment])
            if missing:
                return f"profile {facts.name} has no run of {entry.experiment} with {missing}"
    return None


def _reported(claim: Claim, tables: Mapping[str, Table]) -> Verdict:
    """A table's figures, all of which must be present."""
    figures = tuple(_shown(claim, entry, tables[entry.experiment]) for entry in claim.beside)
    reason = "the comparison is in the report; the paper asserts no direction"
    n = min(entry.n for entry in figures)
    if n < claim.units_needed:
        reason += f" (few units: {n}, where a verdict would need {claim.units_needed})"
    return _unjudged(claim, "reported", reason, n, figures)


def _unjudged(
    claim: Claim, verdict: Outcome, reason: str, n: int = 0, shown: tuple[PartVerdict, ...] = ()
) -> Verdict:
    return Verdict(
        id=claim.id,
        verdict=verdict,
        estimate=None,
        interval=None,
        level=claim.level,
        n=n,
        published=claim.published,
        parts=shown,
        reason=reason,
    )


def _applies(part: Part, facts: ProfileFacts) -> bool:
    if part.dataset is not None:
        return part.dataset == facts.paper_dataset
    return (not part.only_on or facts.dataset in part.only_on) and facts.dataset not in part.not_on


def _judge_part(claim: Claim, part: Part, tables: Mapping[str, Table], facts: ProfileFacts) -> PartVerdict:
    if not _applies(part, facts):
        reason = f"published for {part.dataset} and the paper's models, not those of profile {facts.name}"
        if part.dataset is None:
            of = (
                f"of {' and '.join(part.only_on)}"
                if part.only_on
                else f"of other data than {' and '.join(part.not_on)}"
            )
            reason = f"asserted {of}, and profile {facts.name} uses {facts.dataset}"
        return PartVerdict(
            name=part.name,
            kind=part.kind,
            verdict="not applicable",
            level=claim.level,
            margin=part.margin,
            reason=reason,
        )
    table = tables[part.experiment]
    if isinstance(part.statistic, Exact | Among):
        return _judge_exact(claim, part, part.statistic, table)
    figures = _figures(claim, part.name, draw(part.statistic, table, part.experiment), part)
    low, high = figures.interval or (math.nan, math.nan)
    if figures.n < claim.units_needed:
        reason = f"n too small: {figures.n} units, where {claim.units_needed} are needed"
        return figures.model_copy(update={"verdict": "inconclusive", "reason": reason})
    verdict, because = decide(part, low, high)
    reason = f"the {100 * claim.level:.2f} % interval [{low:.4f}, {high:.4f}] {because}"
    return figures.model_copy(
        update={"verdict": verdict, "reason": reason, "turning": turning(part, low, high)}
    )


def _figures(claim: Claim, name: str, sample: Sample, part: Part | None) -> PartVerdict:
    """Estimates and intervals of a sample; the verdict is the caller's."""
    effects = sample.effects
    units = effects.mean(axis=0)
    cells = [float(estimate) for estimate in effects.mean(axis=1)]

    def interval(level: float) -> Interval | None:
        if len(units) < 2:
            return None
        low, high = t_interval(units, level)
        return float(low), float(high)

    return PartVerdict(
        name=name,
        kind=part.kind if part else "beside",
        verdict=None,
        estimate=float(np.mean(cells)),
        interval=interval(claim.level),
        interval95=interval(0.95),
        bootstrap=bootstrap_t_interval(units, claim.level) if len(units) > 1 else None,
        level=claim.level,
        n=len(units),
        minimum=part.minimum if part else None,
        margin=part.margin if part else None,
        cells=tuple(
            CellEstimate(
                cell=cell,
                estimate=estimate,
                n=len(units),
                agrees=decide(part, estimate, estimate).verdict == "reproduced" if part else None,
            )
            for cell, estimate in zip(sample.cells, cells, strict=True)
        ),
    )


def _judge_exact(claim: Claim, part: Part, statistic: Exact | Among, table: Table) -> PartVerdict:
    rows = rows_of(statistic, table, part.experiment)
    failing = failing_rows(statistic, rows, part.experiment)
    if isinstance(statistic, Among) and len(rows) < statistic.least and not failing:
        return PartVerdict(
            name=part.name,
            kind="exact",
            verdict="inconclusive",
            level=claim.level,
            n=len(rows),
            reason=f"n too small: {len(rows)} rows, where {statistic.least} are needed",
        )
    reason = f"all {len(rows)} rows hold"
    if failing:
        reason = f"{len(failing)} of {len(rows)} rows do not hold; the first: {failing[0]}"
    return PartVerdict(
        name=part.name,
        kind="exact",
        verdict="contradicted" if failing else "reproduced",
        estimate=1 - len(failing) / len(rows),
        level=claim.level,
        n=len(rows),
        reason=reason,
    )


def _beside(claim: Claim, entry: Beside, tables: Mapping[str, Table]) -> PartVerdict:
    """A figure shown beside the parts; if the evidence lacks it, the figure says so and no verdict is blocked."""
    try:
        if entry.experiment not in tables:
            raise ReproError(f"{entry.experiment}.csv: no such evidence")
        return _shown(claim, entry, tables[entry.experiment])
    except ReproError as error:
        return PartVerdict(
            name=entry.name, kind="beside", verdict=None, level=claim.level, reason=f"no figure: {error}"
        )


def _shown(claim: Claim, entry: Beside, table: Table) -> PartVerdict:
    figures = _figures(claim, entry.name, draw(entry.statistic, table, entry.experiment), None)
    where = "a figure of the table" if claim.is_table else "shown beside the claim"
    return figures.model_copy(update={"reason": f"{where}, not judged"})


def verdicts_path(root: Path, profile_name: str) -> Path:
    """Path of a profile's verdicts."""
    return root / "reports" / profile_name / "verdicts.json"


def read_tables(root: Path, facts: ProfileFacts, claims: Mapping[str, Claim]) -> dict[str, Table]:
    """The tables of the profile's experiments that the claims read; a missing one is an error."""
    wanted = {experiment for claim in claims.values() for experiment in claim.experiments}
    return {
        experiment: read_table(evidence_path(root, facts.name, experiment))
        for experiment in sorted(wanted & facts.experiments)
    }


def judge_profile(root: Path, profile_name: str) -> list[Verdict]:
    """Verdicts on all claims that a profile is about from its committed evidence, in the catalogue's order."""
    facts = profile_facts(root, profile_name)
    claims = facts.among(load_claims())
    tables = read_tables(root, facts, claims)
    return [judge(claim, tables, facts) for claim in claims.values()]


def write_verdicts(root: Path, profile_name: str) -> list[Verdict]:
    """Judge a profile and write its verdicts.json in one step; returns the verdicts."""
    verdicts = judge_profile(root, profile_name)
    write_json(verdicts_path(root, profile_name), [verdict.model_dump(mode="json") for verdict in verdicts])
    return verdicts
