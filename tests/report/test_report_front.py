"""The first page says what was found: the count, and each headline claim with its figures, its floor and a picture."""

import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_rows import as_plain

from repro.claims.catalogue import Part, load_claims
from repro.claims.facts import ProfileFacts
from repro.claims.judge import judge
from repro.claims.verdicts import Verdict
from repro.harness.evidence.table import Table
from repro.harness.profile import load_profile
from repro.report import conditions, findings, headline_pictures, papers
from repro.report.page import pages
from repro.report.report import Report

Make = Callable[..., Path]
SLOW = (
    "exposure",
    "tuning",
    "regularisers",
    "transparency",
    "poison_rate",
    "comparative",
    "amplification",
    "detection",
)
HEADLINES = [claim for claim in load_claims().values() if claim.headline]


def verdict(claim_id: str, outcome: Any) -> Verdict:
    return Verdict(
        id=claim_id,
        verdict=outcome,
        estimate=None,
        interval=None,
        level=0.95,
        n=0,
        published=None,
        parts=(),
        reason="r",
    )


def judged(report: Report, *claim_ids: str) -> Report:
    """The report with these claims judged on its own evidence, and no others."""
    facts = ProfileFacts("digits", frozenset(report.tables))
    report.verdicts = [judge(report.claims[i], report.tables, facts) for i in claim_ids]
    return report


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, make_project: Make) -> Report:
    root = make_project(tmp_path_factory.mktemp("front"), units=60)
    return judged(Report(root, load_profile("digits", root)), *(claim.id for claim in HEADLINES))


@pytest.fixture(scope="module")
def shown(report: Report) -> str:
    """What the first page says of the headline claims."""
    return as_plain("\n\n".join(findings.headlines(report)))


def test_the_count_names_all_that_was_judged_and_of_the_rest_what_there_is() -> None:
    found = {"reproduced": 3, "inconclusive": 1, "reported": 2, "not applicable": 1}
    verdicts = [verdict(f"a-{o}-{i}", o) for o, count in found.items() for i in range(count)]
    assert findings.counted(verdicts) == (
        "7 claims: **3 reproduced, 0 contradicted, 1 inconclusive**; 2 reported only; 1 not applicable."
    )
    assert findings.counted(verdicts[:1]).startswith("1 claim: **1 reproduced, ")


def test_the_page_opens_with_the_count_of_all_verdicts(project: Make) -> None:
    report = Report.of(project(units=2, without=SLOW), "digits")
    front = pages(report)["README.md"]
    found = Counter(v.verdict for v in report.verdicts or ())
    count = ", ".join(f"{found[o]} {o}" for o in ("reproduced", "contradicted", "inconclusive"))
    place = front.index(
        f"{len(report.verdicts or ())} claims: **{count}**; {found['reported']} reported only; "
    )
    assert place < front.index("## ")


@pytest.mark.parametrize("claim", HEADLINES, ids=lambda claim: claim.id)
def test_a_headline_claim_has_its_verdict_figures_floor_and_one_picture(
    report: Report, shown: str, claim: Any
) -> None:
    result = next(v for v in report.verdicts or () if v.id == claim.id)
    own = shown.split(f"](claims.md#{claim.id})")[1].partition("](claims.md#")[0]
    assert f"{result.verdict}: [{claim.title}](claims.md#{claim.id})" in shown.replace("\\", "")
    measured = [p for p in result.parts if p.estimate is not None and p.verdict]
    assert measured
    for part in measured:
        assert part.interval
        assert f"{part.estimate:+.3f} [{part.interval[0]:+.3f}, {part.interval[1]:+.3f}]" in own
    assert own.count("Floor: ") == len(measured)
    assert re.findall(r"\((figures/headline[^)]*)\)", own) == [f"figures/headline-{claim.id}.png"]
    assert f"headline-{claim.id}" in report.pictures


def test_the_floor_is_the_clean_models_success_on_the_same_images_and_of_an_auc_chance(
    report: Report, shown: str
) -> None:
    rows = [r for r in report.tables["trigger_by_model"] if r["phase"] == "retrained"]
    floor = np.mean([float(str(r["clean_model_asr"])) for r in rows])
    own = shown.split("](claims.md#truong-09)")[1].partition("](claims.md#")[0]
    assert f"Floor: {floor:.2f} (the clean model's on the same images)" in own
    assert "Floor: 0.50 (chance)" in shown.split("](claims.md#desanctis-08)")[1]


def test_conditions_are_those_of_the_evidence_cell_by_cell_and_together(report: Report) -> None:
    found = compared(report, "truong-09")
    assert len(found.cells) == 13
    assert found.cells[-1] == conditions.ALL
    assert found.names == ("poisoned", "retrained")
    place = found.cells.index("CNN+BN, low variance")
    rows = report.tables["trigger_by_model"].where(architecture="cnn_bn", trigger="low_variance")
    for phase, line in (("poisoned", found.baseline), ("retrained", found.treatment)):
        values = [float(str(r["asr"])) for r in rows.where(phase=phase)]
        assert line[place].mean == pytest.approx(np.mean(values))
    clean = [float(str(r["clean_model_asr"])) for r in rows.where(phase="retrained")]
    assert found.floor.line[place].mean == pytest.approx(np.mean(clean)), "that of the treatment"
    assert found.effects[-1].mean == pytest.approx(found.judged.estimate)
    assert found.effects[place].mean == pytest.approx(
        found.treatment[place].mean - found.baseline[place].mean
    )


def compared(report: Report, claim_id: str) -> conditions.Conditions:
    claim = report.claims[claim_id]
    result = next(v for v in report.verdicts or () if v.id == claim_id)
    part = claim.parts[0]
    found = conditions.conditions(report, part, next(p for p in result.parts if p.name == part.name))
    assert found
    return found


def test_without_a_clean_models_column_no_floor_is_claimed(report: Report) -> None:
    claim = report.claims["truong-09"]
    part = claim.parts[0]
    result = next(v for v in report.verdicts or () if v.id == claim.id).parts[0]
    table = report.tables[part.experiment]
    bare = Report(report.root, report.profile)
    columns = tuple(c for c in table.columns if c != "clean_model_asr")
    bare.tables = {part.experiment: Table(columns, tuple({c: r[c] for c in columns} for r in table))}
    found = conditions.conditions(bare, part, result)
    assert found
    assert found.floor is None


def drawn(report: Report, monkeypatch: pytest.MonkeyPatch, draw: Callable[[Report], str]) -> Any:
    """The figure that is drawn."""
    kept: list[Any] = []
    monkeypatch.setattr("repro.report.report.png", lambda figure: kept.append(figure) or b"")
    draw(Report(report.root, report.profile))
    (figure,) = kept
    return figure


def test_the_picture_of_all_puts_every_effect_on_the_claimed_side_in_units_of_its_minimum(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = [(report.claims[i], compared(report, i)) for i in ("truong-09", "truong-24")]
    figure = drawn(report, monkeypatch, lambda r: headline_pictures.against_minimum(r, shown))
    bars = [container.lines[0].get_xdata()[0] for container in figure.axes[0].containers]
    lower, higher = (of.judged.estimate / 0.05 for _, of in shown)
    assert bars == pytest.approx([-lower, higher])
    labels = [text.get_text().replace("\n", " ") for text in figure.axes[0].get_yticklabels()]
    assert labels == [claim.title for claim, _ in shown]


def test_a_claims_picture_shades_the_side_that_is_claimed(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    for claim_id, side in (("truong-09", -1), ("truong-24", 1)):
        claim, of = report.claims[claim_id], compared(report, claim_id)
        draw = partial(headline_pictures.cell_by_cell, claim=claim, parts=[of])
        figure = drawn(report, monkeypatch, draw)
        (shade,) = figure.axes[1].patches
        edges = sorted((shade.get_x(), shade.get_x() + shade.get_width()))
        assert edges[0 if side > 0 else 1] == pytest.approx(side * 0.05)
        assert np.sign(edges).tolist() == [side, side]


def test_a_headline_claim_without_evidence_says_why_and_shows_no_picture(project: Make) -> None:
    root = project(units=2, without=("exposure", "tuning", "transparency"))
    report = judged(Report.of(root, "digits"), "desanctis-08")
    text = "\n\n".join(findings.headlines(report))
    assert "not\u00a0measured: [" in text
    assert "![" not in text
    assert report.pictures == {}


def test_claims_and_experiments_are_grouped_by_the_paper_they_say(report: Report) -> None:
    assert set(papers.order()) == {claim.paper for claim in load_claims().values()}
    groups = papers.claims(
        [(None, verdict("lee-01", "reproduced")), (HEADLINES[0], verdict("x-1", "reproduced"))]
    )
    assert list(groups) == [HEADLINES[0].paper, "lee"]
    for paper, experiments in papers.experiments(report).items():
        assert {papers.of_experiment(e) for e in experiments} == {paper}
    assert papers.title("lee") == "lee"


def test_verdicts_stand_under_the_reference_of_their_paper(report: Report) -> None:
    blocks = findings.at_a_glance(report)
    for claim in HEADLINES:
        heading = blocks.index(f"### {papers.title(claim.paper)}")
        rows = next(block for block in blocks[heading:] if block.startswith("| Claim |"))
        assert f"[{claim.id}](claims.md#{claim.id})" in rows


def test_every_part_of_a_headline_claim_that_has_a_minimum_is_in_the_picture_of_all(report: Report) -> None:
    """A picture that left one out would show only what came out well."""
    parts: list[Part] = [part for claim in HEADLINES for part in claim.parts if part.minimum]
    found = [of for claim in HEADLINES for of in findings.compared(report, claim, _result(report, claim.id))]
    assert {of.part.name for of in found} == {part.name for part in parts}


def _result(report: Report, claim_id: str) -> Verdict:
    return next(v for v in report.verdicts or () if v.id == claim_id)
