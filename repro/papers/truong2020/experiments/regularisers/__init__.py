"""Regularisers against a square trigger, early-stopped and at a fixed length (truong2020 4.3; Figures 4 and 5)."""

from repro.harness.evidence.table import Row
from repro.harness.experiment import Experiment, Phase, Records, Unit, units
from repro.harness.profile import Count, Names, Profile, Strict
from repro.harness.runs import Fleet, Run, fleets, stacked_alike
from repro.papers.backdoors.grid import backdoor_row, backdoor_run, clean_floor, clean_runs


class Settings(Strict):
    """The number of units, the trigger, and the profile's defences that are compared with none."""

    units: Count
    trigger: str
    regularisers: Names


def _units(profile: Profile) -> list[Unit]:
    return units(profile.seeds.evidence, profile.settings("regularisers").units, profile.classes())


def _clean(profile: Profile) -> list[Run]:
    trigger = profile.settings("regularisers").trigger
    return clean_runs(profile, _units(profile), lambda unit: (profile.backdoor(unit.poison_class, trigger),))


def _poisoned(profile: Profile) -> list[tuple[str, Run]]:
    settings = profile.settings("regularisers")
    return [
        (
            phase,
            backdoor_run(
                profile,
                unit,
                architecture,
                profile.backdoor(unit.poison_class, settings.trigger),
                defence=profile.defence(regulariser, architecture),
                early_stopping=phase == "early-stopped",
            ),
        )
        for phase in ("early-stopped", "fixed-epochs")
        for architecture in profile.architectures
        for regulariser in ["none", *settings.regularisers]
        for unit in _units(profile)
    ]


def _train(profile: Profile) -> list[Fleet]:
    runs = _clean(profile) + [run for _, run in _poisoned(profile)]
    return fleets(runs, profile.fleet, stacked_alike)


def _rows(profile: Profile, records: Records) -> list[Row]:
    floor = clean_floor(_clean(profile), records["train"])
    return [backdoor_row(run, phase, records["train"][run.id], floor) for phase, run in _poisoned(profile)]


EXPERIMENT = Experiment(
    paper="truong2020",
    reproduces="Figures 4 and 5",
    phases=(Phase("train", "repro.papers.backdoors.work:train_fleet", _train),),
    rows=_rows,
)
