"""Rows of `poison_statistics`: Table 1 worked out anew, then the invariants of every unit from its record."""

from pathlib import Path
from typing import Any

import pytest
from backdoor_grids import TRIGGERS, attack, grid_profile, run_of
from figures import assert_same, of, records_of, rows_of, whole

from repro.harness.experiment import Record

UNITS = 3
SIZES = (710, 980, 734, 675, 904)
POISONED = (71, 98, 73, 67, 90)
RATES = (0.018, 0.025, 0.018, 0.017, 0.023)
DRAWS = (
    (0.0, 21.1, 15.8, 14.6, 19.5),
    (23.0, 0.0, 23.8, 21.9, 29.3),
    (15.9, 21.9, 0.0, 15.1, 20.2),
    (14.3, 19.7, 14.8, 0.0, 18.2),
    (20.6, 28.5, 21.3, 19.6, 0.0),
)


def row(
    check: str, poison_class: int, source: int | None, computed: float, published: float, **about: Any
) -> Any:
    computed_cell = computed if isinstance(computed, int) else pytest.approx(computed, rel=1e-12)
    return {
        "check": check,
        "poison_class": poison_class,
        "source_class": source,
        "unit": about.get("unit"),
        "computed": computed_cell,
        "published": published,
        "tolerance": about.get("tolerance", 0),
        "holds": about.get("holds", True),
    }


def table_1() -> list[Any]:
    """A tenth of each class, rounded down, drawn from the others in proportion to their sizes."""
    rows = []
    for poison, size in enumerate(SIZES):
        rows.append(row("expected_samples", poison, None, size // 10, POISONED[poison]))
        others = sum(SIZES) - size
        for source in range(5):
            if source != poison:
                draws = (size // 10) * SIZES[source] / others
                rows.append(
                    row("drawn_per_source", poison, source, draws, DRAWS[poison][source], tolerance=0.051)
                )
        rate = (size // 10) / sum(SIZES)
        rows.append(row("effective_rate", poison, None, rate, RATES[poison], tolerance=0.00051))
    return rows


def record(phase: str, run: Any) -> Record:
    """Counts of its own for every run, class and check; every second run has equal ones throughout."""
    equal, poison = run.partition_seed % 2 == 0, run.backdoor.poison_class

    def pair(*place: object) -> list[int]:
        first = whole(phase, run.id, *place)
        return [first, first if equal else whole(phase, run.id, *place, "expected")]

    found = {
        "counts": {str(c): pair("count", c) for c in range(10)},
        "draws": {str(c): pair("draw", c) for c in range(10) if c != poison},
    }
    checks = ("poisoned", "originals", "mislabelled", "from_poison_class")
    return found | {name: pair(name) for name in checks}


def test_table_1_stands_before_every_units_counts(tmp_path: Path) -> None:
    profile = grid_profile(tmp_path, "poison_statistics", units=UNITS, trigger="square")
    records = records_of(profile, "poison_statistics", record)
    expected = table_1()
    for unit in range(UNITS):
        run = run_of(unit, "mlp", attack(unit, TRIGGERS["square"]))
        own, name = of(records, "measure", run), f"u{unit:03d}"
        counted = [
            *(("class_counts_unchanged", c, own["counts"][str(c)]) for c in range(10)),
            *(("drawn_per_source_measured", c, own["draws"][str(c)]) for c in range(10) if c != unit),
            ("exactly_floor_supplanted", None, own["poisoned"]),
            ("originals_kept", None, own["originals"]),
            ("relabelled_as_poison_class", None, own["mislabelled"]),
            ("poison_class_never_a_source", None, own["from_poison_class"]),
        ]
        expected += [
            row(check, unit, source, found, wanted, unit=name, holds=found == wanted)
            for check, source, (found, wanted) in counted
        ]
    assert_same(rows_of(profile, "poison_statistics", records), expected)
    assert {row["holds"] for row in expected[30:]} == {True, False}
