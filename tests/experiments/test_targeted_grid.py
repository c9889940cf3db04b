"""Targeted attacks without their training: the grid, its rows from synthetic records, and the strongest attempt."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_records import EVIDENCE, TUNING, runs_of, small_profile

from repro.harness.evidence.table import Row, Table, table
from repro.harness.profile import Profile
from repro.harness.runs import Defence
from repro.papers.desanctis.experiments import targeted
from repro.papers.desanctis.experiments.targeted.runs import TargetedRun
from repro.training.recipe import Recipe

UNITS, TUNING_UNITS = 5, 4
PICTURES = ("base_image", "target_image", "poison_image")
CONDITIONS = [(1, 0.0), (5, 0.3), (3, 0.0)]
MARGIN = Defence("margin", 2.0)
STRONGEST = Defence("margin_sampled", 4.0)


def changed(tmp_path: Path, form: str = "margin_sampled", weight: float = 4.0, **changes: Any) -> Profile:
    about = {
        "units": UNITS,
        "tuning_units": TUNING_UNITS,
        "margin_weight": 2.0,
        "attempts": [0.5, 4.0],
        "strongest": {"defence": form, "weight": weight},
        "frozen": {"learning_rate": 0.05, "epochs": 6, "budgets": [2, 4]},
        "end_to_end": {"epochs": 3, "conditions": [{"budget": b, "watermark": w} for b, w in CONDITIONS]},
    }
    return small_profile(tmp_path, "targeted", **(about | changes))


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return changed(tmp_path)


def records_of(profile: Profile) -> dict[str, dict[str, dict[str, Any]]]:
    draw = np.random.default_rng(5)
    return {
        "attack": {
            run.id: {
                "run": run.id,
                "target": 17,
                "bases": [1, 2],
                "target_class": int(draw.integers(10**9)),
                "pictures": [f"x{run.id}{place}" for place in range(3)],
            }
            | {name: float(draw.uniform()) for name in targeted.MEASURED}
            for run in runs_of(profile, "targeted", "attack")
        }
    }


def rows_of(profile: Profile, records: dict[str, dict[str, dict[str, Any]]]) -> Table:
    return table(targeted.EXPERIMENT.rows(profile, records))


Condition = tuple[bool, int, float, Defence]


def attacked() -> list[Condition]:
    """Frozen or not, how many poisons, how much of a watermark, which defence."""
    frozen = [(True, budget, 0.0, Defence()) for budget in (2, 4)]
    return frozen + [(False, b, w, d) for (b, w), d in product(CONDITIONS, (Defence(), MARGIN))]


def strongest() -> list[Condition]:
    return [(False, budget, watermark, STRONGEST) for budget, watermark in CONDITIONS]


def attempted() -> list[Condition]:
    """Of the conditions without a watermark the one with most poisons."""
    tried = [Defence(form, weight) for form, weight in product(("margin", "margin_sampled"), (0.5, 4.0))]
    return [(False, 3, 0.0, defence) for defence in (Defence(), *tried)]


def expected_rows(profile: Profile, records: dict[str, dict[str, dict[str, Any]]]) -> list[Row]:
    runs: dict[Any, TargetedRun] = {
        (run.frozen, run.budget, run.watermark, repr(run.defence), run.seed): run
        for run in runs_of(profile, "targeted", "attack")
    }
    found: list[Row] = []
    for phase, conditions, first, units in (
        ("attacked", attacked(), EVIDENCE, UNITS),
        ("strongest", strongest(), EVIDENCE, UNITS),
        ("attempted", attempted(), TUNING, TUNING_UNITS),
    ):
        for (frozen, budget, watermark, defence), unit in product(conditions, range(units)):
            run = runs[frozen, budget, watermark, repr(defence), first + unit]
            record = records["attack"][run.id]
            shown = record["pictures"] if phase == "attacked" and unit < 3 else [None, None, None]
            described: Row = {
                "run": run.id,
                "phase": phase,
                "unit": f"u{unit:03d}",
                "partition_seed": first + unit,
                "seed": first + unit,
                "base_class": unit % 10,
                "target_class": record["target_class"],
                "victim": "frozen" if frozen else "end-to-end",
                "budget": budget,
                "watermark": watermark,
                "regulariser": defence.name,
                "weight": defence.weight,
                "architecture": "mlp",
            }
            measured = {name: record[name] for name in targeted.MEASURED}
            found.append(described | measured | dict(zip(PICTURES, shown, strict=True)))
    return found


def test_rows_are_those_of_each_condition_in_its_phase_with_pictures_of_the_first_three_units(
    profile: Profile,
) -> None:
    records = records_of(profile)
    found = rows_of(profile, records)
    assert list(found) == expected_rows(profile, records)
    assert found.columns[-3:] == PICTURES
    with_pictures = [row for row in found if row["base_image"] is not None]
    assert len(with_pictures) == 3 * len(attacked())
    assert {(row["phase"], row["unit"]) for row in with_pictures} == {
        ("attacked", f"u{unit:03d}") for unit in range(3)
    }


def test_every_run_that_is_trained_has_a_row_and_is_trained_as_the_profile_says(profile: Profile) -> None:
    runs = runs_of(profile, "targeted", "attack")
    rows = rows_of(profile, records_of(profile))
    assert sorted(run.id for run in runs) == sorted(str(run) for run in rows.values("run"))
    for run in runs:
        assert run.recipe == (Recipe(0.05, 32, 6) if run.frozen else Recipe(0.003, 32, 3))
        assert run.encoder_recipe == Recipe(0.003, 32, 3)
        assert (run.members, run.nonmembers) == (60, 120)
        assert run.crafting == {"beta": 1.0, "step": 1.0, "iterations": 5}
        assert not run.frozen or run.defence == Defence()


def test_attempts_are_on_the_tunings_seeds_and_all_else_on_the_evidences(profile: Profile) -> None:
    rows = rows_of(profile, records_of(profile))
    evidence, tuning = range(EVIDENCE, EVIDENCE + UNITS), range(TUNING, TUNING + TUNING_UNITS)
    for phase, seeds in (("attacked", evidence), ("strongest", evidence), ("attempted", tuning)):
        assert set(rows.where(phase=phase).values("seed")) == set(seeds)
    encoders = [run.seed for run in runs_of(profile, "targeted", "train")]
    assert sorted(encoders) == [*evidence, *tuning]


def test_a_strongest_attempt_that_stands_anyway_is_trained_once_and_shown_in_both_phases(
    tmp_path: Path,
) -> None:
    profile = changed(tmp_path, "margin", 2.0)
    runs = runs_of(profile, "targeted", "attack")
    assert len({run.id for run in runs}) == len(runs)
    assert len(runs) == len(attacked()) * UNITS + len(attempted()) * TUNING_UNITS
    rows = rows_of(profile, records_of(profile))
    of_margin = list(rows.where(phase="attacked", regulariser="margin"))
    again = list(rows.where(phase="strongest"))
    assert len(again) == len(CONDITIONS) * UNITS
    without = {"phase", *PICTURES}
    assert [{c: v for c, v in row.items() if c not in without} for row in again] == [
        {c: v for c, v in row.items() if c not in without} for row in of_margin
    ]


def test_attempts_meet_a_watermark_only_where_every_condition_has_one(tmp_path: Path) -> None:
    marked = [
        {"budget": 2, "watermark": 0.1},
        {"budget": 6, "watermark": 0.4},
        {"budget": 4, "watermark": 0.2},
    ]
    profile = changed(tmp_path, end_to_end={"epochs": 3, "conditions": marked})
    attempts = rows_of(profile, records_of(profile)).where(phase="attempted")
    assert attempts.values("budget") == (6,)
    assert attempts.values("watermark") == (0.4,)


@given(
    st.lists(st.integers(0, 1000), min_size=4 * 3, max_size=4 * 3),
    st.integers(0, 100),
)
def test_the_strongest_attempt_leaves_the_lowest_mean_share_collapsed(values: list[int], seed: int) -> None:
    attempts = list(product(("margin", "margin_sampled"), (0.5, 4.0)))
    shares = dict(zip(attempts, np.array(values).reshape(4, 3).tolist(), strict=True))
    rows = [
        {"phase": "attempted", "regulariser": form, "weight": weight, "collapsed_rate": float(share)}
        for (form, weight), units in shares.items()
        for share in units
    ]
    rows += [
        {"phase": phase, "regulariser": name, "weight": weight, "collapsed_rate": -1e6}
        for phase, name, weight in (
            ("attempted", "none", 0.0),
            ("attacked", "margin", 4.0),
            ("strongest", "margin_sampled", 0.5),
        )
    ]
    order = np.random.default_rng(seed).permutation(len(rows))
    form, weight = targeted.strongest_attempt(table(rows[i] for i in order))
    assert sum(shares[form, weight]) == min(sum(units) for units in shares.values())
