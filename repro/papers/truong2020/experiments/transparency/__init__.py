"""How opaque the full-image triggers are, before and after clean retraining (truong2020 4.4; Figure 6)."""

from repro.harness.evidence.table import Row
from repro.harness.experiment import Experiment, Phase, Records, Unit, units
from repro.harness.profile import Alphas, Count, Names, Profile, Rates, Strict
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
    """The number of units, the triggers, and the alphas and poison rates."""

    units: Count = 30
    triggers: Names = ["sine", "low_variance"]
    alphas: Alphas = [0.1, 0.3, 0.5, 0.7, 1.0]
    poison_rates: Rates = [0.05, 0.1]


def _units(profile: Profile) -> list[Unit]:
    return units(profile.seeds.evidence, profile.settings("transparency").units, profile.classes())


def _attacks(profile: Profile, unit: Unit, rates: list[float]) -> tuple[Backdoor, ...]:
    settings = profile.settings("transparency")
    return tuple(
        Backdoor(unit.poison_class, profile.trigger(trigger, alpha), rate)
        for trigger in settings.triggers
        for alpha in settings.alphas
        for rate in rates
    )


def _clean(profile: Profile) -> list[Run]:
    # A clean model's output on a triggered image does not depend on the poison rate: the first represents all.
    first = profile.settings("transparency").poison_rates[:1]
    return clean_runs(profile, _units(profile), lambda unit: _attacks(profile, unit, first))


def _poisoned(profile: Profile) -> list[Run]:
    rates = profile.settings("transparency").poison_rates
    return [
        backdoor_run(profile, unit, architecture, attack)
        for architecture in profile.architectures
        for unit in _units(profile)
        for attack in _attacks(profile, unit, rates)
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
    reproduces="Figure 6",
    phases=(
        Phase("train", "repro.papers.backdoors.work:train_fleet", _train, keeps_weights=True),
        retrain_phase(_poisoned),
    ),
    rows=_rows,
)
