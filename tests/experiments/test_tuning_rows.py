"""Rows of `tuning`, on seeds of its own; and its rules, where accuracy and the attack's success point opposite ways."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backdoor_grids import (
    ARCHITECTURES,
    STOPPED,
    TRIGGERS,
    attack,
    defence,
    expected_row,
    grid_profile,
    record,
    run_of,
)
from figures import assert_same, figure, records_of, rows_of
from synthetic_records import TUNING

from repro.harness.evidence.table import Table, table
from repro.papers.truong2020.experiments import tuning

UNITS = 3
RATES = [0.06, 0.004]
GRIDS = {"snnl": [0.5, 7.0], "logit_squeezing": [0.3]}


def test_learning_rates_come_first_and_weights_at_the_profiles_rate(tmp_path: Path) -> None:
    profile = grid_profile(
        tmp_path, "tuning", units=UNITS, trigger="sine", learning_rates=RATES, weights=GRIDS
    )
    records = records_of(profile, "tuning", record)
    weighed = [defence(name, weight) for name, weights in GRIDS.items() for weight in weights]
    expected = []
    for architecture in ARCHITECTURES:
        own = STOPPED[architecture]
        candidates = [
            *((defence("none", 0.0), rate) for rate in RATES),
            *((each, own.learning_rate) for each in weighed),
        ]
        for (each, rate), unit in product(candidates, range(UNITS)):
            backdoor = attack(unit, TRIGGERS["sine"])
            recipe = replace(own, learning_rate=rate)
            run = run_of(unit, architecture, backdoor, TUNING, recipe=recipe, defence=each)
            clean = run_of(unit, architecture, None, TUNING, probes=(backdoor,))
            expected.append(expected_row(records, "tuned", run, clean, 0) | {"learning_rate": rate})
    assert_same(rows_of(profile, "tuning", records), expected)


Candidate = tuple[str, str, float, float]
"""Architecture, regulariser, weight and learning rate."""


def evidence(accuracies: dict[Candidate, float], sign: int) -> Table:
    """Two units of each candidate, in any order, whose clean accuracies have this mean.

    All else that is measured rises with clean accuracy (``sign`` 1) or falls as it rises (-1), so that a rule that
    looks at anything else chooses otherwise for one of both signs.
    """
    rows: list[dict[str, Any]] = []
    for (architecture, name, weight, rate), mean in accuracies.items():
        for unit, accuracy in enumerate((mean - 0.0625, mean + 0.0625)):
            about = {
                "architecture": architecture,
                "regulariser": name,
                "weight": weight,
                "learning_rate": rate,
            }
            other = 0.5 + sign * (accuracy - 0.5)
            measured = dict.fromkeys(("asr", "poisoned_accuracy", "clean_model_asr"), other)
            clean = {"clean_accuracy": accuracy, "clean_model_accuracy": figure(unit)}
            rows.append({"unit": f"u{unit:03d}"} | about | measured | clean)
    order = np.random.default_rng(len(rows)).permutation(len(rows))
    return table(rows[i] for i in order)


# Of equal rates the lower is right, for cnn; the heaviest weight costs the whole budget of 1/8, in binary fractions.
ACCURACIES: dict[Candidate, float] = {
    ("mlp", "none", 0.0, 0.01): 0.5,
    ("mlp", "none", 0.0, 0.1): 0.75,
    ("mlp", "none", 0.0, 1.0): 0.25,
    ("cnn", "none", 0.0, 0.1): 0.875,
    ("cnn", "none", 0.0, 0.01): 0.875,
    ("cnn", "none", 0.0, 1.0): 0.375,
    ("mlp", "snnl", 1.0, 0.1): 0.6875,
    ("mlp", "snnl", 4.0, 0.1): 0.625,
    ("mlp", "snnl", 16.0, 0.1): 0.375,
    ("cnn", "snnl", 1.0, 0.01): 0.8125,
    ("cnn", "snnl", 4.0, 0.01): 0.71875,
    ("cnn", "snnl", 16.0, 0.01): 0.5,
    # A light weight that costs too much, and a heavier one that does not; and one whose lightest costs too much.
    ("mlp", "logit_squeezing", 1.0, 0.1): 0.25,
    ("mlp", "logit_squeezing", 4.0, 0.1): 0.875,
    ("cnn", "logit_squeezing", 1.0, 0.01): 0.625,
    ("cnn", "logit_squeezing", 4.0, 0.01): 0.5,
}


@pytest.mark.parametrize("sign", [1, -1])
def test_the_learning_rate_is_that_of_the_highest_clean_accuracy_whatever_the_attack_does(sign: int) -> None:
    assert tuning.chosen_learning_rates(evidence(ACCURACIES, sign)) == {"mlp": 0.1, "cnn": 0.01}


@pytest.mark.parametrize("sign", [1, -1])
def test_the_weight_is_the_heaviest_within_the_budget_whatever_the_attack_does(sign: int) -> None:
    assert tuning.chosen_weights(evidence(ACCURACIES, sign), 0.125) == {
        "snnl": {"mlp": 4.0, "cnn": 1.0},
        "logit_squeezing": {"mlp": 4.0, "cnn": 0.0},
    }
    wide = tuning.chosen_weights(evidence(ACCURACIES, sign), 0.375)
    assert wide["snnl"] == {"mlp": 16.0, "cnn": 16.0}


@pytest.mark.parametrize("sign", [1, -1])
def test_a_profile_disagrees_where_its_values_are_not_the_rules(tmp_path: Path, sign: int) -> None:
    """The profile trains mlp at 0.01 and cnn at 0.03, retrains at 0.02 and 0.04, and weighs each as `WEIGHTS` says."""
    profile = grid_profile(tmp_path, "tuning", budget=0.125)
    assert sorted(tuning.disagreements(profile, evidence(ACCURACIES, sign))) == [
        "cnn: learning rate 0.03, the rule chooses 0.01",
        "cnn: learning rate 0.04, the rule chooses 0.01",
        "logit_squeezing on cnn: weight 0.2, the rule chooses 0.0",
        "logit_squeezing on mlp: weight 0.1, the rule chooses 4.0",
        "mlp: learning rate 0.01, the rule chooses 0.1",
        "mlp: learning rate 0.02, the rule chooses 0.1",
        "snnl on cnn: weight 5.0, the rule chooses 1.0",
        "snnl on mlp: weight 1.0, the rule chooses 4.0",
    ]
