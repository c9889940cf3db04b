"""Rows of `trigger_by_model`: each trigger and architecture before and after its own retraining, beside its floor."""

from dataclasses import replace
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

UNITS = 3


def test_every_poisoned_model_has_a_row_before_and_a_row_after_its_retraining(tmp_path: Path) -> None:
    profile = grid_profile(tmp_path, "trigger_by_model", units=UNITS, triggers=["square", "sine"])
    records = records_of(profile, "trigger_by_model", record)
    expected = []
    for architecture in ARCHITECTURES:
        for unit in range(UNITS):
            attacks = [attack(unit, TRIGGERS[name]) for name in ("square", "sine")]
            clean = run_of(unit, architecture, None, probes=tuple(attacks))
            for probe, backdoor in enumerate(attacks):
                run = run_of(unit, architecture, backdoor)
                after = replace(run, retraining=RETRAINED[architecture])
                expected += [
                    expected_row(records, "poisoned", run, clean, probe),
                    expected_row(records, "retrained", after, clean, probe, phase="retrain"),
                ]
    assert_same(rows_of(profile, "trigger_by_model", records), expected)
