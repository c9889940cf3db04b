"""Whether two sets of evidence of a profile, made on different machines, differ by rounding alone.

Equal tables always pass. On one machine evidence is equal byte for byte, so there any difference counts: tables made on
the same processor, platform and device must be equal. On another machine sums are taken in another order, and runs may
diverge because of it, so a single success rate may differ by several images. Rounding is unbiased, though, and does not
change a run's description. Between two machines, therefore:

- rows, their order and the columns are equal, and so is every cell that is not a measurement: text, booleans but for
  ``within_budget``, and the columns of `GIVEN`;
- the mean change of every measured column lies within `ERRORS` standard errors of the paired changes, or within `SHARE`
  of the column's range (0.005 for an ASR that goes from 0 to 1), whichever is larger. Rows of one unit share models, so
  that a unit's mean change counts once. The number of empty cells is held to the same band; a picture counts by its
  mean brightness. With some 250 columns of 30 units or more, five errors are exceeded by chance in less than 1 % of
  comparisons;
- where nothing is trained (tables without runs), numbers agree to `EXACT`;
- no claim's verdict differs.

Evidence that does not record its processor counts as made elsewhere.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from repro.errors import ReproError
from repro.harness.evidence.difference import is_number, table_difference, table_names
from repro.harness.evidence.provenance import parse_provenance
from repro.harness.evidence.table import Cell, Row, Table, read_table

ERRORS = 5.0
SHARE = 0.005
EXACT = 1e-6
MACHINE = ("processor", "platform", "device")

# fmt: off
GIVEN = frozenset((
    "run", "phase", "unit", "partition_seed", "seed", "poison_class", "target_class", "base_class",
    "source_class", "architecture", "trigger", "alpha", "poison_rate", "sources", "victim", "watermark",
    "budget", "attack", "regulariser", "versus", "weight", "learning_rate", "adversarial_images", "training",
    "latent", "mask_share", "family", "members", "ablation", "trigger_kind", "defence", "setting", "model",
    "class", "objective", "check", "loss", "points", "gap", "holds",
))
# fmt: on
"""Columns that say what a row describes, or whether a check holds: these are the same on every machine."""

Pair = tuple[Cell, Cell]


def rounding_apart(before: Path, after: Path) -> tuple[str, bool]:
    """What differs between two folders ``reports/<profile>``, and whether rounding explains all of it.

    Raises ReproError for a folder without tables or verdicts, and for files that are malformed.
    """
    names = table_names(before, after)
    text: list[str] = []
    explained = True
    for name in names:
        lines, good = _table(before / name, after / name)
        text += [f"{name}: {lines[0]}", *lines[1:]]
        explained &= good
    turned = _turned(before / "verdicts.json", after / "verdicts.json")
    text += [f"verdicts: {'the same' if not turned else f'{len(turned)} differ'}", *turned]
    explained &= not turned
    text.append("explained" if explained else "NOT explained by rounding")
    return "\n".join(text), explained


def _table(before: Path, after: Path) -> tuple[list[str], bool]:
    """A line about a table and one for each problem with it, and whether there are no problems."""
    for path, other in ((before, after), (after, before)):
        if not path.exists():
            return [f"only in {other.parent}"], False
    if before.read_bytes() == after.read_bytes():
        return ["equal"], True
    old, new = read_table(before), read_table(after)
    machine = _machine(before)
    if machine and machine == _machine(after):
        return [
            f"differs, though made on {', '.join(machine)} like the other",
            *table_difference(old, new)[1:],
        ], False
    if old.columns != new.columns or _places(old) != _places(new):
        return ["other rows or columns", *table_difference(old, new)[1:]], False
    changes = [line for column in old.columns for line in _column(column, old, new)]
    wrong = [line for line, good in changes if not good]
    if wrong:
        return ["differs by more than rounding", *wrong], False
    return [f"{len(changes)} columns differ by rounding", *(line for line, _ in changes)], True


def _machine(table: Path) -> tuple[str, ...] | None:
    """What made a table, as far as this decides how sums are rounded; None if the processor is not recorded."""
    path = table.with_suffix(".provenance.json")
    try:
        made = parse_provenance(path.read_bytes(), str(path))
    except OSError as error:
        raise ReproError(f"{path}: cannot be read ({error})") from None
    return tuple(map(str, map(made.get, MACHINE))) if made.get("processor") else None


def _places(table: Table) -> list[tuple[Cell, ...]]:
    return [tuple(row.get(column) for column in ("run", "phase")) for row in table]


def _column(column: str, old: Table, new: Table) -> list[tuple[str, bool]]:
    """A line for each column that changed noticeably, and whether rounding explains all changes."""
    pairs = [(row[column], other[column]) for row, other in zip(old, new, strict=True)]
    different = [(a, b) for a, b in pairs if repr(a) != repr(b)]
    if not different:
        return []
    units = [_unit(row, place) for place, row in enumerate(old)]
    if column in GIVEN or not all(_is_measured(column, cell) for pair in pairs for cell in pair):
        a, b = different[0]
        return [(f"  {column}: {len(different)} rows differ, the first {_shown(a)} and {_shown(b)}", False)]
    if "run" not in old.columns:
        return [_calculated(column, different)]
    empty = [(float(a is None), float(b is None)) for a, b in pairs]
    found = [_shift(f"{column} (empty)", empty, units)] if any(a != b for a, b in empty) else []
    both = [(_value(a), _value(b), unit) for (a, b), unit in zip(pairs, units, strict=True) if _filled(a, b)]
    if both:
        found.append(_shift(column, [(a, b) for a, b, _ in both], [unit for *_, unit in both]))
    return found


def _unit(row: Row, place: int) -> Cell:
    """The group that a row's change counts in: its unit, or the row alone if it belongs to no unit or to all."""
    unit = row.get("unit")
    return f"row {place}" if unit is None else unit


def _filled(before: Cell, after: Cell) -> bool:
    return before is not None and after is not None


def _is_measured(column: str, cell: Cell) -> bool:
    if cell is None:
        return True
    if isinstance(cell, str):
        return _is_picture(cell) and column.endswith(("_image", "_images"))
    return column == "within_budget" if isinstance(cell, bool) else math.isfinite(cell)


def _is_picture(cell: str) -> bool:
    try:
        return cell[:1] == "x" and bool(bytes.fromhex(cell[1:]))
    except ValueError:
        return False


def _value(cell: Cell) -> float:
    """A measured cell as a number; a picture's mean brightness in [0, 1]."""
    if isinstance(cell, str):
        return fmean(bytes.fromhex(cell[1:])) / 255
    assert cell is not None
    return float(cell)


def _calculated(column: str, different: Sequence[Pair]) -> tuple[str, bool]:
    """Compare numbers that are calculated rather than trained."""
    for a, b in different:
        if not (is_number(a) and is_number(b) and math.isclose(a, b, rel_tol=EXACT, abs_tol=EXACT**2)):
            return f"  {column}: calculated as {_shown(a)} before and {_shown(b)} after", False
    return f"  {column}: {len(different)} calculated figures differ by less than {EXACT:g} of them", True


def _shift(column: str, pairs: Sequence[tuple[float, float]], units: Sequence[Cell]) -> tuple[str, bool]:
    """How far a column's mean has moved, and how far rounding may move it."""
    changes: dict[Cell, list[float]] = {}
    for (a, b), unit in zip(pairs, units, strict=True):
        changes.setdefault(unit, []).append(b - a)
    means = [fmean(of_unit) for of_unit in changes.values()]
    error = stdev(means) / math.sqrt(len(means)) if len(means) > 1 else 0.0
    values = [value for pair in pairs for value in pair]
    band = max(ERRORS * error, SHARE * (max(values) - min(values)))
    moved = fmean(means)
    apart = sum(a != b for a, b in pairs)
    line = (
        f"  {column}: mean {fmean(a for a, _ in pairs):.6g} before, {fmean(b for _, b in pairs):.6g} after; by unit "
        f"{moved:+.2g}, rounding explains {band:.2g} ({apart} of {len(pairs)} rows differ)"
    )
    return line, abs(moved) <= band


def _shown(cell: Cell) -> str:
    text = "empty" if cell is None else repr(cell)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _turned(before: Path, after: Path) -> list[str]:
    """A line for each claim whose verdict differs."""
    old, new = _verdicts(before), _verdicts(after)
    return [
        f"  {claim}: {old.get(claim, 'no verdict')} before, {new.get(claim, 'no verdict')} after"
        for claim in dict.fromkeys((*old, *new))
        if old.get(claim) != new.get(claim)
    ]


def _verdicts(path: Path) -> dict[str, Any]:
    try:
        return {entry["id"]: entry["verdict"] for entry in json.loads(path.read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ReproError(f"{path}: not a list of verdicts ({error})") from None
