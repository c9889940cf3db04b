"""`repro diff`: which rows and columns of two sets of evidence differ, and by how much."""

from pathlib import Path

import pytest

from repro.errors import ReproError
from repro.harness.evidence.difference import difference
from repro.harness.evidence.table import Cell, table, write_table

ROWS = [
    {"run": "ra", "phase": "poisoned", "asr": 0.5, "epochs": 7, "trigger": "square"},
    {"run": "ra", "phase": "retrained", "asr": 0.25, "epochs": 20, "trigger": "square"},
    {"run": "rb", "phase": "poisoned", "asr": None, "epochs": 9, "trigger": "sine"},
]


def changed(row: int, **cells: Cell) -> list[dict[str, Cell]]:
    return [{**values, **(cells if number == row else {})} for number, values in enumerate(ROWS)]


def written(folder: Path, rows: list[dict[str, Cell]], name: str = "sources") -> Path:
    path = folder / f"{name}.csv"
    write_table(path, table(rows))
    return path


def compared(tmp_path: Path, after: list[dict[str, Cell]], before: list[dict[str, Cell]] = ROWS) -> str:
    text, same = difference(written(tmp_path / "a", before), written(tmp_path / "b", after))
    assert same == text.endswith("the same")
    return text


def test_equal_tables(tmp_path: Path) -> None:
    assert compared(tmp_path, ROWS) == "sources.csv: 3 rows, the same"


def test_largest_difference_of_a_column(tmp_path: Path) -> None:
    after = changed(0, asr=0.5625)
    after[1] = {**after[1], "asr": 0.0, "epochs": 19}
    assert compared(tmp_path, after).splitlines() == [
        "sources.csv: 3 rows",
        "  asr: 2 rows differ, by up to 0.25",
        "  epochs: 1 rows differ, by up to 1",
    ]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ({"trigger": "sine"}, "  trigger: 1 rows differ"),
        ({"asr": None}, "  asr: 1 rows differ"),
        ({"asr": float("nan")}, "  asr: 1 rows differ, by up to inf"),
        ({"asr": 0.5 + 2**-53}, "  asr: 1 rows differ, by up to 1.11e-16"),
        ({"epochs": 7.0}, "  epochs: 1 rows differ, by up to 0"),
    ],
)
def test_any_other_cell_counts(tmp_path: Path, cell: dict[str, Cell], said: str) -> None:
    assert compared(tmp_path, changed(0, **cell)).splitlines()[1:] == [said]


def test_not_a_number_equals_itself(tmp_path: Path) -> None:
    rows = changed(0, asr=float("nan"))
    assert compared(tmp_path, rows, rows).endswith("the same")


def test_rows_are_matched_by_run_and_phase(tmp_path: Path) -> None:
    after = [ROWS[2], {**ROWS[0], "asr": 0.75}, {**ROWS[1], "run": "rc"}]
    assert compared(tmp_path, after).splitlines() == [
        "sources.csv: 3 rows",
        "  only before: 1 rows (ra retrained)",
        "  only after: 1 rows (rc retrained)",
        "  rows are in another order",
        "  asr: 1 rows differ, by up to 0.25",
    ]


def test_a_missing_row_does_not_shift_the_others(tmp_path: Path) -> None:
    assert compared(tmp_path, ROWS[1:]).splitlines() == [
        "sources.csv: 3 rows against 2",
        "  only before: 1 rows (ra poisoned)",
    ]


def test_a_row_that_is_there_twice(tmp_path: Path) -> None:
    assert "only after: 1 rows (ra poisoned 2)" in compared(tmp_path, [*ROWS, ROWS[0]])


def test_many_rows_are_counted_and_a_few_are_named(tmp_path: Path) -> None:
    after = [{**ROWS[0], "run": f"r{letter}x"} for letter in "abcdef"]
    assert "only after: 6 rows (rax poisoned, rbx poisoned, rcx poisoned, ...)" in compared(tmp_path, after)


def test_columns_on_one_side(tmp_path: Path) -> None:
    before = [{"run": "ra", "old": 1, "x": 1, "y": 2}]
    after = [{"run": "ra", "y": 2, "x": 1, "new": 1, "newer": 1}]
    assert compared(tmp_path, after, before).splitlines()[1:] == [
        "  only before: columns old",
        "  only after: columns new, newer",
        "  columns are in another order",
    ]


def test_rows_without_a_run_are_matched_by_place(tmp_path: Path) -> None:
    before = [{"check": "a", "computed": 1.0}, {"check": "b", "computed": 2.0}]
    assert compared(tmp_path, [before[0], {"check": "b", "computed": 2.5}], before).splitlines()[1:] == [
        "  computed: 1 rows differ, by up to 0.5"
    ]
    assert "only before: 1 rows (line 3)" in compared(tmp_path, before[:1], before)


def test_folders(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for folder in (a, b):
        written(folder, ROWS, "same")
        written(folder, ROWS, "changed")
    written(a, ROWS, "gone")
    written(b / "deeper", ROWS, "new")
    written(b, changed(1, epochs=21), "changed")
    text, same = difference(a, b)
    assert not same
    assert text.splitlines() == [
        "changed.csv: 3 rows",
        "  epochs: 1 rows differ, by up to 1",
        f"deeper/new.csv: only in {b}",
        f"gone.csv: only in {a}",
        "same.csv: 3 rows, the same",
        "1 of 4 tables are the same",
    ]


def test_equal_folders(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        written(tmp_path / folder, ROWS)
    text, same = difference(tmp_path / "a", tmp_path / "b")
    assert (text.splitlines()[-1], same) == ("1 of 1 tables are the same", True)


def test_what_is_not_there(tmp_path: Path) -> None:
    there = written(tmp_path, ROWS)
    with pytest.raises(ReproError, match=r"gone: no such folder or table$"):
        difference(there, tmp_path / "gone")
    with pytest.raises(ReproError, match=r"two folders or two tables are wanted, not one of each$"):
        difference(there, tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReproError, match=r"no tables \(\*\.csv\) in either$"):
        difference(tmp_path / "empty", tmp_path / "empty")


def test_malformed_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("a,b\n1\n", encoding="utf-8")
    with pytest.raises(ReproError, match=r"bad\.csv:2: 1 cells where the header has 2$"):
        difference(tmp_path / "bad.csv", written(tmp_path, ROWS))
