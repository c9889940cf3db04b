"""Every judged claim has a negative control that is rarely reproduced, and a planted effect that always is.

A table has neither, as it asserts nothing: that it fails without its figures is in `test_tables.py`.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from synthetic_evidence import LEVELS, applicable, evidence, facts_for, matching, settings

from repro.claims import controls
from repro.claims.catalogue import Claim, Part, load_claims
from repro.claims.comparisons import Among, Constant, Exact
from repro.claims.exactness import rows_of
from repro.claims.facts import profile_facts
from repro.claims.judge import judge
from repro.claims.sample import draw, left_out
from repro.harness.evidence.fingerprint import evidence_path
from repro.harness.evidence.table import Row, Table, read_table, table

ROOT = Path(__file__).resolve().parents[2]
REPETITIONS = 1000
CLAIMS = load_claims()
JUDGED = {claim_id: claim for claim_id, claim in CLAIMS.items() if not claim.is_table}
PARTS = [(c, p.name) for c in JUDGED for p in JUDGED[c].parts if p.kind != "level"]


@cache
def committed() -> list[tuple[str, str, str]]:
    """(profile, claim, part) of all committed evidence."""
    found = []
    for expected in sorted((ROOT / "claims" / "expected").glob("*.yaml")):
        facts = profile_facts(ROOT, expected.stem)
        found += [
            (expected.stem, claim_id, part.name)
            for claim_id in JUDGED.keys() - facts.not_applicable.keys()
            for part in applicable(CLAIMS[claim_id], facts.dataset)
            if part.kind != "level" and is_there(expected.stem, part)
        ]
    return sorted(found)


def is_there(profile: str, part: Part) -> bool:
    rows = table_of(profile, part.experiment)
    if rows is None or not len(rows):
        return False
    return isinstance(part.statistic, Exact | Among) or left_out(part.statistic, rows) is None


@cache
def table_of(profile: str, experiment: str) -> Table | None:
    """A committed table, read once for all tests (no test changes it); None if there is no such table."""
    path = evidence_path(ROOT, profile, experiment)
    return read_table(path) if path.is_file() else None


def part_of(claim_id: str, name: str) -> tuple[Claim, Part]:
    claim = CLAIMS[claim_id]
    return claim, next(part for part in claim.parts if part.name == name)


def assert_control_holds(claim: Claim, part: Part, rows: table) -> None:
    if isinstance(part.statistic, Exact | Among):
        listed = rows_of(part.statistic, rows, part.experiment)
        assert listed
        assert controls.undetected_corruptions(part.statistic, listed, part.experiment) == []
        return
    drawn = [(part, draw(part.statistic, rows, part.experiment))]
    reproduced = controls.reproductions(claim, drawn, REPETITIONS, np.random.default_rng(7))
    assert reproduced <= controls.allowed(REPETITIONS, claim.level)


@pytest.mark.parametrize(("claim_id", "name"), PARTS)
def test_negative_control_on_made_up_evidence(claim_id: str, name: str) -> None:
    claim, part = part_of(claim_id, name)
    dataset = next(iter(part.only_on), None)
    assert_control_holds(claim, part, evidence(claim, dataset=dataset)[part.experiment])


@pytest.mark.parametrize(("claim_id", "dataset"), settings())
def test_negative_control_of_the_whole_claim(claim_id: str, dataset: str | None) -> None:
    claim = CLAIMS[claim_id]
    tables = evidence(claim, dataset=dataset)
    drawn = [
        (part, draw(part.statistic, tables[part.experiment], part.experiment))
        for part in applicable(claim, dataset)
        if part.kind != "exact"
    ]
    if not drawn:
        pytest.skip("exact parts alone")
    reproduced = controls.reproductions(claim, drawn, REPETITIONS, np.random.default_rng(11))
    assert reproduced <= controls.allowed(REPETITIONS, claim.level)


@pytest.mark.parametrize(("profile", "claim_id", "name"), committed())
def test_negative_control_on_committed_evidence(profile: str, claim_id: str, name: str) -> None:
    claim, part = part_of(claim_id, name)
    rows = table_of(profile, part.experiment)
    assert_control_holds(claim, part, rows)


@pytest.mark.parametrize(("profile", "claim_id", "name"), committed())
def test_effect_planted_in_committed_evidence_is_reproduced(profile: str, claim_id: str, name: str) -> None:
    claim, part = part_of(claim_id, name)
    if isinstance(part.statistic, Exact | Among):
        pytest.skip("an exact claim has no effect to plant")
    sample = draw(part.statistic, table_of(profile, part.experiment), part.experiment)
    assert controls.outcomes(claim, part, controls.planted_units(claim, part, sample)) == ["reproduced"]


@pytest.mark.parametrize(("claim_id", "dataset"), settings())
def test_planted_effect_is_reproduced_by_the_judge(claim_id: str, dataset: str | None) -> None:
    claim = CLAIMS[claim_id]
    verdict = judge(claim, evidence(claim, seed=3, dataset=dataset), facts_for(claim, dataset))
    assert verdict.verdict == "reproduced", verdict.reason


def spoilt(part: Part, rows: list[Row], generator: np.random.Generator) -> list[Row]:
    """The control on a table's rows, by hand and for one part: values swapped, reflected, or a margin added."""
    statistic = part.statistic
    if isinstance(statistic, Exact):
        return controls.corrupted(statistic, rows, int(generator.integers(len(rows))))
    rows = [dict(row) for row in rows]
    if isinstance(statistic, Among):
        generator.choice(matching(rows, statistic.where))[statistic.metric] = 0.5
        return rows
    if part.kind in ("equal", "no loss"):
        condition = getattr(statistic, "treatment", {})
        # Another part may have planted a gain in the same rows: that is taken back as well.
        gain = max(0.0, float(draw(statistic, table(rows), part.experiment).effects.mean()))
        for row in matching(rows, statistic.where | condition):
            if statistic.kind != "halves" or row[statistic.factor] < LEVELS // 2:
                row[statistic.metric] -= part.margin + gain
        return rows
    if isinstance(statistic, Constant):
        for unit in sorted({str(row["unit"]) for row in rows if generator.random() < 0.5}):
            for row in matching(rows, statistic.where | {"unit": unit}):
                row[statistic.metric] = 2 * statistic.value - row[statistic.metric]
        return rows
    if statistic.kind == "gap":
        for row in matching(rows, statistic.where):
            if generator.random() < 0.5:
                row.update({statistic.metric: row[statistic.minus], statistic.minus: row[statistic.metric]})
        return rows
    if statistic.kind == "halves":
        of_unit = {row["unit"]: row[statistic.factor] for row in rows}
        levels = dict(zip(of_unit, generator.permutation(list(of_unit.values())).tolist(), strict=True))
        return [row | {statistic.factor: levels[row["unit"]]} for row in rows]
    compared = matching(rows, statistic.where)
    if statistic.kind != "range":
        compared = matching(compared, statistic.treatment) + matching(compared, statistic.baseline)
    groups: dict[tuple, list[Row]] = {}
    for row in compared:
        groups.setdefault((row["unit"], *(row[c] for c in statistic.cells)), []).append(row)
    for group in groups.values():
        for metric in filter(None, (statistic.metric, statistic.minus)):
            values = generator.permutation([row[metric] for row in group]).tolist()
            for row, value in zip(group, values, strict=True):
                row[metric] = value
    return rows


@pytest.mark.parametrize(("claim_id", "name"), PARTS)
def test_spoiling_the_rows_of_one_part_takes_the_claim_down(claim_id: str, name: str) -> None:
    claim, part = part_of(claim_id, name)
    dataset = next(iter(part.only_on), None)
    tables = evidence(claim, seed=5, dataset=dataset)
    for seed in range(3):
        rows = spoilt(part, list(tables[part.experiment]), np.random.default_rng(seed))
        verdict = judge(claim, tables | {part.experiment: table(rows)}, facts_for(claim, dataset))
        assert verdict.verdict != "reproduced"
        spoiled = next(judged for judged in verdict.parts if judged.name == name)
        assert spoiled.verdict != "reproduced"


@pytest.mark.parametrize(("claim_id", "name"), PARTS)
def test_control_would_notice_an_overeager_rule(claim_id: str, name: str) -> None:
    claim, part = part_of(claim_id, name)
    if isinstance(part.statistic, Exact | Among):
        pytest.skip("an exact claim has no interval")
    dataset = next(iter(part.only_on), None)
    drawn = draw(part.statistic, evidence(claim, dataset=dataset)[part.experiment], part.experiment)
    eager = part.model_copy(update={"minimum": 1e-9} if part.kind == "direction" else {})
    careless = claim.model_copy(update={"inventory": 0.05 / 0.7})
    reproduced = controls.reproductions(careless, [(eager, drawn)], REPETITIONS, np.random.default_rng(7))
    assert reproduced > controls.allowed(REPETITIONS, claim.level)


def test_permutation_keeps_each_unit_and_loses_the_effect() -> None:
    claim, part = part_of("truong-09", CLAIMS["truong-09"].parts[0].name)
    sample = draw(part.statistic, evidence(claim)[part.experiment], part.experiment)
    units = controls.null_units(part, sample, 2000, np.random.default_rng(0))
    effects = sample.effects.mean(axis=0)
    np.testing.assert_allclose(np.abs(units), np.broadcast_to(np.abs(effects), units.shape), atol=1e-12)
    assert abs(units.mean()) < 0.05 * abs(effects.mean())


def test_chance_allows_few_reproductions() -> None:
    assert controls.allowed(1000, 1 - 0.05 / 25) == 8
    assert controls.allowed(1000, 0.95) > 25


def test_control_sees_an_effect_that_depends_on_one_condition_only() -> None:
    claim, part = part_of("truong-12", "ASR under SNNL against none")
    sample = draw(part.statistic, evidence(claim)[part.experiment], part.experiment)
    taken = sample.reduction.taken
    lifted = replace(sample, values=sample.values - 0.3 * (np.arange(sample.values.shape[-1]) < taken))
    assert controls.outcomes(claim, part, lifted.effects.mean(axis=0)) == ["reproduced"]
    assert controls.outcomes(claim, part, -lifted.effects.mean(axis=0)) == ["contradicted"]
