"""Rows of `transparency`: each trigger at each opacity and poison rate, before and after its own retraining."""

from dataclasses import replace
from itertools import product
from pathlib import Path

from backdoor_grids import (
    ARCHITECTURES,
    RETRAINED,
    TRIGGERS,
    attack,
    expected_row,
    grid_profile,
    record,
    run_of,
)
from figures import assert_same, records_of, rows_of

UNITS = 2
ALPHAS = [0.2, 1.0]
POISON_RATES = [0.05, 0.3]


def test_the_floor_is_the_clean_models_at_the_same_opacity_whatever_the_poison_rate(tmp_path: Path) -> None:
    names = ["sine", "square"]
    profile = grid_profile(
        tmp_path, "transparency", units=UNITS, triggers=names, alphas=ALPHAS, poison_rates=POISON_RATES
    )
    records = records_of(profile, "transparency", record)
    expected = []
    for architecture, unit in product(ARCHITECTURES, range(UNITS)):
        triggers = [replace(TRIGGERS[name], alpha=alpha) for name, alpha in product(names, ALPHAS)]
        probes = tuple(attack(unit, trigger, POISON_RATES[0]) for trigger in triggers)
        clean = run_of(unit, architecture, None, probes=probes)
        for (probe, trigger), rate in product(enumerate(triggers), POISON_RATES):
            run = run_of(unit, architecture, attack(unit, trigger, rate))
            after = replace(run, retraining=RETRAINED[architecture])
            expected += [
                expected_row(records, "poisoned", run, clean, probe),
                expected_row(records, "retrained", after, clean, probe, phase="retrain"),
            ]
    assert_same(rows_of(profile, "transparency", records), expected)
