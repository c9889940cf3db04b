"""The judge: estimates against plain loops, refusals, the outcomes that are not verdicts, and the contract."""

import json
import random
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy import stats
from synthetic_evidence import applicable, evidence, facts_for, matching

from repro.claims import explain as explaining
from repro.claims import judge as judging
from repro.claims.catalogue import Claim, Part, load_claims
from repro.claims.explain import explain
from repro.claims.facts import ProfileFacts
from repro.claims.judge import Verdict, judge, write_verdicts
from repro.errors import ReproError
from repro.harness.evidence.table import Row, table, write_table

CLAIMS = load_claims()
ON_INTERVALS = [c for c in CLAIMS.values() if not c.is_table and c.parts and c.parts[0].kind != "exact"]
SOMEWHERE = [(claim, next(iter(part.only_on), None)) for claim in ON_INTERVALS for part in claim.parts[:1]]
RETRAINING, EQUALITY, GAP = CLAIMS["truong-09"], CLAIMS["truong-06"], CLAIMS["truong-07"]


def plain(claim: Claim, **changes: object) -> Claim:
    return claim.model_copy(update=changes)


def rows_of(claim: Claim, **options: object) -> list[Row]:
    """Of the experiment that the claim is judged on; others stand behind figures beside it."""
    return list(evidence(claim, **options)[claim.experiments[0]])


def verdict_on(claim: Claim, rows: list[Row], dataset: str | None = None) -> Verdict:
    return judge(claim, {claim.experiments[0]: table(rows)}, facts_for(claim, dataset))


def change(rows: list[Row], at: int, **cells: object) -> list[Row]:
    return [*rows[:at], rows[at] | cells, *rows[at + 1 :]]


def slow_estimate(part: Part, rows: list[Row]) -> tuple[float, list[float]]:
    """Mean over cells of the mean paired effect, and the units' means, by loops over rows."""
    statistic = part.statistic
    units = sorted({str(r["unit"]) for r in rows})
    chosen, measured = units[: len(units) // 2], units[len(units) // 2 :]

    def value(wanted: dict, metric: str = statistic.metric) -> float:
        minus = statistic.minus if metric == statistic.metric else None
        found = [r[metric] - (r[minus] if minus else 0) for r in matching(rows, wanted)]
        return sum(found) / len(found)

    def deviation(within: dict, condition: dict) -> float:
        """Mean over the condition's listed values of the distance from the median over units."""
        ((column, listed),) = condition.items()
        distances = []
        for level in listed if isinstance(listed, list) else [listed]:
            among = [value(within | {"unit": u, column: level}) for u in units]
            distances.append(abs(value(within | {column: level}) - statistics.median(among)))
        return sum(distances) / len(distances)

    def ends(within: dict) -> tuple[dict, dict]:
        levels = sorted({str(r[statistic.factor]) for r in rows})
        metric = statistic.by or statistic.metric
        ranked = sorted(levels, key=lambda v: value(within | {"unit": chosen, statistic.factor: v}, metric))
        return {statistic.factor: ranked[-1]}, {statistic.factor: ranked[0]}

    def weighed(within: dict, unit: str) -> float:
        levels = sorted({r[statistic.factor] for r in rows})
        ranked = sorted(levels, key=lambda v: value(within | {"unit": chosen, statistic.factor: v}))
        higher = ranked[(len(levels) + 1) // 2 :]
        of_unit = {r["unit"]: r[statistic.factor] for r in rows}
        count = sum(of_unit[u] in higher for u in measured)
        share = (count if of_unit[unit] in higher else count - len(measured)) / len(measured)
        return (value(within | {"unit": unit}) - value(within | {"unit": chosen})) / share

    effects: dict[str, list[float]] = {}
    for unit in measured if statistic.kind in ("range", "halves") else units:
        for cell in sorted({tuple(r[c] for c in statistic.cells) for r in matching(rows, statistic.where)}):
            within = statistic.where | dict(zip(statistic.cells, cell, strict=True))
            here = within | {"unit": unit}
            if statistic.kind == "contrast":
                effect = value(here | statistic.treatment) - value(here | statistic.baseline)
            elif statistic.kind == "spread":
                effect = deviation(here, statistic.treatment) - deviation(here, statistic.baseline)
            elif statistic.kind == "range":
                high, low = ends(within)
                effect = value(here | high) - value(here | low)
            elif statistic.kind == "halves":
                effect = weighed(within, unit)
            else:
                effect = value(here) - (statistic.value if statistic.kind == "constant" else 0)
            effects.setdefault(unit, []).append(effect)
    means = [sum(listed) / len(listed) for listed in effects.values()]
    cells = [sum(column) / len(column) for column in zip(*effects.values(), strict=True)]
    return sum(cells) / len(cells), means


@pytest.mark.parametrize(("claim", "dataset"), SOMEWHERE, ids=lambda value: getattr(value, "id", value))
def test_estimate_and_interval_equal_those_of_plain_loops(claim: Claim, dataset: str | None) -> None:
    rows = rows_of(claim, seed=2, dataset=dataset)
    parts = {part.name: part for part in applicable(claim, dataset) if part.kind != "level"}
    judged = [part for part in verdict_on(claim, rows, dataset).parts if part.name in parts]
    assert len(judged) == len(parts) > 0
    for part in judged:
        estimate, units = slow_estimate(parts[part.name], rows)
        scipys = stats.ttest_1samp(units, 0)
        assert part.estimate == pytest.approx(estimate, abs=1e-12)
        assert part.interval == pytest.approx(scipys.confidence_interval(claim.level), abs=1e-10)
        assert part.interval95 == pytest.approx(scipys.confidence_interval(0.95), abs=1e-10)
        assert part.n == len(units) >= claim.units_needed
        assert part.estimate == pytest.approx(np.mean([cell.estimate for cell in part.cells]))


@given(st.randoms(use_true_random=False), st.sampled_from([c for c, dataset in SOMEWHERE if not dataset]))
@hypothesis_settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_order_of_rows_does_not_matter(order: random.Random, claim: Claim) -> None:
    rows = rows_of(claim, seed=4)
    shuffled = list(rows)
    order.shuffle(shuffled)
    assert verdict_on(claim, rows) == verdict_on(claim, shuffled)


@given(st.integers(0, 10**6))
@hypothesis_settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_claiming_the_other_side_of_mirrored_values_gives_the_same_verdict(seed: int) -> None:
    claim = CLAIMS["truong-13"]
    rows = rows_of(claim, seed=seed, planted=seed % 2 == 0)
    mirrored = [row | {"asr": -row["asr"]} for row in rows]
    higher = plain(claim, parts=tuple(p.model_copy(update={"side": "higher"}) for p in claim.parts))
    one, other = verdict_on(claim, rows), verdict_on(higher, mirrored)
    assert one.verdict == other.verdict
    assert one.estimate == pytest.approx(-other.estimate)
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))
    assert [part.turning for part in one.parts] == pytest.approx([part.turning for part in other.parts])


def test_no_effect_is_contradicted_and_a_reversed_one_too() -> None:
    claim = CLAIMS["truong-13"]
    assert verdict_on(claim, rows_of(claim, planted=False)).verdict == "contradicted"
    swapped = {"none": "contrastive", "contrastive": "none", "logit_squeezing": "logit_squeezing"}
    rows = [row | {"regulariser": swapped[str(row["regulariser"])]} for row in rows_of(claim)]
    verdict = verdict_on(claim, rows)
    assert verdict.verdict == "contradicted"
    assert verdict.reason.startswith("contrastive loss against none: the 99.80 % interval [")
    assert verdict.reason.endswith("lies wholly on the other side of zero")
    assert verdict.estimate == verdict.parts[0].estimate > 0.15


def test_a_compound_claim_needs_all_its_parts() -> None:
    rows = rows_of(EQUALITY)
    assert verdict_on(EQUALITY, rows).verdict == "reproduced"
    sines = [
        row | {"clean_accuracy": row["clean_accuracy"] + 0.2 * (row["trigger"] == "sine")} for row in rows
    ]
    verdict = verdict_on(EQUALITY, sines)
    assert verdict.verdict == "contradicted"
    assert [part.verdict for part in verdict.parts].count("contradicted") == 4
    nearly = [
        row | {"clean_accuracy": row["clean_accuracy"] + 0.03 * (row["trigger"] == "sine")} for row in rows
    ]
    verdict = verdict_on(EQUALITY, nearly)
    assert [part.verdict for part in verdict.parts] == [
        "reproduced",
        "reproduced",
        "inconclusive",
        "reproduced",
    ]
    assert verdict.verdict == "inconclusive"
    assert verdict.reason.startswith("sine against the others: ")


def test_cells_are_listed_and_say_which_agree() -> None:
    rows = [
        row | {"asr": row["asr"] + 0.5 * (row["architecture"] == "second" and row["phase"] == "retrained")}
        for row in rows_of(RETRAINING)
    ]
    claim = plain(RETRAINING, parts=RETRAINING.parts[:1])
    (part,) = verdict_on(claim, rows).parts[:1]
    names = {row["architecture"] for row in rows}
    assert all(cell.agrees is True for cell in part.cells if "second" not in cell.cell)
    assert {cell.cell.split(",")[0].removeprefix("architecture ") for cell in part.cells} == names


def test_published_levels_apply_only_where_the_papers_data_and_models_are_used() -> None:
    tables = evidence(RETRAINING, dataset="flowers")
    here = judge(RETRAINING, tables, facts_for(RETRAINING))
    levels = [part for part in here.parts if part.kind == "level"]
    assert {part.verdict for part in levels} == {"not applicable"}
    assert levels[0].reason == "published for flowers and the paper's models, not those of profile made-up"
    assert here.verdict == "reproduced"
    there = judge(RETRAINING, tables, facts_for(RETRAINING, "flowers"))
    applied = [part for part in there.parts if part.kind == "level" and part.verdict == "reproduced"]
    assert [part.name for part in applied] == [
        "ResNet-50, square, Flowers, before",
        "ResNet-50, square, Flowers, after",
    ]
    assert applied[0].estimate == pytest.approx(0.75)
    only_levels = plain(RETRAINING, parts=RETRAINING.parts[1:])
    assert judge(only_levels, tables, facts_for(RETRAINING)).verdict == "not applicable"


def test_too_few_units_are_their_own_reason() -> None:
    verdict = verdict_on(RETRAINING, rows_of(RETRAINING, units=59))
    assert verdict.verdict == "inconclusive"
    assert verdict.reason == "ASR after retraining against before: n too small: 59 units, where 60 are needed"
    assert verdict.estimate < -0.1
    assert verdict.parts[0].turning is None
    one = verdict_on(GAP, rows_of(GAP, units=1))
    assert (one.verdict, one.interval, one.n) == ("inconclusive", None, 1)
    assert verdict_on(GAP, rows_of(GAP, units=29)).verdict == "inconclusive"
    assert verdict_on(GAP, rows_of(GAP, units=30)).verdict == "reproduced"


def test_units_without_any_spread_are_judged() -> None:
    rows = [row | {"poisoned_accuracy": 0.95, "clean_accuracy": 0.95} for row in rows_of(GAP)]
    verdict = verdict_on(GAP, rows)
    assert (verdict.verdict, verdict.interval) == ("reproduced", (0.0, 0.0))
    rows = [row | {"poisoned_accuracy": 0.5} for row in rows]
    assert verdict_on(GAP, rows).verdict == "contradicted"


@given(st.data())
@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_missing_row_is_refused_by_unit_and_cell(data: st.DataObject) -> None:
    rows = rows_of(EQUALITY, units=5)
    gone = rows.pop(data.draw(st.integers(0, len(rows) - 1)))
    with pytest.raises(ReproError) as caught:
        verdict_on(EQUALITY, rows)
    assert str(caught.value) == (
        f"trigger_by_model.csv: incomplete evidence: unit {gone['unit']}, cell architecture {gone['architecture']} "
        f"has no row with phase poisoned, trigger {gone['trigger']}"
    )


def test_what_the_profile_leaves_out_altogether_is_not_measured() -> None:
    verdict = verdict_on(GAP, [row | {"phase": "retrained"} for row in rows_of(GAP)])
    assert verdict.verdict == "not measured"
    assert verdict.reason.endswith("has no run of trigger_by_model with phase poisoned")


def test_a_missing_column_is_refused() -> None:
    rows = rows_of(GAP)
    with pytest.raises(
        ReproError, match=r"^trigger_by_model.csv: incomplete evidence: no column 'clean_accuracy'$"
    ):
        verdict_on(GAP, [{c: v for c, v in row.items() if c != "clean_accuracy"} for row in rows])


def test_two_rows_for_one_place_are_refused() -> None:
    rows = rows_of(GAP)
    with pytest.raises(
        ReproError, match=r"ambiguous evidence: unit u000, cell .*two rows with phase poisoned; name"
    ):
        verdict_on(GAP, [*rows, rows[0]])


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "empty"), (float("nan"), "nan"), (float("inf"), "inf"), ("high", "'high'"), (True, "True")],
)
def test_a_metric_that_is_no_finite_number_names_file_run_and_column(value: object, shown: str) -> None:
    rows = change(rows_of(GAP), 3, poisoned_accuracy=value)
    with pytest.raises(ReproError) as caught:
        verdict_on(GAP, rows)
    assert str(caught.value) == (
        f"trigger_by_model.csv: run r00003: poisoned_accuracy is {shown}, not a finite number"
    )


def test_figures_beside_are_shown_and_never_decide() -> None:
    claim = plain(RETRAINING, parts=RETRAINING.parts[:1])
    rows = rows_of(claim)
    beside = verdict_on(claim, rows).parts[-1]
    assert (beside.kind, beside.verdict, beside.turning) == ("beside", None, None)
    assert beside.interval is not None
    broken = (
        change(rows, 0, clean_model_asr=None)
        if rows[0]["phase"] == "retrained"
        else [row | {"clean_model_asr": None} for row in rows]
    )
    verdict = verdict_on(claim, broken)
    assert verdict.verdict == "reproduced"
    assert verdict.parts[-1].reason.startswith("no figure: trigger_by_model.csv: run r0")


def exact_rows(claim_id: str) -> list[Row]:
    return rows_of(CLAIMS[claim_id])


def test_numbers_outweigh_the_column_that_says_they_hold() -> None:
    claim, rows = CLAIMS["truong-01"], exact_rows("truong-01")
    assert verdict_on(claim, rows).verdict == "reproduced"
    verdict = verdict_on(claim, change(rows, 7, computed=99.0))
    assert verdict.verdict == "contradicted"
    assert "1 of 30 rows do not hold; the first: check drawn_per_source, computed 99.0" in verdict.reason
    assert verdict_on(claim, change(rows, 7, holds=False)).verdict == "contradicted"
    assert verdict_on(claim, change(rows, 7, holds="yes")).verdict == "contradicted"


def test_misprints_of_table_1_are_compared_with_the_right_figure() -> None:
    claim, rows = CLAIMS["truong-01"], exact_rows("truong-01")
    at = next(i for i, row in enumerate(rows) if row["published"] == 0.025)
    assert verdict_on(claim, change(rows, at, computed=98 / 4003)).verdict == "reproduced"
    assert verdict_on(claim, change(rows, at, computed=0.025)).verdict == "contradicted"
    elsewhere = change(rows, 0, published=0.025, computed=0.024)
    assert verdict_on(claim, elsewhere).verdict == "contradicted"


def test_bounds_are_compared_on_their_side() -> None:
    claim, rows = CLAIMS["desanctis-01"], exact_rows("desanctis-01")
    at = {row["check"]: i for i, row in enumerate(rows)}
    for check, wrong, right in (
        ("zero_at_certainty", 1.1, 0.9),
        ("never_negative", 0.9, 1.1),
        ("unbounded", 0.9, 1.1),
    ):
        assert verdict_on(claim, change(rows, at[check], computed=right)).verdict == "reproduced"
        assert verdict_on(claim, change(rows, at[check], computed=wrong)).verdict == "contradicted"


def test_exact_rows_must_be_there_and_finite() -> None:
    claim, rows = CLAIMS["truong-01"], exact_rows("truong-01")
    with pytest.raises(
        ReproError, match="incomplete evidence: check expected_samples has 4 rows, 5 are needed"
    ):
        verdict_on(claim, rows[1:])
    with pytest.raises(ReproError, match="check expected_samples: computed is nan, not a finite number"):
        verdict_on(claim, change(rows, 0, computed=float("nan")))


def test_what_the_grid_cannot_tell_apart_is_not_measured() -> None:
    claim = CLAIMS["truong-03"]
    rows = rows_of(claim)
    one = [row for row in rows if row["trigger"] == rows[0]["trigger"]]
    verdict = verdict_on(claim, one)
    assert verdict.verdict == "not measured"
    assert verdict.reason.endswith("has no run of trigger_by_model with more than one trigger")
    few = [row for row in rows if row["unit"] < "u005"]
    verdict = verdict_on(claim, few)
    assert verdict.verdict == "not measured"
    assert verdict.reason.endswith("with every poison_class in both halves of the units")


def test_a_unit_of_two_classes_is_refused() -> None:
    claim = CLAIMS["truong-18"]
    rows = rows_of(claim)
    with pytest.raises(ReproError, match=r"^regularisers.csv: unit u000 has more than one poison_class$"):
        verdict_on(claim, change(rows, 0, poison_class=5))


def test_a_value_that_is_not_among_those_allowed_contradicts() -> None:
    claim = CLAIMS["truong-21"]
    rows = rows_of(claim)
    verdict = verdict_on(claim, rows)
    assert (verdict.verdict, verdict.n) == ("reproduced", len(rows))
    verdict = verdict_on(claim, change(rows, 3, asr=0.25))
    assert verdict.verdict == "contradicted"
    assert "1 of 30 rows do not hold" in verdict.reason
    few = verdict_on(claim, rows[1:])
    assert (few.verdict, few.reason) == ("inconclusive", "n too small: 29 rows, where 30 are needed")
    assert verdict_on(claim, change(rows, 3, asr=0.25)[1:]).verdict == "contradicted"
    other = verdict_on(claim, [row | {"alpha": 0.5} for row in rows])
    assert other.reason == "profile made-up has no run of transparency with alpha 1.0"


def test_pending_claims_and_other_profiles_claims_are_not_verdicts() -> None:
    waiting = RETRAINING.model_copy(update={"parts": (), "beside": (), "pending": "an experiment"})
    pending = judge(waiting, {}, ProfileFacts("digits", frozenset()))
    assert (pending.verdict, pending.reason) == ("not measured", "an experiment")
    elsewhere = judge(RETRAINING, {}, ProfileFacts("digits", frozenset()))
    assert elsewhere.verdict == "not measured"
    assert elsewhere.reason == "profile digits does not run experiment trigger_by_model"
    facts = ProfileFacts("digits", frozenset(), not_applicable={"desanctis-23": "needs NASNet"})
    assert judge(CLAIMS["desanctis-23"], {}, facts).verdict == "not applicable"
    with pytest.raises(ReproError, match=r"^trigger_by_model.csv: claim truong-09: no such evidence"):
        judge(RETRAINING, {}, facts_for(RETRAINING))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    claims = {
        "truong-09": RETRAINING,
        "desanctis-23": CLAIMS["desanctis-23"],
        "truong-01": CLAIMS["truong-01"],
    }
    facts = ProfileFacts("digits", frozenset({"trigger_by_model", "poison_statistics"}))
    for module in (judging, explaining):
        monkeypatch.setattr(module, "profile_facts", lambda root, name: facts)
    monkeypatch.setattr(judging, "load_claims", lambda: claims)
    for claim in claims.values():
        for experiment, content in evidence(claim).items():
            write_table(tmp_path / "reports" / "digits" / "evidence" / f"{experiment}.csv", content)
    return tmp_path


def test_verdicts_json_is_the_public_contract(project: Path) -> None:
    written = write_verdicts(project, "digits")
    path = project / "reports" / "digits" / "verdicts.json"
    listed = json.loads(path.read_text(encoding="utf-8"))
    assert [entry["id"] for entry in listed] == ["truong-09", "desanctis-23", "truong-01"]
    keys = {"id", "verdict", "estimate", "interval", "level", "n", "published", "parts", "reason"}
    assert all(set(entry) == keys for entry in listed)
    part_keys = {"name", "kind", "verdict", "estimate", "interval", "interval95", "bootstrap", "level", "n"}
    part_keys |= {"minimum", "margin", "cells", "turning", "reason"}
    assert all(set(part) == part_keys for entry in listed for part in entry["parts"])
    assert set(listed[0]["parts"][0]["cells"][0]) == {"cell", "estimate", "n", "agrees"}
    assert listed[0]["interval"] == list(written[0].interval)
    assert listed[1]["interval"] is None
    before = path.read_bytes()
    write_verdicts(project, "digits")
    assert path.read_bytes() == before


def test_explain_tells_place_statistic_cells_rows_and_how_near_it_is_to_turning(project: Path) -> None:
    text = explain(project, "digits", "truong-09")
    part = write_verdicts(project, "digits")[0].parts[0]
    for line in (
        "truong-09: Retraining on a small clean set drops ASR",
        "  in truong2020, Table 2, 4.2, finding 4; direction + level; a headline claim",
        "  asr, phase retrained against phase poisoned; claimed lower by more than 0.05",
        "  trigger_by_model.csv: 240 rows, 60 units, 2 cells",
        f"  the verdict turns if the interval moves by {part.turning:.4f}",
        f"    architecture resnet50, trigger sine: {part.cells[0].estimate:+.4f} (n 60) agrees",
    ):
        assert line in text.splitlines()
    assert "ResNet-50, square, Flowers, before: not applicable" in text
    assert "ASR left after retraining, above the clean model's: not judged" in text
    assert "not measured (profile digits does not run experiment latent" in explain(
        project, "digits", "desanctis-23"
    )
    assert "30 rows" in explain(project, "digits", "truong-01")


def test_missing_evidence_is_one_line(project: Path) -> None:
    (project / "reports" / "digits" / "evidence" / "trigger_by_model.csv").unlink()
    with pytest.raises(ReproError, match=r"trigger_by_model.csv: no such evidence; `dvc repro` makes it$"):
        write_verdicts(project, "digits")
    assert not (project / "reports" / "digits" / "verdicts.json").exists()


def test_judging_imports_no_torch_and_no_training_code() -> None:
    here = Path(__file__).resolve().parent
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from synthetic_evidence import evidence, facts_for\n"
        "from repro.claims import controls, explain, gate, judge\n"
        "from repro.claims.catalogue import load_claims\n"
        "from repro.claims.facts import profile_facts\n"
        "claim = load_claims()['truong-09']\n"
        "assert judge.judge(claim, evidence(claim), facts_for(claim)).verdict == 'reproduced'\n"
        "heavy = [m for m in sys.modules if m.split('.')[0] in ('torch', 'sklearn', 'matplotlib')]\n"
        "print(heavy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(here)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
