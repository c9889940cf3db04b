"""Tables read back equal to what was written, and what is malformed is named."""

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import ReproError
from repro.harness.evidence.table import Cell, Table, read_table, table, to_csv, write_table

LOOKS_LIKE_ANOTHER = re.compile(r"true|false|-?\d+|-?(\d+\.\d*(e[+-]?\d+)?|\d+e[+-]?\d+|inf|nan)")
strings = st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1).filter(
    lambda text: not LOOKS_LIKE_ANOTHER.fullmatch(text)
)
cells = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | strings
columns = st.lists(strings, min_size=2, max_size=5, unique=True)


def same(a: Cell, b: Cell) -> bool:
    return type(a) is type(b) and repr(a) == repr(b)


@given(columns=columns, values=st.lists(st.lists(cells, min_size=5, max_size=5), max_size=6))
def test_every_cell_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, columns: list[str], values: list[list[Cell]]
) -> None:
    rows = [dict(zip(columns, row, strict=False)) for row in values]
    path = tmp_path_factory.getbasetemp() / "round_trip.csv"
    written = Table(tuple(columns), tuple(rows))
    write_table(path, written)
    read = read_table(path)
    assert read.columns == tuple(columns)
    assert len(read) == len(rows)
    for before, after in zip(rows, read, strict=True):
        assert all(same(before[column], after[column]) for column in columns)


@given(st.floats(allow_nan=False))
def test_floats_are_exact(value: float) -> None:
    text = to_csv(table([{"x": value}])).splitlines()[1]
    assert float(text) == value
    assert math.copysign(1, float(text)) == math.copysign(1, value)


def test_special_numbers_read_back(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    values = [math.inf, -math.inf, -0.0, 5e-324, 1e22, 0.1 + 0.2, 1.0]
    write_table(path, table({"x": value, "n": 1} for value in [*values, math.nan]))
    read = [row["x"] for row in read_table(path)]
    assert [repr(value) for value in read] == [repr(value) for value in [*values, math.nan]]
    assert path.read_text(encoding="utf-8").splitlines()[:2] == ["x,n", "inf,1"]


@pytest.mark.parametrize(
    "text", ["1", "-7", "1.5", "1e5", "2.", "inf", "nan", "-inf", "true", "false", "", "a\rb"]
)
def test_a_string_that_would_read_back_as_something_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="would not read back as a string"):
        to_csv(table([{"x": text}]))


def test_rows_must_have_the_same_columns() -> None:
    with pytest.raises(ValueError, match=r"row with columns \('b', 'a'\) in a table of \('a', 'b'\)"):
        table([{"a": 1, "b": 2}, {"b": 2, "a": 1}])


def test_numbers_of_numpy_are_written_as_plain_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    assert to_csv(table([{"a": numpy.float64(0.1)}])) == "a\n0.1\n"


def test_where_and_values(tmp_path: Path) -> None:
    content = table([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 1, "b": "y"}])
    assert [row["b"] for row in content.where(a=1)] == ["x", "y"]
    assert len(content.where(a=1, b="y")) == 1
    assert content.values("a") == (1, 2)
    with pytest.raises(ReproError, match=r"^evidence has no column 'c': a, b$"):
        content.where(c=1)


def test_missing_table(tmp_path: Path) -> None:
    with pytest.raises(ReproError, match=r"gone\.csv: no such evidence; `dvc repro` makes it$"):
        read_table(tmp_path / "gone.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"t\.csv: empty; `dvc repro` makes it anew$"),
        (b"a,b\n1,2\n3\n", r"t\.csv:3: 1 cells where the header has 2$"),
        (b"a,b\n1,2,3\n", r"t\.csv:2: 3 cells where the header has 2$"),
        (b"\xff\xfe", r"t\.csv: cannot be read as text "),
        (b"version https://git-lfs\nsize 12,5\n", r"t\.csv:2: 2 cells where the header has 1$"),
    ],
)
def test_malformed_table_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(ReproError, match=message) as error:
        read_table(path)
    assert "\n" not in str(error.value)
