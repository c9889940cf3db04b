"""One source class against many, at equal numbers of poisoned samples (truong2020 4.6; Tables 4 and 5)."""

from repro.data import seeded_generator
from repro.harness.evidence.table import Row
from repro.harness.experiment import Experiment, Phase, Records, Unit, units
from repro.harness.profile import Count, Names, Profile, Strict
from repro.harness.runs import Fleet, Run, fleets, stacked_alike
from repro.papers.backdoors.grid import backdoor_row, backdoor_run, clean_floor, clean_runs


class Settings(Strict):
    """The number of units, and which of the profile's triggers."""

    units: Count
    triggers: Names = ["square", "sine"]


def _units(profile: Profile) -> list[Unit]:
    return units(profile.seeds.evidence, profile.settings("sources").units, profile.classes())


def _source_class(profile: Profile, unit: Unit) -> int:
    """The single source class of a unit, drawn at random from the classes that are not poisoned."""
    others = [c for c in range(profile.classes()) if c != unit.poison_class]
    return int(seeded_generator(f"source/{unit.partition_seed}").choice(others))


def _clean(profile: Profile) -> list[Run]:
    triggers = profile.settings("sources").triggers
    return clean_runs(
        profile, _units(profile), lambda unit: tuple(profile.backdoor(unit.poison_class, t) for t in triggers)
    )


def _poisoned(profile: Profile) -> list[Run]:
    return [
        backdoor_run(profile, unit, architecture, profile.backdoor(unit.poison_class, trigger, source))
        for architecture in profile.architectures
        for trigger in profile.settings("sources").triggers
        for unit in _units(profile)
        for source in (None, _source_class(profile, unit))
    ]


def _train(profile: Profile) -> list[Fleet]:
    return fleets(_clean(profile) + _poisoned(profile), profile.fleet, stacked_alike)


def _rows(profile: Profile, records: Records) -> list[Row]:
    floor = clean_floor(_clean(profile), records["train"])
    return [backdoor_row(run, "poisoned", records["train"][run.id], floor) for run in _poisoned(profile)]


EXPERIMENT = Experiment(
    paper="truong2020",
    reproduces="Tables 4 and 5",
    phases=(Phase("train", "repro.papers.backdoors.work:train_fleet", _train),),
    rows=_rows,
)
