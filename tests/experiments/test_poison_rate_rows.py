"""Rows of `poison_rate`: one architecture, each trigger at each poison rate, all rates with one floor."""

from itertools import product
from pathlib import Path

from backdoor_grids import TRIGGERS, attack, expected_row, grid_profile, record, run_of
from figures import assert_same, records_of, rows_of

UNITS = 3
POISON_RATES = [0.05, 0.4, 1.0]


def test_every_rate_of_a_trigger_stands_beside_the_floor_of_that_trigger(tmp_path: Path) -> None:
    names = ["sine", "square"]
    profile = grid_profile(
        tmp_path, "poison_rate", units=UNITS, architecture="cnn", triggers=names, poison_rates=POISON_RATES
    )
    records = records_of(profile, "poison_rate", record)
    expected = []
    for unit, (probe, name) in product(range(UNITS), enumerate(names)):
        probes = tuple(attack(unit, TRIGGERS[each], POISON_RATES[0]) for each in names)
        clean = run_of(unit, "cnn", None, probes=probes)
        for rate in POISON_RATES:
            run = run_of(unit, "cnn", attack(unit, TRIGGERS[name], rate))
            expected.append(expected_row(records, "poisoned", run, clean, probe))
    assert_same(rows_of(profile, "poison_rate", records), expected)
