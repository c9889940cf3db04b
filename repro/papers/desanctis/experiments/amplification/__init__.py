"""Membership exposure by how many poisons the attacker adds, and by the kind of victim (desanctis 2.4, 2.5).

No defence. *Scratch* and *fine-tuned* victims train all layers, *frozen* ones a linear head on the public encoder's
features, the setting that clean-label poisons are crafted for.
"""

from typing import Annotated

from pydantic import Field

from repro.harness.evidence.table import Row
from repro.harness.experiment import Experiment, Records, units
from repro.harness.profile import Count, Positive, Profile, Strict
from repro.harness.runs import Options
from repro.papers.desanctis.victims.experiment import (
    AttackName,
    VictimSettings,
    expose_phase,
    exposed_row,
    train_phase,
)
from repro.papers.desanctis.victims.runs import Amplification, ExposureRun, Victim
from repro.training.recipe import Recipe


class BudgetSettings(Strict):
    """The numbers of poisons that are tried, and the options of the attack's piece."""

    budgets: Annotated[list[Count], Field(min_length=1)]
    options: Options = Field(default_factory=dict)


class HeadSettings(Strict):
    """How a linear head is trained on fixed features."""

    learning_rate: Positive = 0.003
    epochs: Count = 100


class Settings(VictimSettings):
    """Sizes, recipes, how long victims train, and each attack's budgets."""

    units: Count = 30
    epochs: Count = 100
    frozen: HeadSettings = HeadSettings()
    attacks: dict[AttackName, BudgetSettings] = {
        "dirty_label": BudgetSettings(budgets=[5, 20, 60]),
        "feature_collision": BudgetSettings(
            budgets=[10, 30, 100], options={"beta": 1.0, "step": 1.0, "iterations": 100}
        ),
    }


def _victims(profile: Profile) -> list[list[ExposureRun]]:
    """Victims by condition, each condition in the order of the units."""
    s: Settings = profile.settings("amplification")
    whole = Recipe(s.learning_rate, s.batch_size, s.epochs)
    head = Recipe(s.frozen.learning_rate, s.batch_size, s.frozen.epochs)
    recipes: dict[Victim, Recipe] = {"scratch": whole, "fine-tuned": whole, "frozen": head}
    attacks = [Amplification(name, b, a.options) for name, a in s.attacks.items() for b in a.budgets]
    return [
        [
            ExposureRun(
                unit=u.name,
                data=profile.dataset(),
                seed=u.partition_seed,
                target_class=u.poison_class,
                architecture=s.architecture,
                recipe=recipe,
                members=s.members,
                nonmembers=s.nonmembers,
                victim=victim,
                checkpoints=(recipe.epochs,),
                attack=attack,
            )
            for u in units(profile.seeds.evidence, s.units, profile.classes())
        ]
        for victim, recipe in recipes.items()
        for attack in (None, *attacks)
    ]


def _rows(profile: Profile, records: Records) -> list[Row]:
    return [
        exposed_row(run, "final", records["expose"][run.id]["checkpoints"][-1])
        for runs in _victims(profile)
        for run in runs
    ]


EXPERIMENT = Experiment(
    paper="desanctis",
    reproduces="the attacks of section 2.5 by budget and victim",
    phases=(train_phase("amplification", _victims), expose_phase("expose", "amplification", _victims)),
    rows=_rows,
)
