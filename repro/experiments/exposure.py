"""Membership exposure: poisoning that amplifies it, and the margin loss against it (desanctis 2.3-2.5, 3.1, 4.2).

Victims are trained for a fixed number of epochs, long enough to overfit, from scratch or by fine-tuning a public
encoder whose representation the clean-label attacker knows. The defence is what section 4.2 states: the margin loss
added, with weight 1, to training on the poisoned set. Phase ``final`` is measured after training. Phase ``matched``
compares a victim with and without the loss at equal accuracy on held-out images, so that a lower AUC cannot come from
training less: at ten accuracies, evenly from where the later starter starts to where the weaker one ends, each victim
is looked at when it first reaches that accuracy, and its measurements are averaged.
"""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from repro.evidence.table import Row
from repro.experiments import Experiment, Phase, Record, Records, units
from repro.exposure_runs import Amplification, EncoderRun, ExposureRun
from repro.profiles import Count, Positive, Profile, Strict
from repro.runs import Defence, Fleet, Options
from repro.training.recipe import Recipe

LEVELS = 10
ATTACKS = {
    "dirty_label": "dirty_label",
    "feature_collision": "clean_label",
}  # pieces, by the documents' names


class AttackSettings(Strict):
    """How many poisons, and the options of the attack's piece."""

    budget: Count
    options: Options = Field(default_factory=dict)


class Settings(Strict):
    """Sizes, recipes, attacks, and the margin loss's weight."""

    units: Count
    architecture: str
    members: Count
    nonmembers: Count
    learning_rate: Positive
    batch_size: Count
    encoder_epochs: Count
    checkpoints: list[Count]
    attacks: dict[Literal["dirty_label", "feature_collision"], AttackSettings]
    margin_weight: Positive


def _encoder_runs(profile: Profile) -> list[EncoderRun]:
    s: Settings = profile.settings("exposure")
    recipe = Recipe(s.learning_rate, s.batch_size, s.encoder_epochs)
    among = units(profile.seeds.evidence, s.units, profile.classes())
    return [
        EncoderRun(
            u.name, profile.dataset(), u.partition_seed, s.architecture, recipe, s.members, s.nonmembers
        )
        for u in among
    ]


def _victim_runs(profile: Profile) -> list[list[ExposureRun]]:
    """Victims by condition, each condition in the order of the units."""
    s: Settings = profile.settings("exposure")
    recipe = Recipe(s.learning_rate, s.batch_size, s.checkpoints[-1])
    attacks = [None, *(Amplification(name, a.budget, a.options) for name, a in s.attacks.items())]
    defences = [Defence(), Defence("margin", s.margin_weight)]
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
                fine_tuned=fine_tuned,
                checkpoints=tuple(s.checkpoints),
                attack=attack,
                defence=defence,
            )
            for u in units(profile.seeds.evidence, s.units, profile.classes())
        ]
        for fine_tuned in (False, True)
        for attack in attacks
        for defence in defences
    ]


def _chunks(runs: Sequence[Any], size: int) -> list[Fleet]:
    return [Fleet(tuple(runs[i : i + size])) for i in range(0, len(runs), size)]


def _encoders(profile: Profile) -> list[Fleet]:
    return _chunks(_encoder_runs(profile), profile.fleet)


def _victims(profile: Profile) -> list[Fleet]:
    return [fleet for runs in _victim_runs(profile) for fleet in _chunks(runs, profile.fleet)]


def _encoders_of(profile: Profile, fleet: Fleet) -> Fleet:
    by_unit = {run.unit: run for run in _encoder_runs(profile)}
    return Fleet(tuple(by_unit[run.unit] for run in fleet.runs))


def matched(own: Record, other: Record) -> dict[str, float]:
    """Measurements of ``own`` averaged over held-out accuracies that it and ``other`` both reach.

    Between two checkpoints the measurements are interpolated to the accuracy looked for, so that both are compared at
    the same one however far apart their checkpoints lie.
    """
    reached, others = (_running_best(record) for record in (own, other))
    low, high = max(reached[0], others[0]), min(reached[-1], others[-1])
    levels = [high]
    if low < high:
        levels = [min(high, low + (high - low) * i / (LEVELS - 1)) for i in range(LEVELS)]
    looked_at = [_at_accuracy(own["checkpoints"], reached, level) for level in levels]
    return {name: sum(c[name] for c in looked_at) / len(looked_at) for name in looked_at[0]}


def _at_accuracy(checkpoints: list[dict[str, float]], reached: list[float], level: float) -> dict[str, float]:
    """The measurements when the best accuracy so far first comes to ``level``."""
    after = next((i for i, best in enumerate(reached) if best >= level), len(reached) - 1)
    if after == 0 or reached[after - 1] >= level:
        return checkpoints[after]
    # Accuracy may have fallen below its best in between: interpolate from the checkpoint that set the best.
    before = reached.index(reached[after - 1])
    part = (level - reached[before]) / (reached[after] - reached[before])
    return {
        name: checkpoints[before][name] + part * (checkpoints[after][name] - checkpoints[before][name])
        for name in checkpoints[after]
    }


def _running_best(record: Record) -> list[float]:
    best: list[float] = []
    for checkpoint in record["checkpoints"]:
        best.append(max(checkpoint["test_accuracy"], best[-1] if best else 0.0))
    return best


def _row(run: ExposureRun, phase: str, measured: dict[str, float]) -> Row:
    described: Row = {
        "run": run.id,
        "phase": phase,
        "unit": run.unit,
        "partition_seed": run.seed,
        "seed": run.seed,
        "target_class": run.target_class,
        "victim": "fine-tuned" if run.fine_tuned else "scratch",
        "attack": ATTACKS[run.attack.name] if run.attack else "none",
        "budget": run.attack.budget if run.attack else 0,
        "architecture": run.architecture,
        "regulariser": run.defence.name,
        "weight": float(run.defence.weight),
        "epochs": float(measured["epoch"]),
    }
    return described | {name: float(value) for name, value in measured.items() if name != "epoch"}


def _rows(profile: Profile, records: Records) -> list[Row]:
    victims = records["expose"]
    conditions = _victim_runs(profile)
    rows = [_row(run, "final", victims[run.id]["checkpoints"][-1]) for runs in conditions for run in runs]
    for plain, defended in zip(conditions[::2], conditions[1::2], strict=True):
        for one, two in zip(plain, defended, strict=True):
            rows.append(_row(one, "matched", matched(victims[one.id], victims[two.id])))
            rows.append(_row(two, "matched", matched(victims[two.id], victims[one.id])))
    return rows


EXPERIMENT = Experiment(
    paper="desanctis",
    reproduces="the study that sections 2.5 and 4.2 propose",
    phases=(
        Phase("train", "repro.training.exposure:train_encoders", _encoders, keeps_weights=True),
        Phase(
            "expose", "repro.training.exposure:train_victims", _victims, after="train", parent=_encoders_of
        ),
    ),
    rows=_rows,
)
