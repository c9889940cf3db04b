"""Claims that are tables: reported only with every one of their figures, and never a verdict for or against."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from synthetic_evidence import evidence, facts_for, matching

from repro.claims import explain as explaining
from repro.claims import gate as gating
from repro.claims import judge as judging
from repro.claims.catalogue import Beside, Claim, Part, load_claims
from repro.claims.explain import explain
from repro.claims.facts import ProfileFacts
from repro.claims.gate import Expected, Gate
from repro.claims.judge import judge, write_verdicts
from repro.claims.rules import Outcome
from repro.claims.verdicts import Verdict
from repro.errors import ReproError
from repro.harness.evidence.table import Row, Table, read_table, table, write_table

CLAIMS = load_claims()
FEW = 12  # units: so many that a level of six is in both halves of them
RETRAINING, SOURCES = CLAIMS["truong-09"].parts[0], CLAIMS["truong-25"].parts[0]


def entry_of(part: Part) -> Beside:
    return Beside(name=part.name, experiment=part.experiment, statistic=part.statistic)


def made_up(**changes: object) -> Claim:
    """A table of two figures from two experiments."""
    fields = CLAIMS["truong-25"].model_dump() | {
        "kind": "table",
        "parts": (),
        "beside": [entry_of(part).model_dump() for part in (RETRAINING, SOURCES)],
    }
    return Claim.model_validate(fields | changes)


TABLE = made_up()
TABLES = [TABLE, *(claim for claim in CLAIMS.values() if claim.is_table and claim.beside)]
each_table = pytest.mark.parametrize("claim", TABLES, ids=[f"{c.kind}-{c.id}" for c in TABLES])


def wanted_rows(entry: Beside, rows: list[Row]) -> list[Row]:
    """Rows that the entry's treatment (or all of what it looks at) reads."""
    return matching(rows, entry.statistic.where | getattr(entry.statistic, "treatment", {}))


@each_table
def test_with_all_its_figures_it_is_reported_and_nothing_is_judged(claim: Claim) -> None:
    verdict = judge(claim, evidence(claim), facts_for(claim))
    assert verdict.verdict == "reported"
    assert verdict.reason == "the comparison is in the report; the paper asserts no direction"
    assert (verdict.estimate, verdict.interval) == (None, None)
    assert [part.name for part in verdict.parts] == [entry.name for entry in claim.beside]
    assert {(part.kind, part.verdict, part.turning) for part in verdict.parts} == {("beside", None, None)}
    assert {cell.agrees for part in verdict.parts for cell in part.cells} == {None}


def test_its_figures_are_those_that_a_judged_claim_would_have() -> None:
    judged_claim = TABLE.model_copy(
        update={"kind": "direction", "parts": (RETRAINING, SOURCES), "beside": ()}
    )
    tables = evidence(TABLE, seed=3)
    reported, judged = (judge(c, tables, facts_for(c)) for c in (TABLE, judged_claim))
    for figure, part in zip(reported.parts, judged.parts, strict=True):
        for field in ("estimate", "interval", "interval95", "bootstrap", "level", "n"):
            assert getattr(figure, field) == getattr(part, field)
            assert getattr(figure, field) is not None
        assert [c.estimate for c in figure.cells] == [c.estimate for c in part.cells]


@each_table
def test_no_evidence_however_it_comes_out_is_for_or_against(claim: Claim) -> None:
    measured = {getattr(e.statistic, field, None) for e in claim.beside for field in ("metric", "minus")}
    for sign in (-1, 1):
        tables = {
            name: table(
                {c: sign * 9 * v if c in measured and v is not None else v for c, v in row.items()}
                for row in rows
            )
            for name, rows in evidence(claim, units=FEW).items()
        }
        assert judge(claim, tables, facts_for(claim)).verdict == "reported"


def test_n_is_the_smallest_of_its_figures_and_few_units_are_said() -> None:
    tables = evidence(TABLE) | {"sources": evidence(TABLE, units=29)["sources"]}
    verdict = judge(TABLE, tables, facts_for(TABLE))
    assert (verdict.verdict, verdict.n) == ("reported", 29)
    assert [part.n for part in verdict.parts] == [30, 29]
    assert verdict.reason.endswith("no direction (few units: 29, where a verdict would need 30)")
    one = judge(TABLE, evidence(TABLE, units=1), facts_for(TABLE))
    assert (one.verdict, one.n, one.parts[0].interval) == ("reported", 1, None)


@given(st.data())
@hypothesis_settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_missing_row_of_any_figure_is_refused(data: st.DataObject) -> None:
    claim = TABLE
    tables = evidence(claim, units=3)
    entry = data.draw(st.sampled_from(claim.beside))
    rows = list(tables[entry.experiment])
    rows.remove(data.draw(st.sampled_from(wanted_rows(entry, rows))))
    with pytest.raises(
        ReproError, match=rf"^{entry.experiment}\.csv: incomplete evidence: unit u00\d, cell "
    ):
        judge(claim, tables | {entry.experiment: table(rows)}, facts_for(claim))


@each_table
def test_a_figure_that_is_no_number_is_refused(claim: Claim) -> None:
    tables = evidence(claim, units=FEW)
    for entry in claim.beside:
        rows = [dict(row) for row in tables[entry.experiment]]
        wanted_rows(entry, rows)[0][entry.statistic.metric] = None
        with pytest.raises(ReproError, match=rf"{entry.statistic.metric} is empty, not a finite number$"):
            judge(claim, tables | {entry.experiment: table(rows)}, facts_for(claim))


@each_table
def test_a_figure_of_a_missing_column_is_refused(claim: Claim) -> None:
    tables = evidence(claim, units=FEW)
    for entry in claim.beside:
        rows = [
            {c: v for c, v in row.items() if c != entry.statistic.metric} for row in tables[entry.experiment]
        ]
        with pytest.raises(ReproError, match=r"incomplete evidence: no column '"):
            judge(claim, tables | {entry.experiment: table(rows)}, facts_for(claim))


@each_table
def test_evidence_that_ought_to_be_there_is_missed(claim: Claim) -> None:
    for experiment in claim.experiments:
        tables = {name: rows for name, rows in evidence(claim, units=FEW).items() if name != experiment}
        with pytest.raises(
            ReproError, match=rf"^{experiment}\.csv: claim {claim.id}: no such evidence; `dvc"
        ):
            judge(claim, tables, facts_for(claim))


@each_table
def test_an_experiment_that_the_profile_does_not_run_leaves_it_unmeasured(claim: Claim) -> None:
    for experiment in claim.experiments:
        facts = ProfileFacts("small", frozenset({*claim.experiments, "tuning"} - {experiment}))
        verdict = judge(claim, evidence(claim, units=FEW), facts)
        assert_unmeasured(verdict, f"profile small does not run experiment {experiment}")


def assert_unmeasured(verdict: Verdict, reason: str) -> None:
    assert (verdict.verdict, verdict.reason) == ("not measured", reason)
    assert (verdict.estimate, verdict.interval, verdict.n, verdict.parts) == (None, None, 0, ())


def test_a_condition_outside_the_grid_leaves_it_unmeasured() -> None:
    tables = evidence(TABLE, units=FEW)
    kept = [row for row in tables["sources"] if row["sources"] != "many-to-one"]
    verdict = judge(TABLE, tables | {"sources": table(kept)}, facts_for(TABLE))
    reason = "profile made-up has no run of sources with sources many-to-one"
    assert_unmeasured(verdict, reason)


def test_pending_and_not_applicable_are_as_for_other_claims() -> None:
    pending = made_up(beside=(), pending="some experiment")
    assert_unmeasured(judge(pending, {}, facts_for(pending)), "some experiment")
    facts = ProfileFacts("small", frozenset(TABLE.experiments), not_applicable={TABLE.id: "why"})
    assert judge(TABLE, evidence(TABLE), facts).verdict == "not applicable"


@pytest.fixture
def stale() -> dict[str, str]:
    """Which experiments are stale and why."""
    return {}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stale: dict[str, str]) -> Path:
    """A project of the one table, expected to be reported, whose gate passes."""
    facts = ProfileFacts("digits", frozenset(TABLE.experiments))
    for module in (judging, explaining, gating):
        monkeypatch.setattr(module, "profile_facts", lambda root, name: facts)
    for module in (judging, gating):
        monkeypatch.setattr(module, "load_claims", lambda: {TABLE.id: TABLE})
    for module in (explaining, gating):
        monkeypatch.setattr(module, "staleness", lambda root, profile, experiment: stale.get(experiment))
    monkeypatch.setattr(explaining, "load_claim", lambda claim_id: TABLE)
    for experiment, content in evidence(TABLE).items():
        write_table(csv(tmp_path, experiment), content)
    expected = tmp_path / "claims" / "expected" / "digits.yaml"
    expected.parent.mkdir(parents=True)
    expected.write_text(f"{TABLE.id}: {{verdict: reported}}\n", encoding="utf-8")
    write_verdicts(tmp_path, "digits")
    return tmp_path


def csv(root: Path, experiment: str) -> Path:
    return root / "reports" / "digits" / "evidence" / f"{experiment}.csv"


def gate_says(root: Path) -> str | None:
    return Gate(root, "digits").failure(TABLE.id)


def test_the_gate_passes_a_reported_table_without_a_reason(project: Path) -> None:
    assert gate_says(project) is None


@pytest.mark.parametrize("outcome", ["contradicted", "inconclusive", "not applicable", "not measured"])
def test_every_other_verdict_still_needs_a_reason(outcome: Outcome) -> None:
    assert Expected(verdict="reported").reason is None
    with pytest.raises(ValueError, match="needs a reason"):
        Expected(verdict=outcome)


def test_the_gate_fails_on_stale_missing_and_incomplete_evidence(
    project: Path, stale: dict[str, str]
) -> None:
    stale["sources"] = "sources.csv is stale: code changed"
    assert gate_says(project) == "sources.csv is stale: code changed"
    stale.clear()
    rows = list(read_table(csv(project, "sources")))
    write_table(csv(project, "sources"), table(rows[1:]))
    assert "sources.csv: incomplete evidence: unit u000" in str(gate_says(project))
    csv(project, "sources").unlink()
    assert gate_says(project) == f"{csv(project, 'sources')}: no such evidence; `dvc repro` makes it"


def test_the_gate_fails_when_it_is_no_longer_measured(project: Path) -> None:
    kept: Table = table(r for r in read_table(csv(project, "sources")) if r["sources"] != "many-to-one")
    write_table(csv(project, "sources"), kept)
    says = str(gate_says(project))
    assert says.startswith(
        f"{TABLE.id} in profile digits is not measured, expected reported: profile digits has"
    )


def move(entry: dict) -> None:
    entry["parts"][1]["estimate"] += 0.001


def widen(entry: dict) -> None:
    entry["parts"][0]["interval"][1] += 0.001


def add_units(entry: dict) -> None:
    entry["parts"][1]["n"] += 1


def rename(entry: dict) -> None:
    entry["parts"][0]["name"] = "another"


def drop(entry: dict) -> None:
    del entry["parts"][1]


def lose(entry: dict) -> None:
    del entry["parts"]


def garble(entry: dict) -> None:
    entry["parts"] = [1, 2]


@pytest.mark.parametrize("change", [move, widen, add_units, rename, drop, lose, garble])
def test_the_gate_compares_the_committed_figures(project: Path, change: Callable[[dict], None]) -> None:
    path = project / "reports" / "digits" / "verdicts.json"
    listed = json.loads(path.read_text(encoding="utf-8"))
    change(listed[0])
    path.write_text(json.dumps(listed), encoding="utf-8")
    assert gate_says(project) == (
        f"{path}: {TABLE.id}: its figures are not those that the evidence gives; `dvc repro` writes them anew"
    )


def test_the_gate_forgives_another_processors_rounding(project: Path) -> None:
    path = project / "reports" / "digits" / "verdicts.json"
    listed = json.loads(path.read_text(encoding="utf-8"))
    listed[0]["parts"][1]["estimate"] *= 1 + 1e-12
    path.write_text(json.dumps(listed), encoding="utf-8")
    assert gate_says(project) is None


def test_explain_shows_every_figure_and_judges_none(project: Path) -> None:
    lines = explain(project, "digits", TABLE.id).splitlines()
    figures = write_verdicts(project, "digits")[0].parts
    assert (
        "verdict in profile digits: reported (the comparison is in the report; the paper asserts no direction)"
    ) in lines
    assert f"  in truong2020, {TABLE.where}; table" in lines
    for figure in figures:
        assert f"{figure.name}: not judged" in lines
        assert f"  estimate {figure.estimate:+.4f}" in lines
    assert not any("turns" in line or "agree" in line for line in lines)
