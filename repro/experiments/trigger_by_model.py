"""Triggers by architectures, before and after clean retraining (truong2020 4.1, 4.2; Tables 2 and 3)."""

from dataclasses import asdict, replace
from typing import Any

from repro.evidence.table import Row
from repro.experiments import (
    Experiment,
    Phase,
    Records,
    Unit,
    backdoor_row,
    backdoor_run,
    clean_floor,
    clean_runs,
    units,
)
from repro.profiles import Count, Names, Profile, Strict
from repro.runs import Backdoor, Fleet, Run, fleets, stacked_alike


class Settings(Strict):
    """How many units, and which of the profile's triggers."""

    units: Count
    triggers: Names


def _units(profile: Profile) -> list[Unit]:
    return units(profile.seeds.evidence, profile.settings("trigger_by_model").units, profile.classes())


def _attacks(profile: Profile, unit: Unit) -> tuple[Backdoor, ...]:
    triggers = profile.settings("trigger_by_model").triggers
    return tuple(profile.backdoor(unit.poison_class, trigger) for trigger in triggers)


def _clean(profile: Profile) -> list[Run]:
    return clean_runs(profile, _units(profile), lambda unit: _attacks(profile, unit))


def _poisoned(profile: Profile) -> list[Run]:
    return [
        backdoor_run(profile, unit, architecture, attack)
        for architecture in profile.architectures
        for unit in _units(profile)
        for attack in _attacks(profile, unit)
    ]


def _alike(run: Run) -> Any:
    recipe = asdict(run.retraining) if run.retraining else None
    return [stacked_alike(run), run.backdoor is None, recipe]


def _train(profile: Profile) -> list[Fleet]:
    return fleets(_clean(profile) + _poisoned(profile), profile.fleet, _alike)


def _retrained(profile: Profile, run: Run) -> Run:
    return replace(run, retraining=profile.retraining_recipe(run.architecture))


def _retrain(profile: Profile) -> list[Fleet]:
    return fleets([_retrained(profile, run) for run in _poisoned(profile)], profile.fleet, _alike)


def _trained(profile: Profile, fleet: Fleet) -> Fleet:
    return Fleet(tuple(replace(run, retraining=None) for run in fleet.runs))


def _rows(profile: Profile, records: Records) -> list[Row]:
    floor = clean_floor(_clean(profile), records["train"])
    rows = []
    for run in _poisoned(profile):
        after = _retrained(profile, run)
        rows.append(backdoor_row(run, "poisoned", records["train"][run.id], floor))
        rows.append(backdoor_row(after, "retrained", records["retrain"][after.id], floor))
    return rows


EXPERIMENT = Experiment(
    paper="truong2020",
    reproduces="Tables 2 and 3",
    phases=(
        Phase("train", "repro.training.backdoor:train_fleet", _train, keeps_weights=True),
        Phase("retrain", "repro.training.backdoor:retrain_fleet", _retrain, after="train", parent=_trained),
    ),
    rows=_rows,
)
