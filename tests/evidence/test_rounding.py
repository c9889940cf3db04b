"""`repro diff --up-to-rounding`: what another machine's rounding explains, and what it does not."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from repro.errors import ReproError
from repro.files import write_json
from repro.harness.evidence.rounding import GIVEN, rounding_apart
from repro.harness.evidence.table import Cell, table, write_table
from repro.report.columns import meaning

Rows = list[dict[str, Cell]]
HERE = {"processor": "here", "platform": "Linux x86_64", "device": "cpu"}
ELSEWHERE = HERE | {"processor": "elsewhere"}
UNITS = 40


def rows() -> Rows:
    """Two runs of each unit, with ASRs from 0.2 to 0.8."""
    return [
        {
            "run": f"r{unit}{trigger}",
            "phase": "poisoned",
            "unit": f"u{unit:03}",
            "trigger": trigger,
            "weight": 0.1,
            "asr": 0.2 + 0.6 * unit / (UNITS - 1),
            "epochs": 10 + unit % 5,
            "within_budget": True,
            "named_class": unit % 10 if unit % 2 else None,
            "mask_image": "x0010ff40",
        }
        for unit in range(UNITS)
        for trigger in ("sine", "square")
    ]


def changed(column: str, of_row: Callable[[int, Cell], Cell]) -> Rows:
    return [{**row, column: of_row(number, row[column])} for number, row in enumerate(rows())]


def only(row: int, cell: Cell) -> Callable[[int, Cell], Cell]:
    return lambda number, before: cell if number == row else before


def shifted(by: float, every: int = 1) -> Callable[[int, Cell], Cell]:
    return lambda number, before: float(before or 0) + (by if number % every == 0 else 0)


def made(folder: Path, content: Iterable[dict[str, Cell]], machine: dict[str, str], verdict: str) -> Path:
    path = folder / "evidence" / "sources.csv"
    write_table(path, table(content))
    provenance = {"schema": 1, "dirty": False, "commit": None, "made": "2026-11-21", "seconds": 1.0}
    write_json(path.with_suffix(".provenance.json"), provenance | machine)
    write_json(folder / "verdicts.json", [{"id": "truong-03", "verdict": verdict}])
    return folder


def compared(
    tmp_path: Path,
    after: Rows,
    *,
    before: Rows | None = None,
    machine: dict[str, str] = ELSEWHERE,
    verdict: str = "reproduced",
) -> tuple[str, bool]:
    old = made(tmp_path / "before", before or rows(), HERE, "reproduced")
    text, explained = rounding_apart(old, made(tmp_path / "after", after, machine, verdict))
    assert text.endswith("\nexplained") == explained
    return text, explained


def test_equal_tables(tmp_path: Path) -> None:
    assert compared(tmp_path, rows(), machine=HERE) == (
        "evidence/sources.csv: equal\nverdicts: the same\nexplained",
        True,
    )


def test_on_one_machine_the_smallest_difference_counts(tmp_path: Path) -> None:
    text, explained = compared(tmp_path, changed("asr", only(0, 0.2 + 2**-50)), machine=HERE)
    assert not explained
    assert "evidence/sources.csv: differs, though made on here, Linux x86_64, cpu like the other" in text
    assert "  asr: 1 rows differ, by up to 8.88e-16" in text


@pytest.mark.parametrize("field", ["processor", "platform", "device"])
def test_what_makes_another_machine(tmp_path: Path, field: str) -> None:
    after = changed("asr", only(0, 0.2 + 2**-50))
    assert compared(tmp_path, after, machine=HERE | {field: "another"})[1]


def test_evidence_that_names_no_processor_was_made_elsewhere(tmp_path: Path) -> None:
    nameless = {field: value for field, value in HERE.items() if field != "processor"}
    old = made(tmp_path / "before", rows(), nameless, "reproduced")
    new = made(tmp_path / "after", changed("asr", only(0, 0.25)), nameless, "reproduced")
    assert rounding_apart(old, new)[1]


@pytest.mark.parametrize(
    ("column", "of_row"),
    [
        ("asr", only(3, 0.9)),
        ("asr", lambda number, before: before + (0.1 if number % 4 < 2 else -0.1)),
        ("asr", shifted(0.0029)),
        ("epochs", only(7, 15)),
        ("within_budget", only(2, False)),
        ("named_class", only(2, None)),
        ("named_class", only(0, 4)),
        ("mask_image", only(0, "x0011ff3f")),
    ],
)
def test_runs_that_part_ways_are_explained(
    tmp_path: Path, column: str, of_row: Callable[[int, Cell], Cell]
) -> None:
    text, explained = compared(tmp_path, changed(column, of_row))
    assert explained, text


@pytest.mark.parametrize(
    ("column", "of_row", "said"),
    [
        (
            "asr",
            shifted(0.0031),
            "  asr: mean 0.5 before, 0.5031 after; by unit +0.0031, rounding explains 0.003 ",
        ),
        (
            "asr",
            shifted(-0.04, every=2),
            "  asr: mean 0.5 before, 0.48 after; by unit -0.02, rounding explains 0.0032 ",
        ),
        ("epochs", lambda _, before: before + 1, "  epochs: mean 12 before, 13 after; by unit +1, "),
        ("within_budget", lambda *_: False, "  within_budget: mean 1 before, 0 after"),
        ("named_class", lambda *_: None, "  named_class (empty): mean 0.5 before, 1 after"),
        ("mask_image", lambda *_: "x0010ff50", "  mask_image: mean 0.328431 before, 0.344118 after"),
        ("asr", only(0, float("nan")), "  asr: 1 rows differ, the first 0.2 and nan"),
        ("asr", only(0, "none"), "  asr: 1 rows differ, the first 0.2 and 'none'"),
        ("mask_image", only(0, "y00"), "  mask_image: 1 rows differ, the first 'x0010ff40' and 'y00'"),
        ("weight", only(1, 0.1 + 2**-50), "  weight: 1 rows differ, the first 0.1 and 0.1000000000000009"),
        ("unit", only(1, "u001"), "  unit: 1 rows differ, the first 'u000' and 'u001'"),
    ],
)
def test_what_rounding_does_not_explain_is_named(
    tmp_path: Path, column: str, of_row: Callable[[int, Cell], Cell], said: str
) -> None:
    text, explained = compared(tmp_path, changed(column, of_row))
    assert not explained
    assert "evidence/sources.csv: differs by more than rounding" in text
    assert said in text


def test_a_unit_counts_once_however_many_rows_it_has(tmp_path: Path) -> None:
    """Rows of one unit share models: taken as independent, these would exceed the band."""
    before = [
        {"run": f"r{number}", "unit": f"u{number // 100}", "asr": number % 2 / 2} for number in range(1000)
    ]
    after = [{**row, "asr": row["asr"] + 0.0625 * (row["unit"] in ("u3", "u7"))} for row in before]
    text, explained = compared(tmp_path, after, before=before)
    assert explained, text
    alone = [{**row, "unit": None} for row in after]
    assert not compared(tmp_path, alone, before=[{**row, "unit": None} for row in before])[1]


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (rows()[1:], "  only before: 1 rows (r0sine poisoned)"),
        (rows()[::-1], "  rows are in another order"),
        ([{**row, "run": f"{row['run']}x"} for row in rows()], "  only after: 80 rows (r0sinex poisoned,"),
        ([{**row, "more": 1} for row in rows()], "  only after: columns more"),
    ],
)
def test_rows_and_columns_are_equal(tmp_path: Path, after: Rows, said: str) -> None:
    text, explained = compared(tmp_path, after)
    assert not explained
    assert "evidence/sources.csv: other rows or columns" in text
    assert said in text


def test_what_is_calculated_agrees_closely(tmp_path: Path) -> None:
    before: Rows = [
        {"check": "zero", "computed": 3e-42, "holds": True},
        {"check": "one", "computed": 1.0, "holds": True},
    ]
    near = [{**before[0], "computed": 3.1e-42}, {**before[1], "computed": 1 + 9e-7}]
    assert compared(tmp_path, near, before=before)[1]
    text, explained = compared(tmp_path, [before[0], {**before[1], "computed": 1 + 2e-6}], before=before)
    assert not explained
    assert "  computed: calculated as 1.0 before and 1.000002 after" in text
    assert not compared(tmp_path, [before[0], {**before[1], "holds": False}], before=before)[1]


def test_a_verdict_that_turns_is_never_explained(tmp_path: Path) -> None:
    text, explained = compared(tmp_path, rows(), verdict="inconclusive")
    assert not explained
    assert "verdicts: 1 differ\n  truong-03: reproduced before, inconclusive after" in text


def test_a_claim_without_a_verdict_is_a_difference(tmp_path: Path) -> None:
    folder = made(tmp_path / "a", rows(), HERE, "reproduced")
    other = made(tmp_path / "b", rows(), HERE, "reproduced")
    (other / "verdicts.json").write_text("[]", encoding="utf-8")
    assert "  truong-03: reproduced before, no verdict after" in rounding_apart(folder, other)[0]
    (other / "verdicts.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(ReproError, match=r"b/verdicts\.json: not a list of verdicts"):
        rounding_apart(folder, other)


def test_a_table_on_one_side(tmp_path: Path) -> None:
    folder = made(tmp_path / "a", rows(), HERE, "reproduced")
    other = made(tmp_path / "b", rows(), HERE, "reproduced")
    (other / "evidence/sources.csv").rename(other / "evidence/other.csv")
    text, explained = rounding_apart(folder, other)
    assert not explained
    assert text.splitlines()[:2] == [
        f"evidence/other.csv: only in {other / 'evidence'}",
        f"evidence/sources.csv: only in {folder / 'evidence'}",
    ]


def test_what_is_not_there(tmp_path: Path) -> None:
    folder = made(tmp_path / "a", rows(), HERE, "reproduced")
    with pytest.raises(ReproError, match=r"gone: no such folder$"):
        rounding_apart(folder, tmp_path / "gone")
    other = made(tmp_path / "b", changed("asr", shifted(0.001)), ELSEWHERE, "reproduced")
    (other / "evidence/sources.provenance.json").unlink()
    with pytest.raises(ReproError, match=r"sources\.provenance\.json: cannot be read"):
        rounding_apart(folder, other)


def test_columns_that_are_given_exist() -> None:
    """A column misspelt here would count as measured."""
    assert all(map(meaning, GIVEN))


def test_verdicts_are_read_as_the_judge_writes_them(tmp_path: Path) -> None:
    committed = Path(__file__).parents[2] / "reports/digits/verdicts.json"
    entries = json.loads(committed.read_text(encoding="utf-8"))
    folder, other = (made(tmp_path / name, rows(), HERE, "reproduced") for name in ("a", "b"))
    for place in (folder, other):
        write_json(place / "verdicts.json", entries)
    assert rounding_apart(folder, other)[1]
    entries[0]["verdict"] = "contradicted"
    write_json(other / "verdicts.json", entries)
    assert f"  {entries[0]['id']}: " in rounding_apart(folder, other)[0]
