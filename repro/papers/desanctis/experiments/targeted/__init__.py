"""Targeted clean-label poisoning by feature collision, with and without the margin loss (desanctis 2.4, 3.1; eq. 1).

After Shafahi et al. 2018, "Poison Frogs". A public encoder is trained on the attacker's pool. Poisons made from bases
of one class collide with one held-out image of another class in the encoder's features, and join the victim's training
set under their bases' label. *Frozen* victims train a linear head on those features, *end-to-end* ones all layers;
against these, poisons may also carry the target as a watermark. Each poisoned victim is compared with a placebo,
trained on the unchanged bases. A contrastive loss has no effect on a frozen encoder, so the margin loss is tested only
end-to-end.

Eq. 1's beta says how strongly the poisons are held to their bases. It was chosen by a rule fixed beforehand, from
crafting alone on the tuning's seeds: the largest of 0.03, 0.1, 0.3 and 1 at which at least half of the poisons lie
nearer the target than their base in the encoder's features and at least half lie nearer their base in pixels; if there
is none, the one whose smaller share is highest. The profile says what it chose.

Whether the margin loss can separate what eq. 1 collapsed may depend on its weight. The *strongest attempt* is, among
all weights in ``attempts``, with all pairs and with distance-weighted sampling, the one with the lowest mean share of
collapsed poisons on the tuning's seeds, under the condition with the most poisons among those without a watermark.
"""

from statistics import fmean
from typing import Annotated, cast

from pydantic import Field

from repro.harness.evidence.table import Row, Table
from repro.harness.experiment import Experiment, Phase, Record, Records, units
from repro.harness.profile import Count, Positive, Profile, Strict, Weights
from repro.harness.runs import Defence, Fleet
from repro.papers.desanctis.experiments.targeted.runs import TargetedRun
from repro.papers.desanctis.victims.experiment import Attempt, VictimSettings, chunks
from repro.training.recipe import Recipe

PICTURED = 3
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
    """Options of the attack's piece, which explains them."""

    beta: Annotated[float, Field(ge=0)] = 1.0
    step: Positive = 1.0
    iterations: Count = 200


class FrozenSettings(Strict):
    """How a linear head is trained on fixed features, and the numbers of poisons it meets."""

    learning_rate: Positive = 0.003
    epochs: Count = 100
    budgets: Annotated[list[Count], Field(min_length=1)] = [1, 5]


class Condition(Strict):
    """The number of poisons, and the opacity at which the target is blended over their bases."""

    budget: Count
    watermark: Annotated[float, Field(ge=0, lt=1)] = 0.0


class EndToEndSettings(Strict):
    """How long all layers are trained, and what poisons they meet."""

    epochs: Count = 40
    conditions: Annotated[list[Condition], Field(min_length=1)] = [
        Condition(budget=1),
        Condition(budget=20),
        Condition(budget=20, watermark=0.3),
    ]


class Settings(VictimSettings):
    """Sizes, recipes, crafting, the margin loss's weight, and the conditions of both kinds of victim.

    On digits, 30 units of the tuning's seeds and 20 poisons each gave these shares of poisons nearer their target in
    features / nearer their base in pixels, by beta: 0.03: 1.00 / 0.11; 0.1: 1.00 / 0.29; 0.3: 1.00 / 0.71; 1: 1.00 /
    1.00. The frozen victim's rate and epochs are those of the highest clean accuracy there, .958, of 0.001, 0.003, 0.01
    and 50, 100.
    """

    tuning_units: Count = 12
    crafting: Crafting = Crafting()
    margin_weight: Positive = 1.0
    attempts: Weights = [0.1, 0.3, 1.0, 3.0, 10.0]
    strongest: Attempt = Attempt(defence="margin_sampled", weight=10.0)
    frozen: FrozenSettings = FrozenSettings()
    end_to_end: EndToEndSettings = EndToEndSettings()


Conditions = list[list[TargetedRun]]
"""Attacks by condition, each condition in the order of the units."""


def _end_to_end(profile: Profile, condition: Condition, defence: Defence, tuning: bool) -> list[TargetedRun]:
    """Attacks on victims that train all layers, on the evidence's seeds or the tuning's."""
    s: Settings = profile.settings("targeted")
    recipe = Recipe(s.learning_rate, s.batch_size, s.end_to_end.epochs)
    return _attack_runs(profile, recipe, False, condition, defence, tuning)


def _attack_runs(
    profile: Profile, recipe: Recipe, frozen: bool, condition: Condition, defence: Defence, tuning: bool
) -> list[TargetedRun]:
    s: Settings = profile.settings("targeted")
    first, count = (profile.seeds.tuning, s.tuning_units) if tuning else (profile.seeds.evidence, s.units)
    return [
        TargetedRun(
            unit=u.name,
            data=profile.dataset(),
            seed=u.partition_seed,
            base_class=u.poison_class,
            architecture=s.architecture,
            encoder_recipe=Recipe(s.learning_rate, s.batch_size, s.encoder_epochs),
            recipe=recipe,
            members=s.members,
            nonmembers=s.nonmembers,
            frozen=frozen,
            budget=condition.budget,
            watermark=condition.watermark,
            crafting=s.crafting.model_dump(),
            defence=defence,
        )
        for u in units(first, count, profile.classes())
    ]


def _attacked(profile: Profile) -> Conditions:
    """Frozen victims, then end-to-end ones without a defence and with the margin loss."""
    s: Settings = profile.settings("targeted")
    head = Recipe(s.frozen.learning_rate, s.batch_size, s.frozen.epochs)
    frozen = [
        _attack_runs(profile, head, True, Condition(budget=budget), Defence(), False)
        for budget in s.frozen.budgets
    ]
    return frozen + [
        _end_to_end(profile, condition, defence, False)
        for condition in s.end_to_end.conditions
        for defence in (Defence(), Defence("margin", s.margin_weight))
    ]


def _strongest(profile: Profile) -> Conditions:
    s: Settings = profile.settings("targeted")
    defence = Defence(s.strongest.defence, s.strongest.weight)
    return [_end_to_end(profile, condition, defence, False) for condition in s.end_to_end.conditions]


def _attempted(profile: Profile) -> Conditions:
    s: Settings = profile.settings("targeted")
    most = max(s.end_to_end.conditions, key=lambda c: (c.watermark == 0, c.budget))
    forms = ("margin", "margin_sampled")
    defences = [Defence(), *(Defence(form, weight) for form in forms for weight in s.attempts)]
    return [_end_to_end(profile, most, defence, True) for defence in defences]


def _all(profile: Profile) -> Conditions:
    """All conditions without duplicates: the strongest attempt may be one of the other conditions."""
    every = [*_attacked(profile), *_strongest(profile), *_attempted(profile)]
    return list({runs[0].id: runs for runs in every}.values())


def _encoders(profile: Profile) -> list[Fleet]:
    """The encoders of the first condition's attacks on either set of seeds; all conditions share them."""
    both = (_attacked(profile)[0], _attempted(profile)[0])
    return [fleet for runs in both for fleet in chunks([run.encoder for run in runs], profile.fleet)]


def _attacks(profile: Profile) -> list[Fleet]:
    return [fleet for runs in _all(profile) for fleet in chunks(runs, profile.fleet)]


def _encoders_of(profile: Profile, fleet: Fleet) -> Fleet:
    del profile
    return Fleet(tuple(run.encoder for run in fleet.runs))


def _row(run: TargetedRun, phase: str, record: Record) -> Row:
    described: Row = {
        "run": run.id,
        "phase": phase,
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


def _pictures(record: Record, shown: bool) -> Row:
    names = ("base_image", "target_image", "poison_image")
    return dict(zip(names, record["pictures"] if shown else [None] * 3, strict=True))


def _rows(profile: Profile, records: Records) -> list[Row]:
    """The rows; those of each condition's first units also hold first base, target and first poison as pictures."""
    attacked = records["attack"]
    phases = {"attacked": _attacked, "strongest": _strongest, "attempted": _attempted}
    return [
        _row(run, phase, attacked[run.id])
        | _pictures(attacked[run.id], phase == "attacked" and at < PICTURED)
        for phase, conditions in phases.items()
        for runs in conditions(profile)
        for at, run in enumerate(runs)
    ]


def strongest_attempt(table: Table) -> tuple[str, float]:
    """The form and weight of the margin loss that the rule chooses from the evidence."""
    rows = [row for row in table.where(phase="attempted") if row["regulariser"] != "none"]
    shares: dict[tuple[str, float], list[float]] = {}
    for row in rows:
        attempt = str(row["regulariser"]), cast(float, row["weight"])
        shares.setdefault(attempt, []).append(cast(float, row["collapsed_rate"]))
    return min(shares, key=lambda attempt: fmean(shares[attempt]))


COLUMNS = {
    "base_class": (
        "the class of a targeted attack's poisons, by look and label, that the target is to be read as"
    ),
    "watermark": "opacity at which the target lies over the bases before poisons are crafted from them",
    "target_asr": "1 where the poisoned victim reads the target as the base class, else 0",
    "placebo_asr": (
        "the same for a victim trained on the uncrafted bases in place of the poisons: its floor"
    ),
    "poison_as_target_rate": "share of poisons that the clean victim reads as the target's class",
    "base_as_target_rate": "the same of the uncrafted bases: its floor",
    "poison_as_base_rate": "share of poisons that the poisoned victim reads as the base class",
    "nearer_target_rate": (
        "share of poisons nearer, in the public encoder's features, to the target than to their base"
    ),
    "nearer_base_rate": "share of poisons nearer, in pixels, to their base than to the target",
    "collapsed_rate": "the same in the poisoned victim's own features",
    "feature_ratio": (
        "mean distance of poison and target over that of base and target, in the encoder's features"
    ),
    "input_ratio": "mean distance of poison and base over that of base and target, in pixels",
    "placebo_accuracy": "the placebo victim's accuracy on held-out images",
    "base_image": (
        "the first poison's base as a picture: after an x, 8 bits a value in two hexadecimal digits, rows "
        "first (height, width, channel); of each condition's first units, else empty"
    ),
    "target_image": "the target, likewise",
    "poison_image": "the first poison, likewise",
}
"""What columns hold that no other experiment has."""

EXPERIMENT = Experiment(
    paper="desanctis",
    reproduces="the attack of section 2.4 and the defence that 3.1 proposes",
    phases=(
        Phase("train", "repro.papers.desanctis.victims.work:train_encoders", _encoders, keeps_weights=True),
        Phase(
            "attack",
            "repro.papers.desanctis.experiments.targeted.work:train_targeted",
            _attacks,
            after="train",
            parent=_encoders_of,
        ),
    ),
    rows=_rows,
)
