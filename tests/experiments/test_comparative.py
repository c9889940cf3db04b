"""The comparative study without its training: its grid, and its rows from synthetic records."""

from collections import Counter
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from synthetic_records import (
    EVIDENCE,
    GRIDS,
    MEASURED,
    TUNING,
    TUNING_UNITS,
    UNITS,
    comparative_profile,
    exposed_records,
    runs_of,
)

from repro.harness.evidence.table import Row, Table, table
from repro.harness.profile import Profile
from repro.harness.runs import Defence
from repro.papers.desanctis.experiments import comparative
from repro.papers.desanctis.victims.experiment import exposed_row, matched
from repro.papers.desanctis.victims.runs import ExposureRun
from repro.training.recipe import Recipe

NAMES = ("none", "margin", "dp_sgd", "crl", "margin_strongest")
ATTACKS = ("none", "dirty_label", "clean_label")
AVERAGED = ("auc", "target_auc", "member_accuracy", "test_accuracy", "target_accuracy", "other_accuracy")


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return comparative_profile(tmp_path)


@pytest.fixture
def records(profile: Profile) -> dict[str, dict[str, Any]]:
    return exposed_records(profile, "comparative", "tune", "expose")


@pytest.fixture
def rows(profile: Profile, records: dict[str, dict[str, Any]]) -> Table:
    return table(comparative.EXPERIMENT.rows(profile, records))


def in_phase(rows: Table, phase: str) -> list[Row]:
    return list(rows.where(phase=phase))


def named(profile: Profile) -> dict[tuple[str, str, str, int], ExposureRun]:
    """Compared runs by victim, attack, the defence's name in the study, and seed."""
    found = {}
    strongest = profile.settings("comparative").strongest
    for run in runs_of(profile, "comparative", "expose"):
        attack = {None: "none", "dirty_label": "dirty_label", "feature_collision": "clean_label"}[
            run.attack.name if run.attack else None
        ]
        names = [run.defence.name] if run.defence.name in ("none", *GRIDS) else []
        if (run.defence.name, run.defence.weight) == (
            strongest.defence,
            strongest.weight,
        ) and attack != "none":
            names.append("margin_strongest")
        for name in names:
            found[run.victim, attack, name, run.seed] = run
    return found


def conditions() -> list[tuple[str, str, str]]:
    return [
        (victim, attack, name)
        for victim, attack, name in product(("scratch", "fine-tuned"), ATTACKS, NAMES)
        if attack != "none" or name in ("none", "crl")
    ]


def test_tuning_runs_are_of_the_tuning_seeds_and_evidence_of_the_evidences(profile: Profile) -> None:
    tuning = range(TUNING, TUNING + TUNING_UNITS)
    evidence = range(EVIDENCE, EVIDENCE + UNITS)
    assert {run.seed for run in runs_of(profile, "comparative", "tune")} == set(tuning)
    assert {run.seed for run in runs_of(profile, "comparative", "expose")} == set(evidence)
    encoders = [run.seed for run in runs_of(profile, "comparative", "train")]
    assert sorted(encoders) == [*evidence, *tuning]


def test_every_weight_of_every_grid_is_tuned_from_scratch_without_poison_and_every_attempt_with_clean_labels(
    profile: Profile,
) -> None:
    found = Counter(
        (
            run.victim,
            run.attack.name if run.attack else None,
            run.defence.name,
            run.defence.weight,
            str(run.defence.options),
        )
        for run in runs_of(profile, "comparative", "tune")
    )
    expected = [("scratch", None, "none", 0.0, "{}")]
    for name, tried in GRIDS.items():
        options = str(tried.get("options", {}))
        expected += [("scratch", None, name, weight, options) for weight in tried["grid"]]
    for victim in ("scratch", "fine-tuned"):
        expected.append((victim, "feature_collision", "none", 0.0, "{}"))
        for form, weight in product(("margin", "margin_sampled"), (0.5, 4.0)):
            expected.append((victim, "feature_collision", form, weight, "{}"))
    assert found == Counter(expected * TUNING_UNITS)


def test_evidence_compares_every_defence_at_its_weight_and_without_poison_none_and_crl(
    profile: Profile,
) -> None:
    runs = named(profile)
    assert len(runs) == len(runs_of(profile, "comparative", "expose"))
    assert {key[:3] for key in runs} == set(conditions())
    defences = {"none": Defence(), "margin_strongest": Defence("margin_sampled", 4.0)}
    defences |= {
        name: Defence(name, tried["weight"], tried.get("options", {})) for name, tried in GRIDS.items()
    }
    for (_, attack, name, seed), run in runs.items():
        assert run.defence == defences[name]
        assert run.target_class == (seed - EVIDENCE) % 10
        assert run.recipe == Recipe(0.003, 32, 9)
        assert (run.checkpoints, run.validation) == ((1, 2, 5, 9), 30)
        if run.attack:
            options = {"beta": 1.0, "step": 1.0, "iterations": 3} if attack == "clean_label" else {}
            assert (run.attack.budget, run.attack.options) == (3, options)


def test_a_strongest_attempt_that_is_compared_anyway_is_trained_once_and_shown_twice(tmp_path: Path) -> None:
    profile = comparative_profile(tmp_path, "margin", 1.0)
    runs = runs_of(profile, "comparative", "expose")
    assert len({run.id for run in runs}) == len(runs) == (len(conditions()) - 4) * UNITS
    everything = exposed_records(profile, "comparative", "tune", "expose")
    found = table(comparative.EXPERIMENT.rows(profile, everything)).where(phase="final")
    one, two = (found.where(regulariser=name).rows for name in ("margin", "margin_strongest"))
    assert len(one) == len(two) == 4 * UNITS
    assert [row | {"regulariser": "margin"} for row in two] == list(one)


def test_all_rows_have_the_same_columns_and_epsilon_is_the_last(rows: Table, profile: Profile) -> None:
    columns = (*exposed_row(runs_of(profile, "comparative", "expose")[0], "final", {"epoch": 1.0}), *MEASURED)
    assert rows.columns == (*columns, "validation_accuracy", "versus", "epsilon")
    for row in rows:
        told = row["regulariser"] == "dp_sgd" and row["phase"] != "trajectory"
        assert (row["epsilon"] is not None) == told


def test_rows_stand_by_phase(rows: Table) -> None:
    poisoned = 4 * 4  # victims and attacks, times the defences beside none
    pairs = poisoned + 2  # and CRL without poison
    expected = {
        "tuned": (1 + 6) * TUNING_UNITS,
        "attempted": 2 * (1 + 4) * TUNING_UNITS,
        "final": (pairs + 2 * 6) * UNITS,
        "matched": 2 * pairs * UNITS,
        "trajectory": (pairs + 6) * 4,
    }
    assert Counter(row["phase"] for row in rows) == expected


def test_tuning_is_measured_after_training_under_the_pieces_names(
    rows: Table, profile: Profile, records: dict[str, dict[str, Any]]
) -> None:
    found = {row["run"]: row for phase in ("tuned", "attempted") for row in in_phase(rows, phase)}
    runs = runs_of(profile, "comparative", "tune")
    assert len(found) == len(runs)
    for run in runs:
        phase = "attempted" if run.attack else "tuned"
        last = records["tune"][run.id]["checkpoints"][-1]
        wanted = exposed_row(run, phase, last) | {"versus": None, "epsilon": last.get("epsilon")}
        assert found[run.id] == wanted


def test_final_rows_are_measured_after_training_and_early_stopping_is_the_undefended_victim_at_its_best(
    rows: Table, profile: Profile, records: dict[str, dict[str, Any]]
) -> None:
    final = {(r["victim"], r["attack"], r["regulariser"], r["seed"]): r for r in in_phase(rows, "final")}
    runs = named(profile)
    stopped_at = []
    for (victim, attack, name, seed), run in runs.items():
        checkpoints = records["expose"][run.id]["checkpoints"]
        own = {"versus": None, "epsilon": checkpoints[-1].get("epsilon")}
        wanted = exposed_row(run, "final", checkpoints[-1]) | {"regulariser": name} | own
        assert final.pop((victim, attack, name, seed)) == wanted
        if name == "none":
            best = max(c["validation_accuracy"] for c in checkpoints)
            first = next(c for c in checkpoints if c["validation_accuracy"] == best)
            wanted = exposed_row(run, "final", first) | {"regulariser": "early_stopping"} | own
            assert final.pop((victim, attack, "early_stopping", seed)) == wanted
            stopped_at.append((first["epoch"], [c["validation_accuracy"] for c in checkpoints].count(best)))
    assert not final
    # Or the first of equal ones would not have been looked for.
    assert any(epoch < 9 and times > 1 for epoch, times in stopped_at)


def test_matched_rows_are_pairs_of_a_defence_and_none_at_equal_accuracy(
    rows: Table, profile: Profile, records: dict[str, dict[str, Any]]
) -> None:
    runs, seen = named(profile), records["expose"]
    key = ("victim", "attack", "versus", "seed", "regulariser")
    found = {tuple(row[c] for c in key): row for row in in_phase(rows, "matched")}
    for (victim, attack, name, seed), run in runs.items():
        if name == "none":
            continue
        plain = runs[victim, attack, "none", seed]
        for one, other, shown in ((run, plain, name), (plain, run, "none")):
            measured = matched(seen[one.id], seen[other.id])
            own = {"regulariser": shown, "versus": name, "epsilon": measured.pop("epsilon", None)}
            wanted = exposed_row(one, "matched", measured) | own
            assert found.pop((victim, attack, name, seed, shown)) == wanted
    assert not found


def test_trajectories_average_the_units_at_every_checkpoint_and_leave_the_rest_empty(
    rows: Table, profile: Profile, records: dict[str, dict[str, Any]]
) -> None:
    runs = named(profile)
    key = ("victim", "attack", "regulariser", "epochs")
    found = {tuple(row[c] for c in key): row for row in in_phase(rows, "trajectory")}
    for (victim, attack, name), (at, epoch) in product(conditions(), enumerate((1, 2, 5, 9))):
        one = [runs[victim, attack, name, EVIDENCE + unit] for unit in range(UNITS)]
        seen = [records["expose"][run.id]["checkpoints"][at] for run in one]
        wanted: Row = dict.fromkeys(rows.columns)
        wanted |= {
            "phase": "trajectory",
            "victim": victim,
            "attack": attack,
            "budget": 3 if attack != "none" else 0,
            "architecture": "mlp",
            "regulariser": name,
            "weight": one[0].defence.weight,
            "epochs": float(epoch),
        }
        wanted |= {column: pytest.approx(fmean(c[column] for c in seen)) for column in AVERAGED}
        assert found.pop((victim, attack, name, float(epoch))) == wanted
    assert not found


def test_rows_stand_by_phase_victim_attack_and_defence_and_then_by_unit(rows: Table) -> None:
    """Early stopping follows on each victim that it is taken from, a pair's undefended side on its defended one."""
    weights = {"none": 0.0, "margin_strongest": 4.0} | {
        name: tried["weight"] for name, tried in GRIDS.items()
    }
    tuned = [("none", 0.0), *((name, weight) for name, tried in GRIDS.items() for weight in tried["grid"])]
    attempts = [("none", 0.0), *product(("margin", "margin_sampled"), (0.5, 4.0))]
    seeds, tuning = (range(EVIDENCE, EVIDENCE + UNITS), range(TUNING, TUNING + TUNING_UNITS))
    expected: list[tuple[Any, ...]] = [
        ("tuned", "scratch", "none", *defence, None, seed) for defence, seed in product(tuned, tuning)
    ]
    expected += [
        ("attempted", victim, "clean_label", *defence, None, seed)
        for victim, defence, seed in product(("scratch", "fine-tuned"), attempts, tuning)
    ]
    for (victim, attack, name), seed in product(conditions(), seeds):
        expected.append(("final", victim, attack, name, weights[name], None, seed))
        if name == "none":
            expected.append(("final", victim, attack, "early_stopping", 0.0, None, seed))
        else:
            expected.append(("matched", victim, attack, name, weights[name], name, seed))
            expected.append(("matched", victim, attack, "none", 0.0, name, seed))
    for victim, attack, name in conditions():
        expected += [("trajectory", victim, attack, name, weights[name], None, None)] * 4
    key = ("phase", "victim", "attack", "regulariser", "weight", "versus", "seed")
    assert [tuple(row[column] for column in key) for row in rows] == expected
    epochs = [row["epochs"] for row in in_phase(rows, "trajectory")]
    assert epochs == [1.0, 2.0, 5.0, 9.0] * len(conditions())


def test_every_unit_has_its_name_and_its_class_in_turn(rows: Table) -> None:
    for row in rows:
        if row["phase"] == "trajectory":
            continue
        first = TUNING if row["phase"] in ("tuned", "attempted") else EVIDENCE
        unit = int(str(row["unit"])[1:])
        assert (row["seed"], row["partition_seed"]) == (first + unit, first + unit)
        assert row["target_class"] == unit % 10
