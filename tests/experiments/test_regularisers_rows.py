"""Rows of `regularisers`: each at the weight of its architecture, early-stopped and at a fixed length."""

from itertools import product
from pathlib import Path

from backdoor_grids import (
    ARCHITECTURES,
    FIXED,
    STOPPED,
    TRIGGERS,
    WEIGHTS,
    attack,
    defence,
    expected_row,
    grid_profile,
    record,
    run_of,
)
from figures import assert_same, records_of, rows_of

UNITS = 3
NAMES = ["snnl", "logit_squeezing"]


def test_early_stopped_models_come_first_and_every_weight_is_its_architectures(tmp_path: Path) -> None:
    profile = grid_profile(tmp_path, "regularisers", units=UNITS, trigger="sine", regularisers=NAMES)
    records = records_of(profile, "regularisers", record)
    expected = []
    for phase, recipes in (("early-stopped", STOPPED), ("fixed-epochs", FIXED)):
        for architecture, name, unit in product(ARCHITECTURES, ["none", *NAMES], range(UNITS)):
            backdoor = attack(unit, TRIGGERS["sine"])
            own = defence(name, WEIGHTS[name][architecture] if name in WEIGHTS else 0.0)
            run = run_of(unit, architecture, backdoor, recipe=recipes[architecture], defence=own)
            clean = run_of(unit, architecture, None, probes=(backdoor,))
            expected.append(expected_row(records, phase, run, clean, 0))
    assert_same(rows_of(profile, "regularisers", records), expected)
