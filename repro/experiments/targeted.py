"""Targeted clean-label poisoning by feature collision, with and without the margin loss (desanctis 2.4, 3.1; eq. 1).

After Shafahi et al. 2018, "Poison Frogs". A public encoder is trained on the attacker's pool. Poisons made from bases
of one class collide with one held-out image of another class in the encoder's features, and join the victim's
training set under their bases' label. *Frozen* victims train a linear head on those features, *end-to-end* ones all
layers, where poisons may also carry the target as a watermark. Beside the poisoned victim stands a placebo, trained on
the bases as they were. A contrastive loss is inert on a frozen encoder, so the margin loss is met end-to-end alone.

How hard the poisons are held to their bases is eq. 1's beta. A rule chose it, fixed beforehand, from crafting alone on
the tuning's seeds: of 0.03, 0.1, 0.3 and 1 the largest at which at least half of the poisons lie nearer the target than
their base in the encoder's features and at least half nearer their base in pixels, else the one whose smaller share is
highest. The profile says what it chose.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from repro.evidence.table import Row
from repro.experiments import Experiment, Phase, Record, Records, units
from repro.profiles import Count, Positive, Profile, Strict
from repro.runs import Defence, Fleet
from repro.targeted_runs import TargetedRun
from repro.training.recipe import Recipe

MEASURED = (
    "target_asr",
    "placebo_asr",
    "poison_as_target_rate",
    "base_as_target_rate",
    "poison_as_base_rate",
    "nearer_target_rate",
    "nearer_base_rate",
    "collapsed_rate",
    "feature_ratio",
    "input_ratio",
    "clean_accuracy",
    "placebo_accuracy",
)


class Crafting(Strict):
    """Options of the attack's piece, as it explains them."""

    beta: Annotated[float, Field(ge=0)]
    step: Positive
    iterations: Count


class FrozenSettings(Strict):
    """How a linear head is trained on fixed features, and how many poisons it meets."""

    learning_rate: Positive
    epochs: Count
    budgets: Annotated[list[Count], Field(min_length=1)]


class Condition(Strict):
    """How many poisons, and at what opacity the target lies over their bases."""

    budget: Count
    watermark: Annotated[float, Field(ge=0, lt=1)] = 0.0


class EndToEndSettings(Strict):
    """How long all layers are trained, and what poisons they meet."""

    epochs: Count
    conditions: Annotated[list[Condition], Field(min_length=1)]


class Settings(Strict):
    """Sizes, recipes, crafting, the margin loss's weight, and the conditions of both kinds of victim."""

    units: Count
    architecture: str
    members: Count
    nonmembers: Count
    learning_rate: Positive
    batch_size: Count
    encoder_epochs: Count
    crafting: Crafting
    margin_weight: Positive
    frozen: FrozenSettings
    end_to_end: EndToEndSettings


def _attack_runs(profile: Profile) -> list[list[TargetedRun]]:
    """Attacks by condition, each condition in the order of the units."""
    s: Settings = profile.settings("targeted")
    public = Recipe(s.learning_rate, s.batch_size, s.encoder_epochs)
    head = Recipe(s.frozen.learning_rate, s.batch_size, s.frozen.epochs)
    whole = Recipe(s.learning_rate, s.batch_size, s.end_to_end.epochs)
    conditions = [(True, head, budget, 0.0, Defence()) for budget in s.frozen.budgets]
    conditions += [
        (False, whole, condition.budget, condition.watermark, defence)
        for condition in s.end_to_end.conditions
        for defence in (Defence(), Defence("margin", s.margin_weight))
    ]
    return [
        [
            TargetedRun(
                unit=u.name,
                data=profile.dataset(),
                seed=u.partition_seed,
                base_class=u.poison_class,
                architecture=s.architecture,
                encoder_recipe=public,
                recipe=recipe,
                members=s.members,
                nonmembers=s.nonmembers,
                frozen=frozen,
                budget=budget,
                watermark=watermark,
                crafting=s.crafting.model_dump(),
                defence=defence,
            )
            for u in units(profile.seeds.evidence, s.units, profile.classes())
        ]
        for frozen, recipe, budget, watermark, defence in conditions
    ]


def _chunks(runs: Sequence[Any], size: int) -> list[Fleet]:
    return [Fleet(tuple(runs[i : i + size])) for i in range(0, len(runs), size)]


def _encoders(profile: Profile) -> list[Fleet]:
    """Of the first condition's attacks; those of the others are the same."""
    return _chunks([run.encoder for run in _attack_runs(profile)[0]], profile.fleet)


def _attacks(profile: Profile) -> list[Fleet]:
    return [fleet for runs in _attack_runs(profile) for fleet in _chunks(runs, profile.fleet)]


def _encoders_of(profile: Profile, fleet: Fleet) -> Fleet:
    del profile
    return Fleet(tuple(run.encoder for run in fleet.runs))


def _row(run: TargetedRun, record: Record) -> Row:
    described: Row = {
        "run": run.id,
        "phase": "attacked",
        "unit": run.unit,
        "partition_seed": run.seed,
        "seed": run.seed,
        "base_class": run.base_class,
        "target_class": record["target_class"],
        "victim": "frozen" if run.frozen else "end-to-end",
        "budget": run.budget,
        "watermark": float(run.watermark),
        "regulariser": run.defence.name,
        "weight": float(run.defence.weight),
        "architecture": run.architecture,
    }
    return described | {name: float(record[name]) for name in MEASURED}


def _rows(profile: Profile, records: Records) -> list[Row]:
    return [_row(run, records["attack"][run.id]) for runs in _attack_runs(profile) for run in runs]


EXPERIMENT = Experiment(
    paper="desanctis",
    reproduces="the attack of section 2.4 and the defence that 3.1 proposes",
    phases=(
        Phase("train", "repro.training.exposure:train_encoders", _encoders, keeps_weights=True),
        Phase(
            "attack", "repro.training.targeted:train_targeted", _attacks, after="train", parent=_encoders_of
        ),
    ),
    rows=_rows,
)
