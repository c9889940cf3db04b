"""Where two sets of evidence differ: run by run, column by column, and by how much."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeGuard

from repro.errors import ReproError
from repro.harness.evidence.table import Cell, Row, Table, read_table

Key = tuple[Cell, ...]
_SHOWN = 3


def difference(before: Path, after: Path) -> tuple[str, bool]:
    """The differences between two tables, or between all tables of two folders, and whether there are none.

    Rows are matched by run and phase, or by position in a table without the column ``run``. Cells are equal when their
    text is, so 1 and 1.0 differ. Raises ReproError for paths that do not exist, hold no table, or are malformed.
    """
    for path in (before, after):
        if not path.exists():
            raise ReproError(f"{path}: no such folder or table")
    if before.is_dir() != after.is_dir():
        raise ReproError(f"{before} and {after}: two folders or two tables are wanted, not one of each")
    if not before.is_dir():
        lines = table_difference(read_table(before), read_table(after))
        return "\n".join([_heading(after.name, lines), *lines[1:]]), len(lines) == 1
    return _folder_difference(before, after)


def table_names(before: Path, after: Path) -> list[Path]:
    """Tables of two folders by their relative paths, sorted; raises ReproError if neither has any."""
    for folder in (before, after):
        if not folder.is_dir():
            raise ReproError(f"{folder}: no such folder")
    names = sorted({path.relative_to(folder) for folder in (before, after) for path in folder.rglob("*.csv")})
    if not names:
        raise ReproError(f"{before} and {after}: no tables (*.csv) in either")
    return names


def _folder_difference(before: Path, after: Path) -> tuple[str, bool]:
    names = table_names(before, after)
    text: list[str] = []
    same = 0
    for name in names:
        if not (before / name).exists() or not (after / name).exists():
            text.append(f"{name}: only in {before if (before / name).exists() else after}")
            continue
        lines = table_difference(read_table(before / name), read_table(after / name))
        same += len(lines) == 1
        text += [_heading(str(name), lines), *lines[1:]]
    text.append(f"{same} of {len(names)} tables are the same")
    return "\n".join(text), same == len(names)


def _heading(name: str, lines: list[str]) -> str:
    return f"{name}: {lines[0]}{', the same' if len(lines) == 1 else ''}"


def table_difference(before: Table, after: Table) -> list[str]:
    """Number of rows, then one line per difference."""
    old, new = _keyed(before), _keyed(after)
    rows = f"{len(before)} rows" if len(before) == len(after) else f"{len(before)} rows against {len(after)}"
    lines = [rows]
    for side, there, other in (("before", old, new), ("after", new, old)):
        lonely = [key for key in there if key not in other]
        if lonely:
            lines.append(f"  only {side}: {len(lonely)} rows ({_listed(lonely)})")
    shared = [key for key in old if key in new]
    if shared != [key for key in new if key in old]:
        lines.append("  rows are in another order")
    for side, columns, others in (
        ("before", before.columns, after.columns),
        ("after", after.columns, before.columns),
    ):
        alone = [column for column in columns if column not in others]
        if alone:
            lines.append(f"  only {side}: columns {', '.join(alone)}")
    common = [column for column in before.columns if column in after.columns]
    if common != [column for column in after.columns if column in before.columns]:
        lines.append("  columns are in another order")
    for column in common:
        pairs = [(old[key][column], new[key][column]) for key in shared]
        different = [(a, b) for a, b in pairs if repr(a) != repr(b)]
        if different:
            lines.append(f"  {column}: {len(different)} rows differ{_magnitude(different)}")
    return lines


def _keyed(table: Table) -> dict[Key, Row]:
    """Rows by run and phase and by the number of earlier rows with the same ones; or by line."""
    if "run" not in table.columns:
        return {(f"line {number}",): row for number, row in enumerate(table, start=2)}
    seen: Counter[Key] = Counter()
    keyed = {}
    for row in table:
        key = tuple(row[column] for column in ("run", "phase") if column in row)
        seen[key] += 1
        keyed[key if seen[key] == 1 else (*key, seen[key])] = row
    return keyed


def _listed(keys: Sequence[Key]) -> str:
    shown = ", ".join(" ".join(map(str, key)) for key in keys[:_SHOWN])
    return f"{shown}, ..." if len(keys) > _SHOWN else shown


def _magnitude(different: Sequence[tuple[Cell, Cell]]) -> str:
    sizes = [abs(float(a) - float(b)) for a, b in different if is_number(a) and is_number(b)]
    largest = max((math.inf if math.isnan(size) else size for size in sizes), default=None)
    return "" if largest is None else f", by up to {largest:.3g}"


def is_number(cell: Cell) -> TypeGuard[int | float]:
    """Whether a cell holds a number; booleans do not count."""
    return isinstance(cell, int | float) and not isinstance(cell, bool)
