"""The report as a whole: the same bytes, nothing left out, links that lead somewhere, tables that hold together."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from repro.claims.catalogue import Beside, Claim, load_claims
from repro.claims.facts import ProfileFacts
from repro.claims.judge import judge
from repro.errors import ReproError
from repro.harness.evidence.equivalence import attested_path, changes
from repro.harness.evidence.table import read_table, table, write_table
from repro.harness.profile import load_profile
from repro.harness.runs import digest
from repro.report import claims, contract, write_report
from repro.report.report import Report
from repro.report.wording import metric, number

Make = Callable[..., Path]
SLOW = ("exposure", "tuning", "regularisers", "transparency", "poison_rate")  # their figures take the longest


def plain(text: str) -> str:
    """Text without what fills cells up."""
    return re.sub(" +", " ", text)


def files(root: Path) -> dict[str, bytes]:
    reports = root / "reports"
    return {
        str(path.relative_to(reports)): path.read_bytes()
        for path in sorted(reports.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, make_project: Callable[..., Path]) -> Path:
    """The folder ``reports`` of a project with all evidence."""
    root = make_project(tmp_path_factory.mktemp("written"))
    write_report(root, "digits")
    return root / "reports"


def test_same_input_gives_the_same_bytes_in_another_folder(project: Make, tmp_path: Path) -> None:
    root = project(units=2)
    other = tmp_path / "elsewhere" / "deeper"
    shutil.copytree(root / "reports", other / "reports")
    shutil.copy(root / "params.yaml", other)
    write_report(root, "digits")
    write_report(other, "digits")
    assert files(root) == files(other)
    assert sum(name.endswith(".png") for name in files(root)) >= 11


def test_provenance_changes_nothing_but_its_block(project: Make) -> None:
    root = project(units=2, without=SLOW)
    write_report(root, "digits")
    before = files(root)
    path = root / "reports" / "digits" / "evidence" / "sources.provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"commit": "fedcba987654", "seconds": 7200.0}))
    write_report(root, "digits")
    after = files(root)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"digits/README.md", "digits/evidence/sources.provenance.json"}
    old, new = (content["digits/README.md"].decode().split("## Provenance") for content in (before, after))
    assert old[0] == new[0]
    assert "fedcba987654" in new[1]
    assert "2 hours" in new[1]


def test_provenance_says_what_was_attested(project: Make) -> None:
    root = project(units=2, without=SLOW)
    path = attested_path(root, "digits", "sources")
    old, new = {"rows": {"repro.a:b": "1"}}, {"rows": {"repro.a:b": "2"}}
    made = {"schema": 2, "table": "t", "phases": {}, **old}
    path.with_name("sources.fingerprint.json").write_text(json.dumps(made))
    link = {"before": digest(old), "after": digest(new), "changed": changes(old, new)}
    content = {"schema": 1, "table": "t", "links": [link | {"accepted": {"repro.a:b": "says more"}}]}
    path.write_text(json.dumps(content))
    write_report(root, "digits")
    said = (root / "reports" / "digits" / "README.md").read_text().split("## Provenance")[1]
    assert "`sources`: code changed and attested once, accepted without proof: repro.a:b: says more" in said


@pytest.mark.parametrize("claim_id", load_claims())
def test_every_claim_is_in_the_report_and_in_the_overview(written: Path, claim_id: str) -> None:
    report = (written / "digits" / "README.md").read_text()
    assert f'<a id="{claim_id}"></a>' in report, "no place of its own"
    assert f"[{claim_id}](#{claim_id})" in report, "not in the table of all claims"
    assert f"digits/README.md#{claim_id}" in (written / "README.md").read_text()


def test_verdicts_are_counted_and_said_in_words(written: Path) -> None:
    verdicts = [v["verdict"] for v in json.loads((written / "digits" / "verdicts.json").read_text())]
    report = (written / "digits" / "README.md").read_text()
    for outcome in ("reproduced", "contradicted", "inconclusive"):
        assert f"{verdicts.count(outcome)} {outcome}" in report
    overview = plain((written / "README.md").read_text())
    counts = [
        str(verdicts.count(o))
        for o in ("reproduced", "contradicted", "inconclusive", "reported", "not applicable", "not measured")
    ]
    assert "| [digits](digits/README.md) | " + " | ".join(counts) + " |" in overview


def test_what_is_reported_is_counted_apart_and_stands_with_what_was_measured(written: Path) -> None:
    verdicts = json.loads((written / "digits" / "verdicts.json").read_text())
    counted = Counter(v["verdict"] for v in verdicts)
    judged = sum(counted[o] for o in ("reproduced", "contradicted", "inconclusive"))
    report = (written / "digits" / "README.md").read_text()
    short = report.split("## In short")[1].split("## Contents")[0]
    assert f"{judged} are measured here: {counted['reproduced']} reproduced, " in short
    assert f"of which the paper asserts no direction: {counted['reported']}. Of the others, " in short
    assert f"Of the others, {counted['not applicable']} not applicable and " in short
    unmeasured = report.split("## Not measured yet")[1]
    one_by_one = report.split("## Claims, one by one")[1].split("## Not measured yet")[0]
    for verdict in verdicts:
        place = f'<a id="{verdict["id"]}"></a>'
        assert (place in one_by_one) == (
            counted[verdict["verdict"]] > 0 and not verdict["verdict"].startswith("not")
        )
        assert (place in unmeasured) == verdict["verdict"].startswith("not")
    listed = next(v["id"] for v in verdicts if v["verdict"] == "reported")
    own = one_by_one.split(f'<a id="{listed}"></a>')[1].split("<a id=")[0]
    assert "Verdict: **\u2261\u00a0reported**. " in own
    figure = next(line for line in own.splitlines() if line.startswith("| a \\| figure "))
    assert [c.strip() for c in figure.split("|")][-2] == "60"
    assert "not judged" not in figure
    assert "\u22120.612" in figure
    assert "| Figure | Of | Estimate |" in plain(own)
    assert "Turns by" not in own


def test_the_table_of_a_claim_names_what_each_figure_is_of(project: Make) -> None:
    root = project(units=4, without=SLOW)
    source = load_claims()["truong-25"]
    figures = [{k: getattr(p, k) for k in ("name", "experiment", "statistic")} for p in source.parts]
    claim = Claim.model_validate(
        source.model_dump() | {"kind": "table", "parts": (), "beside": [Beside(**f) for f in figures]}
    )
    report = Report(root, load_profile("digits", root), {claim.id: claim})
    verdict = judge(claim, report.tables, ProfileFacts("digits", frozenset(claim.experiments)))
    path = root / "reports" / "digits" / "verdicts.json"
    path.write_text(json.dumps([verdict.model_dump(mode="json")]))
    text = plain("\n".join(claims.one_by_one(report)))
    for figure, part in zip(verdict.parts, source.parts, strict=True):
        line = next(line for line in text.splitlines() if line.startswith(f"| {figure.name} |"))
        assert f"| {metric(part.statistic.metric)} | {number(figure.estimate, 3, signed=True)} |" in line
        assert line.endswith("| 4 |")
    assert claims.summary(report)[0].startswith("Not judged but reported, ")
    assert claims.not_measured(report) == ["Every claim is measured."]
    (glance,) = claims.at_a_glance(report)
    assert plain(glance).splitlines()[2].endswith("reported | \u2014 | 4 |")


def test_a_missing_experiment_is_said_and_the_others_are_shown(project: Make) -> None:
    report = write_report(project(units=2, without=("sources", *SLOW)), "digits").read_text()
    section = report.split('<a id="sources"></a>')[1].split("<a id=")[0]
    assert "No evidence yet" in section
    assert "evidence/sources.csv" in section
    assert "0.54 ±" not in section
    assert "figures/retraining.png" in report


def test_a_profile_without_evidence_or_verdicts_still_has_a_report(project: Make) -> None:
    root = project(units=2)
    shutil.rmtree(root / "reports")
    report = write_report(root, "digits").read_text()
    assert "Nothing is judged yet" in report
    assert report.count("No evidence yet") + report.count("does not run the experiment") >= 9
    assert "No profile is judged yet" in (root / "reports" / "README.md").read_text()


def test_an_experiment_without_a_section_is_shown_as_a_plain_table(project: Make) -> None:
    root = project(units=2, without=SLOW)
    rows = [
        {"run": "ra", "unit": f"u{u}", "trigger": trigger, "asr": level + u / 10}
        for trigger, level in (("sine", 0.2), ("low_variance", 0.5))
        for u in range(2)
    ]
    write_table(root / "reports" / "digits" / "evidence" / "novelty.csv", table(rows))
    section = (
        write_report(root, "digits")
        .read_text()
        .split('<a id="novelty"></a>')[1]
        .split("## Where the paper")[0]
    )
    section = plain(section)
    assert "| Trigger | ASR |" in section
    assert re.search(r"\| sine \| 0\.250\s±", section)
    assert re.search(r"\| low variance \| 0\.550\s±", section)


def lines_of_tables(text: str) -> Iterator[list[list[str]]]:
    block: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            block.append(re.split(r"(?<!\\)\|", line)[1:-1])
        elif block:
            yield block
            block = []


@pytest.mark.parametrize("name", ["README.md", "digits/README.md"])
def test_every_table_has_even_columns_and_a_ruler(written: Path, name: str) -> None:
    tables = list(lines_of_tables((written / name).read_text()))
    assert len(tables) > 3
    for block in tables:
        assert {len(line) for line in block} == {len(block[0])}, block[0]
        assert all(re.fullmatch(":-+|-+:", cell) for cell in block[1]), block[:2]
        assert len(block) > 2, f"an empty table: {block[0]}"


@pytest.mark.parametrize("name", ["README.md", "digits/README.md"])
def test_every_link_and_image_leads_somewhere(written: Path, name: str) -> None:
    page = written / name

    def places(path: Path) -> set[str]:
        text = path.read_text()
        headings = re.findall(r"^#+ (.*)$", text, re.M)
        slugs = {re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings}
        return slugs | set(re.findall(r'<a id="([^"]*)">', text))

    targets = re.findall(r"(?<!\\)\]\(([^)]*)\)", page.read_text())
    assert len(targets) > 50
    for target in targets:
        file, _, place = target.partition("#")
        path = (page.parent / file) if file else page
        assert path.is_file(), target
        assert not place or place in places(path), target


def test_figures_of_an_earlier_report_are_removed(project: Make) -> None:
    root = project(units=2, without=SLOW)
    figures = root / "reports" / "digits" / "figures"
    figures.mkdir()
    (figures / "old.png").write_bytes(b"old")
    text = write_report(root, "digits").read_text()
    shown = set(re.findall(r"\(figures/([^)]*)\)", text))
    assert {path.name for path in figures.iterdir()} == shown


def test_reasons_from_the_judge_are_not_taken_for_markdown(written: Path) -> None:
    report = (written / "digits" / "README.md").read_text()
    assert "The interval \\| lies \\*here\\*." in report
    assert "| a \\| part |" in report


def test_wrong_verdicts_end_in_one_line_and_write_nothing(project: Make) -> None:
    root = project(units=2, without=SLOW)
    path = root / "reports" / "digits" / "verdicts.json"
    listed = json.loads(path.read_text())
    listed[3]["verdict"] = "perhaps"
    path.write_text(json.dumps(listed))
    before = files(root)
    with pytest.raises(ReproError, match=r"verdicts\.json: 3\.verdict: ") as caught:
        write_report(root, "digits")
    assert "\n" not in str(caught.value)
    assert files(root) == before


def test_every_column_of_the_evidence_is_described(written: Path) -> None:
    for path in sorted((written / "digits" / "evidence").glob("*.csv")):
        for column in read_table(path).columns:
            assert contract.meaning(column), f"{path.name}: {column}"
    assert "not described" not in (written / "README.md").read_text()
