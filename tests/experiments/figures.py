"""Records made by hand, in which every run, phase, checkpoint and probe has a figure of its own.

Whatever is read from another place than the right one then shows. A test writes out the descriptions of the runs that
its experiment should have, looks them up in the records, and lays the rows out itself.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from synthetic_records import runs_of

from repro import plugins
from repro.harness.evidence.table import Row
from repro.harness.experiment import Record, Records
from repro.harness.profile import Profile


def figure(*place: object) -> float:
    """A fraction that belongs to one place alone: a phase, a run, a field and, where there are several, a position."""
    return int(hashlib.sha256(repr(place).encode()).hexdigest()[:13], 16) / 16**13


def whole(*place: object, below: int = 10**9) -> int:
    """A whole number that belongs to a place; one of few need not be its own."""
    return int(figure(*place) * below)


def records_of(profile: Profile, experiment: str, record: Callable[[str, Any], Record]) -> Records:
    """By phase and run, ``record(phase, run)`` of every run that an experiment trains or measures."""
    phases = plugins.load("experiment", experiment).EXPERIMENT.phases
    return {
        phase.name: {
            run.id: {"run": run.id} | record(phase.name, run)
            for run in runs_of(profile, experiment, phase.name)
        }
        for phase in phases
    }


def of(records: Records, phase: str, run: Any) -> Record:
    """The record of a run that a test has described."""
    assert run.id in records[phase], f"no run of phase {phase} is {run}"
    return records[phase][run.id]


def rows_of(profile: Profile, experiment: str, records: Records) -> list[Row]:
    found: list[Row] = plugins.load("experiment", experiment).EXPERIMENT.rows(profile, records)
    return found


def assert_same(found: Sequence[Row], expected: Sequence[dict[str, Any]]) -> None:
    """The same rows in the same order, and of each the same columns in the same order, with cells of the same types."""
    for at, (row, wanted) in enumerate(zip(found, expected, strict=False)):
        assert row == wanted, f"row {at}"
        types = {name: type(getattr(cell, "expected", cell)) for name, cell in wanted.items()}
        assert [*((name, type(cell)) for name, cell in row.items())] == [*types.items()], f"row {at}"
    assert len(found) == len(expected)
