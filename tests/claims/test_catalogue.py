"""The claims' data: complete, faithful to the fixed rules, and refused in one clear line when wrong."""

import re
from pathlib import Path

import pytest

from repro import plugins
from repro.claims.catalogue import load_claim, load_claims, read_paper
from repro.errors import ReproError

CLAIMS = load_claims()
ENTRY = """\
    title: Retraining lowers ASR
    text: It does.
    where: Table 2
    kind: direction
    published: null
"""
PARTS = """\
    parts:
      - name: after against before
        experiment: trigger_by_model
        kind: direction
        side: lower
        minimum: 0.05
        statistic:
          kind: contrast
          metric: asr
          treatment: {phase: retrained}
          baseline: {phase: poisoned}
          cells: [architecture]
"""
PENDING = "    pending: some experiment\n"
TABLE = ENTRY.replace("kind: direction", "kind: table")
BESIDE = """\
    beside:
      - name: after against before
        experiment: trigger_by_model
        statistic:
          kind: contrast
          metric: asr
          treatment: {phase: retrained}
          baseline: {phase: poisoned}
"""


def paper_file(folder: Path, *entries: str, head: str = "") -> Path:
    path = folder / "made_up.yaml"
    claims = "".join(f"  made-{n:02d}:\n{entry}" for n, entry in enumerate(entries, start=1))
    path.write_text(f"paper: made up\nreference: R\ninventory: 25\n{head}claims:\n{claims}", encoding="utf-8")
    return path


def problem(path: Path) -> str:
    with pytest.raises(ReproError) as caught:
        list(read_paper(path))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


def test_every_claim_of_the_inventory_is_listed_once_and_in_order() -> None:
    for paper, prefix, count in (("truong2020", "truong", 25), ("desanctis", "desanctis", 26)):
        listed = [claim for claim in CLAIMS.values() if claim.paper == paper]
        assert [claim.id for claim in listed] == [f"{prefix}-{n:02d}" for n in range(1, count + 1)]
        assert {claim.level for claim in listed} == {1 - 0.05 / count}


def test_the_claims_of_both_papers_are_judged_or_reported() -> None:
    ours = [claim for claim in CLAIMS.values() if claim.paper in ("truong2020", "desanctis")]
    assert [claim.id for claim in ours if claim.is_table] == ["desanctis-12", "desanctis-19"]
    assert all(claim.beside if claim.is_table else claim.parts for claim in ours)


def test_headline_claims_need_sixty_units_and_others_thirty() -> None:
    headline = {claim.id for claim in CLAIMS.values() if claim.headline}
    assert headline >= {"truong-09", "truong-12", "truong-24", "desanctis-08"}
    assert all(c.units_needed == (60 if c.id in headline else 30) for c in CLAIMS.values())


def fixed_size(metric: str, kind: str) -> float:
    if metric.endswith("auc"):
        return 0.01
    if metric.startswith("asr") or metric.endswith(("asr", "rate")):
        return 0.10 if kind == "level" else 0.05
    assert metric.endswith("accuracy")
    return 0.03


@pytest.mark.parametrize("claim_id", sorted(claim.id for claim in CLAIMS.values() if claim.parts))
def test_minimum_effects_and_margins_are_the_fixed_ones(claim_id: str) -> None:
    for part in CLAIMS[claim_id].parts:
        if part.kind != "exact":
            assert (part.minimum or part.margin) == fixed_size(part.statistic.metric, part.kind)


def test_a_new_claim_is_one_new_entry(tmp_path: Path) -> None:
    paper_file(tmp_path, ENTRY + PARTS, ENTRY + PENDING)
    claims = load_claims(*sorted(tmp_path.glob("*.yaml")))
    assert list(claims) == ["made-01", "made-02"]
    assert claims["made-01"].experiments == ("trigger_by_model",)


def test_a_table_has_figures_beside_or_is_pending(tmp_path: Path) -> None:
    paper_file(tmp_path, TABLE + BESIDE, TABLE + PENDING, ENTRY + PARTS)
    claims = load_claims(*sorted(tmp_path.glob("*.yaml")))
    assert [claim.is_table for claim in claims.values()] == [True, True, False]
    assert claims["made-01"].experiments == ("trigger_by_model",)
    assert claims["made-01"].pending is None


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            ENTRY + PARTS + "    colour: red\n",
            ": claim made-01: colour: Extra inputs are not permitted (known: id, paper, reference, inventory, title, "
            "text, where, kind, published, headline, parts, beside, pending)",
        ),
        (
            ENTRY + PARTS + "        size: 1\n",
            ": claim made-01: parts.0.size: Extra inputs are not permitted",
        ),
        (ENTRY, ": claim made-01: a claim has either parts or pending, not both or neither"),
        (
            ENTRY + PARTS + PENDING,
            ": claim made-01: a claim has either parts or pending, not both or neither",
        ),
        (
            ENTRY + PARTS.replace("minimum: 0.05", "minimum: -1"),
            ": claim made-01: parts.0.minimum: Input should be greater than 0",
        ),
        (
            ENTRY + PARTS.replace("minimum: 0.05", "minimum: .nan"),
            ": claim made-01: parts.0.minimum: Input should be a finite number",
        ),
        (
            ENTRY + PARTS.replace("        minimum: 0.05\n", ""),
            ": claim made-01: parts.0: kind 'direction' needs 'minimum'",
        ),
        (
            ENTRY + PARTS.replace("side: lower", "side: lower\n        margin: 0.1"),
            ": claim made-01: parts.0: kind 'direction' takes no 'margin'",
        ),
        (
            ENTRY + PARTS.replace("{phase: poisoned}", "{trigger: square}"),
            ": claim made-01: parts.0.statistic.contrast: treatment and baseline must set the same columns",
        ),
        (
            ENTRY + PARTS.replace("{phase: poisoned}", "{phase: retrained}"),
            ": claim made-01: parts.0.statistic.contrast: treatment and baseline are the same condition",
        ),
        (
            ENTRY + PARTS.replace("[architecture]", "[phase]"),
            ": claim made-01: parts.0.statistic.contrast: column 'phase' is a condition "
            "and cannot be in cells or where too",
        ),
        (
            ENTRY + PARTS.replace("kind: contrast", "kind: level\n          published: 0.1"),
            ": claim made-01: parts.0: kind 'direction' cannot be judged on a 'level' statistic",
        ),
        (
            ENTRY.replace("    title: Retraining lowers ASR\n", "") + PARTS,
            ": claim made-01: title: Field required",
        ),
        (
            TABLE + PARTS,
            ": claim made-01: a claim of kind 'table' takes no parts: its figures belong under beside",
        ),
        (
            TABLE + PARTS + BESIDE,
            ": claim made-01: a claim of kind 'table' takes no parts: its figures belong under beside",
        ),
        (TABLE, ": claim made-01: a claim of kind 'table' has either beside or pending, not both or neither"),
        (
            TABLE + BESIDE + PENDING,
            ": claim made-01: a claim of kind 'table' has either beside or pending, not both or neither",
        ),
        (ENTRY + BESIDE, ": claim made-01: a claim has either parts or pending, not both or neither"),
        (
            TABLE.replace("kind: table", "kind: table + level") + BESIDE,
            ": claim made-01: a claim has either parts or pending, not both or neither",
        ),
        (
            TABLE + BESIDE + BESIDE.replace("    beside:\n", ""),
            ": claim made-01: two parts have the same name",
        ),
        (ENTRY + "    id: other-01\n" + PARTS, ": claim made-01: id: belongs to the file, not to the claim"),
    ],
)
def test_a_wrong_claim_ends_in_a_line_naming_file_claim_and_field(
    tmp_path: Path, entry: str, message: str
) -> None:
    assert problem(paper_file(tmp_path, entry)) == message


def test_an_unknown_statistic_names_the_known_ones(tmp_path: Path) -> None:
    path = paper_file(tmp_path, ENTRY + PARTS.replace("kind: contrast", "kind: median"))
    assert re.match(r": claim made-01: parts.0.statistic: .*'median'.*'contrast', 'gap'", problem(path))


def test_wrong_paper_fields_are_refused(tmp_path: Path) -> None:
    assert problem(paper_file(tmp_path, ENTRY + PENDING, head="year: 2020\n")).startswith(": year: Extra")
    few = paper_file(tmp_path, ENTRY + PENDING, ENTRY + PENDING)
    few.write_text(few.read_text(encoding="utf-8").replace("25", "1"), encoding="utf-8")
    assert problem(few) == ": inventory: 1, but there are 2 claims"


def test_two_files_cannot_have_the_same_id(tmp_path: Path) -> None:
    path = paper_file(tmp_path, ENTRY + PENDING)
    (tmp_path / "other.yaml").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(ReproError, match=r"other.yaml: claim made-01: another file has this id too"):
        load_claims(*sorted(tmp_path.glob("*.yaml")))


def test_an_unknown_claim_and_a_missing_file_are_one_line_each(tmp_path: Path) -> None:
    with pytest.raises(ReproError, match=r"^unknown claim 'truong-99': there are desanctis-01, "):
        load_claim("truong-99")
    with pytest.raises(ReproError, match=r"absent\.yaml: no such file$"):
        list(read_paper(tmp_path / "absent.yaml"))


def test_papers_words_stay_short() -> None:
    assert all(len(claim.text) <= 220 and len(claim.title) <= 75 for claim in CLAIMS.values())
    assert [path.parent.name for path in plugins.claims_files()][:2] == ["desanctis", "truong2020"]
