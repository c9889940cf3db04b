"""How many of the poison class's images are supplanted, trigger by trigger (truong2020 4.5; Figure 7)."""

from repro.harness.evidence.table import Row
from repro.harness.experiment import Experiment, Phase, Records, Unit, units
from repro.harness.profile import Count, Names, Profile, Rates, Strict
from repro.harness.runs import Backdoor, Fleet, Run, fleets, stacked_alike
from repro.papers.backdoors.grid import backdoor_row, backdoor_run, clean_floor, clean_runs


class Settings(Strict):
    """The number of units, the one architecture, the triggers and the poison rates.

    The paper takes the architecture with the highest validation accuracy.
    """

    units: Count = 30
    architecture: str
    triggers: Names
    poison_rates: Rates = [0.02, 0.05, 0.1, 0.2, 0.4, 0.8]


def _units(profile: Profile) -> list[Unit]:
    return units(profile.seeds.evidence, profile.settings("poison_rate").units, profile.classes())


def _attacks(profile: Profile, unit: Unit, rates: list[float]) -> tuple[Backdoor, ...]:
    return tuple(
        Backdoor(unit.poison_class, profile.trigger(trigger), rate)
        for trigger in profile.settings("poison_rate").triggers
        for rate in rates
    )


def _clean(profile: Profile) -> list[Run]:
    # A clean model's output on a triggered image does not depend on the poison rate: the first represents all.
    settings = profile.settings("poison_rate")
    first = settings.poison_rates[:1]
    among = _units(profile)
    return clean_runs(profile, among, lambda unit: _attacks(profile, unit, first), [settings.architecture])


def _poisoned(profile: Profile) -> list[Run]:
    settings = profile.settings("poison_rate")
    return [
        backdoor_run(profile, unit, settings.architecture, attack)
        for unit in _units(profile)
        for attack in _attacks(profile, unit, settings.poison_rates)
    ]


def _train(profile: Profile) -> list[Fleet]:
    return fleets(_clean(profile) + _poisoned(profile), profile.fleet, stacked_alike)


def _rows(profile: Profile, records: Records) -> list[Row]:
    floor = clean_floor(_clean(profile), records["train"])
    return [backdoor_row(run, "poisoned", records["train"][run.id], floor) for run in _poisoned(profile)]


EXPERIMENT = Experiment(
    paper="truong2020",
    reproduces="Figure 7",
    phases=(Phase("train", "repro.papers.backdoors.work:train_fleet", _train),),
    rows=_rows,
)
