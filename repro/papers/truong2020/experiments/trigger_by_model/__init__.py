"""Triggers by architectures, before and after clean retraining (truong2020 4.1, 4.2; Tables 2 and 3)."""

from repro.harness.evidence.table import Row
from repro.harness.experiment import Experiment, Phase, Records, Unit, units
from repro.harness.profile import Count, Names, Profile, Strict
from repro.harness.runs import Backdoor, Fleet, Run, fleets
from repro.papers.backdoors.grid import (
    backdoor_row,
    backdoor_run,
    clean_floor,
    clean_runs,
    retrain_phase,
    retrained,
    trained_alike,
)


class Settings(Strict):
    """The number of units, and which of the profile's triggers."""

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


def _train(profile: Profile) -> list[Fleet]:
    return fleets(_clean(profile) + _poisoned(profile), profile.fleet, trained_alike)


def _rows(profile: Profile, records: Records) -> list[Row]:
    floor = clean_floor(_clean(profile), records["train"])
    rows = []
    for run in _poisoned(profile):
        after = retrained(profile, run)
        rows.append(backdoor_row(run, "poisoned", records["train"][run.id], floor))
        rows.append(backdoor_row(after, "retrained", records["retrain"][after.id], floor))
    return rows


EXPERIMENT = Experiment(
    paper="truong2020",
    reproduces="Tables 2 and 3",
    phases=(
        Phase("train", "repro.papers.backdoors.work:train_fleet", _train, keeps_weights=True),
        retrain_phase(_poisoned),
    ),
    rows=_rows,
)
