"""Evidence tables: CSV whose cells read back equal to what was written.

A cell is None (empty), a bool (``true``/``false``), an int, a float (written by ``repr``, which is exact)
or a string that looks like none of these.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from repro.errors import ReproError
from repro.files import write_text

Cell = str | int | float | bool | None
Row = dict[str, Cell]

_INTEGER = re.compile(r"-?\d+")
_FLOAT = re.compile(r"-?(\d+\.\d*(e[+-]?\d+)?|\d+e[+-]?\d+|inf|nan)")


@dataclass(frozen=True)
class Table:
    """Rows with the same columns, in the order in which they are written."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, **wanted: Cell) -> "Table":
        """The rows whose cells equal every wanted value; an unknown column is an error."""
        for column in wanted:
            if column not in self.columns:
                raise ReproError(f"evidence has no column {column!r}: {', '.join(self.columns)}")
        rows = tuple(r for r in self.rows if all(r[c] == v for c, v in wanted.items()))
        return Table(self.columns, rows)

    def values(self, column: str) -> tuple[Cell, ...]:
        """The distinct values of a column, in order of appearance."""
        return tuple(dict.fromkeys(r[column] for r in self.rows))


def table(rows: Iterable[Mapping[str, Cell]]) -> Table:
    """A table of rows, which must all have the first row's columns."""
    listed = [dict(r) for r in rows]
    columns = tuple(listed[0]) if listed else ()
    for row in listed:
        if tuple(row) != columns:
            raise ValueError(f"row with columns {tuple(row)} in a table of {columns}")
    return Table(columns, tuple(listed))


def _write_cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, int):
        return repr(int(value))
    if _read_cell(value) != value or "\r" in value:
        raise ValueError(f"string {value!r} would not read back as a string")
    return value


def _read_cell(text: str) -> Cell:
    if text == "":
        return None
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def write_table(path: Path, content: Table) -> None:
    """Write the table as CSV, in one step."""
    write_text(path, to_csv(content))


def to_csv(content: Table) -> str:
    """The table as CSV text."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(content.columns)
    writer.writerows([_write_cell(r[c]) for c in content.columns] for r in content.rows)
    return buffer.getvalue()


def read_table(path: Path) -> Table:
    """Read a table; raises ReproError naming the file and line when it is missing or malformed."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ReproError(f"{path}: no such evidence; `dvc repro` makes it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ReproError(f"{path}: cannot be read as text ({error})") from None
    lines = list(csv.reader(io.StringIO(text)))
    if not lines:
        raise ReproError(f"{path}: empty; `dvc repro` makes it anew")
    columns = tuple(lines[0])
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(columns):
            raise ReproError(f"{path}:{number}: {len(line)} cells where the header has {len(columns)}")
        rows.append(dict(zip(columns, map(_read_cell, line), strict=True)))
    return Table(columns, tuple(rows))
