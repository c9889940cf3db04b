"""Reading a section back: its text, its tables' cells, and figures computed anew from the rows."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from synthetic_rows import as_plain, write_evidence

from repro.harness.evidence.table import Row
from repro.harness.profile import load_profile
from repro.report import sections
from repro.report.report import Report

UNITS = 5


def shown(
    root: Path, experiment: str, rows: list[Row], change: Callable[[Any], Any] = lambda profile: profile
) -> tuple[str, Report]:
    write_evidence(root, experiment, rows)
    report = Report(root, change(load_profile("digits", root)))
    return as_plain("\n\n".join(sections.section_blocks(report, experiment))), report


def cells(text: str, after: str, keys: int) -> dict[tuple[str, ...], list[str]]:
    """Rows of the first table after a phrase, by their first cells."""
    found = re.search(r"(?:^\|.*\n?)+", text.split(after, 1)[1], re.M)
    assert found, f"no table after {after!r}"
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in found.group().splitlines()[2:]]
    return {tuple(line[:keys]): line[keys:] for line in lines}


def column(rows: list[Row], metric: str, **where: Any) -> np.ndarray:
    chosen = {r["unit"]: r[metric] for r in rows if all(r[c] == v for c, v in where.items())}
    return np.array([float(str(chosen[unit])) for unit in sorted(map(str, chosen))])


def plus_minus(values: np.ndarray, digits: int = 3, *, signed: bool = False) -> str:
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    mean = f"{values.mean():{'+' if signed else ''}.{digits}f}"
    return f"{mean if float(mean) else mean.lstrip('+-')} ± {half:.{digits}f}"


def paired(rows: list[Row], metric: str, own: dict[str, Any], none: dict[str, Any], **both: Any) -> str:
    return plus_minus(column(rows, metric, **own, **both) - column(rows, metric, **none, **both), signed=True)


def drawn_by(monkeypatch: pytest.MonkeyPatch, root: Path, experiment: str, rows: list[Row]) -> Any:
    """The figure that a section makes."""
    kept: list[Any] = []

    def keep(figure: Any) -> bytes:
        kept.append(figure)
        return b""

    monkeypatch.setattr("repro.report.report.png", keep)
    shown(root, experiment, rows)
    return kept[-1]
