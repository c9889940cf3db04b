"""Rows of `sources`: many source classes, then one, of each unit's own drawing."""

from itertools import product
from pathlib import Path

from backdoor_grids import ARCHITECTURES, TRIGGERS, attack, expected_row, grid_profile, record, run_of
from figures import assert_same, records_of, rows_of
from synthetic_records import runs_of

from repro.harness.profile import Profile

UNITS = 3
NAMES = ["sine", "square"]


def source_classes(profile: Profile) -> dict[int, int]:
    """The one source class of each unit, which all of its one-to-one runs share."""
    found: dict[int, set[int]] = {}
    for run in runs_of(profile, "sources", "train"):
        if run.backdoor and run.backdoor.source_class is not None:
            found.setdefault(int(run.unit[1:]), set()).add(run.backdoor.source_class)
    assert all(len(classes) == 1 for classes in found.values())
    return {unit: classes.pop() for unit, classes in found.items()}


def test_a_model_of_one_source_class_follows_that_of_many(tmp_path: Path) -> None:
    profile = grid_profile(tmp_path, "sources", units=UNITS, triggers=NAMES)
    records, chosen = records_of(profile, "sources", record), source_classes(profile)
    expected = []
    for architecture, (probe, name), unit in product(ARCHITECTURES, enumerate(NAMES), range(UNITS)):
        probes = tuple(attack(unit, TRIGGERS[each]) for each in NAMES)
        clean = run_of(unit, architecture, None, probes=probes)
        for source in (None, chosen[unit]):
            run = run_of(unit, architecture, attack(unit, TRIGGERS[name], source=source))
            expected.append(expected_row(records, "poisoned", run, clean, probe))
    assert_same(rows_of(profile, "sources", records), expected)


def test_every_unit_draws_its_source_class_from_all_classes_but_its_poison_class(tmp_path: Path) -> None:
    profile = grid_profile(tmp_path, "sources", units=100, triggers=["square"])
    chosen = source_classes(profile)
    assert len(chosen) == 100
    places = [sorted({*range(10)} - {unit % 10}).index(source) for unit, source in chosen.items()]
    assert set(places) == set(range(9))
