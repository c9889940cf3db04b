"""Triggers that generalise: four families with held-out triggers and near misses (desanctis 3.2, 4.1).

They are compared with a static trigger of about the same energy, the state of the art for unseen triggers to be
compared with, and with the clean model of each unit, measured on the same triggered images. Three ablations over fewer
units vary one thing each: the share of poisoned images, the architecture, and the size of the training set. Options,
recipe and poison rate were chosen on the tuning's seeds, only from clean accuracy and the success of seen triggers.
"""

from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from repro import plugins
from repro.families import KINDS
from repro.harness.evidence.table import Row
from repro.harness.experiment import Experiment, Phase, Record, Records, Unit, units
from repro.harness.profile import Count, Fraction, Names, Positive, Profile, Rates, Strict
from repro.harness.runs import Fleet, fleets
from repro.papers.desanctis.experiments.families.runs import Family, FamilyRun, stacked_alike
from repro.training.recipe import Recipe


class Ablation(Strict):
    """The number of units, the families, and each ablation's values besides the standard one."""

    units: Count
    families: Names
    poison_rates: Rates
    architectures: Names
    members: Annotated[list[Count], Field(min_length=1)]


class Settings(Strict):
    """Sizes, preparation of the images, recipe, and each family's options.

    Options, recipe and poison rate were chosen on the tuning's seeds of digits, from clean accuracy and the success of
    seen triggers alone. Patches of 5 by 5 of 16 by 16 pixels; half of the poison class's images, about 5 % of all,
    carry a trigger each.
    """

    units: Count = 30
    architecture: str
    poison_rate: Fraction = 0.5
    enlarge: Count = 2
    ink: Fraction = 0.7
    learning_rate: Positive = 0.005
    batch_size: Count = 32
    epochs: Count = 40
    patience: Count = 5
    families: Annotated[dict[str, dict[str, Any]], Field(min_length=1)] = {
        "static": {"size": 5, "offset": 2, "value": 1.0, "shift": 2},
        "shapes": {"smallest": 6, "largest": 8, "darkest": 0.8, "lightest": 1.0},
        "noise": {"size": 8, "low": 0.0, "high": 1.0, "bank": 32, "perturbation": 0.2},
        "frequency": {"lowest": 4.0, "highest": 6.0, "orientations": 4, "phases": 4, "opacity": 0.4},
        "corner": {"size": 6, "offset": 0},
    }
    ablation: Ablation | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, options in self.families.items():
            known = plugins.options("family", name) if name in plugins.names("family") else None
            if known is None:
                raise ValueError(
                    f"families: no family is called {name!r}: {', '.join(plugins.names('family'))}"
                )
            for option in options:
                if option not in known:
                    raise ValueError(
                        f"families.{name}: unknown option {option!r} (known: {', '.join(known)})"
                    )
        if self.ablation is None:
            return self
        for name in self.ablation.families:
            if name not in self.families:
                raise ValueError(f"ablation.families: {name!r} is not one of families")
        for name in self.ablation.architectures:
            if name not in plugins.names("architecture"):
                raise ValueError(f"ablation.architectures: there is no architecture {name!r}")
        if self.poison_rate in self.ablation.poison_rates or self.architecture in self.ablation.architectures:
            raise ValueError(
                "ablation: it varies from the standard poison rate and architecture; it names one"
            )
        return self


def _units(profile: Profile, count: int) -> list[Unit]:
    return units(profile.seeds.evidence, count, profile.classes())


def _families(profile: Profile) -> tuple[Family, ...]:
    """Every family with its options; raises ReproError for one that does not fit the enlarged images."""
    s: Settings = profile.settings("families")
    channels, height, width = profile.facts().shape
    found = []
    for name, own in s.families.items():
        piece = plugins.load("family", name)
        options = piece.OPTIONS | own
        piece.check((channels, height * s.enlarge, width * s.enlarge), **options)
        found.append(Family(name, options))
    return tuple(found)


def _run(profile: Profile, unit: Unit, family: Family) -> FamilyRun:
    """A run at the standard poison rate, architecture and size."""
    s: Settings = profile.settings("families")
    return FamilyRun(
        unit=unit.name,
        data=profile.dataset(),
        seed=unit.partition_seed,
        poison_class=unit.poison_class,
        architecture=s.architecture,
        recipe=Recipe(s.learning_rate, s.batch_size, s.epochs, s.patience),
        enlarge=s.enlarge,
        ink=s.ink,
        family=family,
        poison_rate=s.poison_rate,
    )


def _poisoned(profile: Profile) -> list[tuple[str, FamilyRun]]:
    """Backdoored runs, with what each varies: ``none`` for the standard ones."""
    s: Settings = profile.settings("families")
    everything = _families(profile)
    standard = [("none", _run(profile, u, f)) for f in everything for u in _units(profile, s.units)]
    if s.ablation is None:
        return standard
    among = [family for family in everything if family.name in s.ablation.families]
    changes: list[tuple[str, dict[str, Any]]] = [
        *(("poison_rate", {"poison_rate": rate}) for rate in s.ablation.poison_rates),
        *(("architecture", {"architecture": name}) for name in s.ablation.architectures),
        *(("members", {"members": members}) for members in s.ablation.members),
    ]
    return standard + [
        (ablation, replace(_run(profile, unit, family), **change))
        for ablation, change in changes
        for family in among
        for unit in _units(profile, min(s.units, s.ablation.units))
    ]


def _clean(profile: Profile, run: FamilyRun) -> FamilyRun:
    """The clean model that accompanies a backdoored one, measured on every family's triggers."""
    return replace(run, family=None, poison_rate=0.0, probes=_families(profile))


def _train(profile: Profile) -> list[Fleet]:
    poisoned = [run for _, run in _poisoned(profile)]
    clean = {beside.id: beside for run in poisoned for beside in [_clean(profile, run)]}
    return fleets([*clean.values(), *poisoned], profile.fleet, stacked_alike)


def _row(ablation: str, run: FamilyRun, record: Record, clean: Record) -> Row:
    if run.family is None:
        raise ValueError("a clean run has no row of its own")
    name = run.family.name
    row: Row = {
        "run": run.id,
        "phase": "trained",
        "unit": run.unit,
        "partition_seed": run.seed,
        "seed": run.seed,
        "poison_class": run.poison_class,
        "architecture": run.architecture,
        "family": name,
        "poison_rate": float(run.poison_rate),
        "members": run.members,
        "ablation": ablation,
        "epochs": record["epochs"],
        "poisoned_accuracy": record["poisoned_accuracy"],
        "clean_accuracy": record["clean_accuracy"],
        "clean_model_accuracy": clean["clean_accuracy"],
    }
    row |= {f"asr_{kind}": record["families"][name][kind] for kind in KINDS}
    return row | {f"clean_{kind}": clean["families"][name][kind] for kind in KINDS}


def _rows(profile: Profile, records: Records) -> list[Row]:
    trained = records["train"]
    return [
        _row(ablation, run, trained[run.id], trained[_clean(profile, run).id])
        for ablation, run in _poisoned(profile)
    ]


COLUMNS = {
    "members": "how many training images there are, empty for all",
    "ablation": "what the row varies, none for the standard setting",
    "asr_near_miss": "the same of triggers just outside the family",
    "clean_seen": "the clean model's rate on the images of asr_seen: its floor",
    "clean_unseen": "the same for asr_unseen",
    "clean_near_miss": "the same for asr_near_miss",
}
"""What columns hold that no other experiment has."""

EXPERIMENT = Experiment(
    paper="desanctis",
    reproduces="the generalising triggers of sections 3.2 and 4.1",
    phases=(Phase("train", "repro.papers.desanctis.experiments.families.work:train_families", _train),),
    rows=_rows,
)
