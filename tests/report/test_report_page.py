"""The report as a whole: the same bytes, nothing left out or left behind, tables that hold together."""

import json
import re
import shutil
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
from repro.report import claims, contract, findings, write_report
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
    assert changed == {"digits/setup.md", "digits/evidence/sources.provenance.json"}
    old, new = (content["digits/setup.md"].decode().split("## Provenance") for content in (before, after))
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
    said = (root / "reports" / "digits" / "setup.md").read_text().split("## Provenance")[1]
    assert "`sources`: code changed and attested once, accepted without proof: repro.a:b: says more" in said


@pytest.mark.parametrize("claim_id", load_claims())
def test_every_claim_is_in_the_report_and_in_the_overview(written: Path, claim_id: str) -> None:
    assert f'<a id="{claim_id}"></a>' in (written / "digits" / "claims.md").read_text(), "no place of its own"
    front = (written / "digits" / "README.md").read_text()
    assert f"[{claim_id}](claims.md#{claim_id})" in front, "not among all verdicts"
    assert f"digits/claims.md#{claim_id}" in (written / "README.md").read_text()


def test_verdicts_are_counted_in_the_overview(written: Path) -> None:
    verdicts = [v["verdict"] for v in json.loads((written / "digits" / "verdicts.json").read_text())]
    overview = (written / "README.md").read_text()
    counts = [
        str(verdicts.count(o))
        for o in ("reproduced", "contradicted", "inconclusive", "reported", "not applicable", "not measured")
    ]
    assert "| [digits](digits/README.md) | " + " | ".join(counts) + " |" in overview


def test_what_is_reported_stands_with_what_was_measured_and_its_figures_are_not_judged(written: Path) -> None:
    verdicts = json.loads((written / "digits" / "verdicts.json").read_text())
    one_by_one = (written / "digits" / "claims.md").read_text()
    for verdict in verdicts:
        place = f'<a id="{verdict["id"]}"></a>'
        assert (f"{place}\n\n### " in one_by_one) == (not verdict["verdict"].startswith("not"))
        assert (f"| {place}" in one_by_one) == verdict["verdict"].startswith("not")
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
    text = "\n".join(claims.blocks(report))
    for figure, part in zip(verdict.parts, source.parts, strict=True):
        line = next(line for line in text.splitlines() if line.startswith(f"| {figure.name} |"))
        assert f"| {metric(part.statistic.metric)} | {number(figure.estimate, 3, signed=True)} |" in line
        assert line.endswith("| 4 |")
    assert "not measured" not in text
    (glance,) = (block for block in findings.at_a_glance(report) if block.startswith("| Claim |"))
    assert glance.splitlines()[2].endswith("reported | \u2014 | 4 |")


def test_a_missing_experiment_is_said_and_the_others_are_shown(project: Make) -> None:
    front = write_report(project(units=2, without=("sources", *SLOW)), "digits")
    page = (front.parent / "experiments" / "sources.md").read_text()
    assert "No evidence yet" in page
    assert "evidence/sources.csv" in page
    assert "0.54 ±" not in page
    assert re.search(r"\(experiments/sources.md\) \| \*no evidence\*", front.read_text())
    assert "figures/retraining.png" in (front.parent / "experiments" / "trigger_by_model.md").read_text()


def test_a_profile_without_evidence_or_verdicts_still_has_a_report(project: Make) -> None:
    root = project(units=2)
    shutil.rmtree(root / "reports")
    front = write_report(root, "digits")
    assert "Nothing is judged yet" in front.read_text()
    pages = [path.read_text() for path in (front.parent / "experiments").iterdir()]
    assert len(pages) >= 9
    assert all("No evidence yet" in page or "does not run the experiment" in page for page in pages)
    assert "No profile is judged yet" in (root / "reports" / "README.md").read_text()


def test_an_experiment_without_a_section_is_shown_as_a_plain_table(project: Make) -> None:
    root = project(units=2, without=SLOW)
    rows = [
        {"run": "ra", "unit": f"u{u}", "trigger": trigger, "asr": level + u / 10}
        for trigger, level in (("sine", 0.2), ("low_variance", 0.5))
        for u in range(2)
    ]
    write_table(root / "reports" / "digits" / "evidence" / "novelty.csv", table(rows))
    front = write_report(root, "digits")
    assert "| Other experiments |" in front.read_text()
    section = (front.parent / "experiments" / "novelty.md").read_text()
    assert "| Trigger | ASR |" in section
    assert re.search(r"\| sine \| 0\.250\s±", section)
    assert re.search(r"\| low variance \| 0\.550\s±", section)


def test_a_plain_table_tells_the_values_of_a_grid_apart(project: Make) -> None:
    root = project(units=2, without=SLOW)
    rows = [
        {"run": "ra", "unit": f"u{u}", "rate": rate, "asr": rate + u / 10}
        for rate in (0.2, 0.5)
        for u in range(2)
    ]
    write_table(root / "reports" / "digits" / "evidence" / "novelty.csv", table(rows))
    write_report(root, "digits")
    section = (root / "reports" / "digits" / "experiments" / "novelty.md").read_text()
    assert re.search(r"\|\s*0\.2\s*\|\s*0\.250\s±", section)
    assert re.search(r"\|\s*0\.5\s*\|\s*0\.550\s±", section)


def lines_of_tables(text: str) -> Iterator[list[list[str]]]:
    block: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            block.append(re.split(r"(?<!\\)\|", line)[1:-1])
        elif block:
            yield block
            block = []


@pytest.mark.parametrize("name", ["README.md", "digits/README.md", "digits/claims.md", "digits/setup.md"])
def test_every_table_has_even_columns_and_a_ruler(written: Path, name: str) -> None:
    tables = list(lines_of_tables((written / name).read_text()))
    assert len(tables) >= 3
    for block in tables:
        assert {len(line) for line in block} == {len(block[0])}, block[0]
        assert all(re.fullmatch(" (---|--:) ", cell) for cell in block[1]), block[:2]
        assert len(block) > 2, f"an empty table: {block[0]}"


def test_figures_and_pages_of_an_earlier_report_are_removed_and_nothing_else(project: Make) -> None:
    root = project(units=2, without=SLOW)
    folder = root / "reports" / "digits"
    old = [folder / "figures" / "old.png", folder / "experiments" / "gone.md"]
    mine = folder / "experiments" / "notes.txt"
    for path in (*old, mine):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"old")
    write_report(root, "digits")
    assert not any(path.exists() for path in old)
    assert mine.exists()
    assert (folder / "experiments" / "sources.md").exists()
    assert (folder / "figures" / "retraining.png").exists()


def test_reasons_from_the_judge_are_not_taken_for_markdown(written: Path) -> None:
    report = (written / "digits" / "claims.md").read_text()
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
