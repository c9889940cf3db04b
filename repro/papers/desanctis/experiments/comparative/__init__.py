"""Comparative study: contrastive losses against regularisation, early stopping, DP-SGD and CRL (desanctis 4.2, 5.1).

Each defence faces both attacks on membership and is measured after training and, as in experiment `exposure`, at equal
held-out accuracy along its whole training. Early stopping is the undefended victim at the checkpoint of its highest
validation accuracy (the first one in a tie). CRL is also trained without poison, to see whether the attack still
amplifies exposure under it.

The documents give no weights. They are chosen on the tuning's seeds by rules fixed before anything was trained. For
each defence: the heaviest weight in its ``grid`` whose mean held-out accuracy, trained from scratch without poison, is
at most ``accuracy_budget`` below that of no defence; if even the lightest costs more, the lightest. For the margin
loss, also the *strongest attempt*: among all weights in ``attempts``, with all pairs and with distance-weighted
sampling, the one with the lowest mean AUC in the targeted class under clean-label poison after training.
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Annotated, cast

from pydantic import Field

from repro.harness.evidence.table import Row, Table
from repro.harness.experiment import Experiment, Record, Records, units
from repro.harness.profile import Count, Positive, Profile, Strict, Weights
from repro.harness.runs import Defence, Options
from repro.papers.desanctis.victims.experiment import (
    DEFAULT_ATTACKS,
    AttackName,
    AttackSettings,
    Attempt,
    VictimSettings,
    expose_phase,
    exposed_row,
    matched,
    train_phase,
)
from repro.papers.desanctis.victims.runs import Amplification, ExposureRun, Victim
from repro.training.recipe import Recipe

VICTIMS: tuple[Victim, ...] = ("scratch", "fine-tuned")
EARLY_STOPPING = "early_stopping"
STRONGEST = "margin_strongest"
UNPOISONED = ("none", "crl")  # defences that are also measured without an attack
_AVERAGED = ("auc", "target_auc", "member_accuracy", "test_accuracy", "target_accuracy", "other_accuracy")


class Tried(Strict):
    """A defence's grid of weights, the weight that the rule chooses, and the options of its piece."""

    weight: Positive
    grid: Weights
    options: Options = Field(default_factory=dict)


class Settings(VictimSettings):
    """Sizes, recipes, attacks, and what is tried of each defence.

    Weights and the strongest attempt are what the rules choose on digits; the report shows them.
    """

    units: Count = 30
    tuning_units: Count = 12
    validation: Count = 100
    checkpoints: list[Count] = [*range(1, 7), 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 75, 100]
    attacks: dict[AttackName, AttackSettings] = DEFAULT_ATTACKS
    accuracy_budget: Annotated[float, Field(gt=0, lt=1)] = 0.02
    defences: dict[str, Tried] = {
        "base_contrastive": Tried(weight=10.0, grid=[0.3, 1.0, 3.0, 10.0, 30.0]),
        "margin": Tried(weight=10.0, grid=[0.3, 1.0, 3.0, 10.0, 30.0]),
        "margin_sampled": Tried(weight=3.0, grid=[0.3, 1.0, 3.0, 10.0]),
        "triplet": Tried(weight=30.0, grid=[0.3, 1.0, 3.0, 10.0, 30.0]),
        "nt_xent": Tried(weight=0.3, grid=[0.3, 1.0, 3.0, 10.0]),
        "nt_logistic": Tried(weight=1.0, grid=[0.3, 1.0, 3.0, 10.0]),
        "weight_decay": Tried(weight=0.01, grid=[0.0003, 0.001, 0.003, 0.01, 0.03]),
        "label_smoothing": Tried(weight=0.8, grid=[0.05, 0.1, 0.2, 0.4, 0.6, 0.8]),
        "dp_sgd": Tried(weight=0.1, grid=[0.1, 0.2, 0.3, 0.5, 1.0]),
        "crl": Tried(weight=0.2, grid=[0.1, 0.2, 0.5, 1.0, 1.5]),
    }
    attempts: Weights = [0.1, 0.3, 1.0, 3.0, 10.0]
    strongest: Attempt = Attempt(defence="margin", weight=0.1)


def _run(profile: Profile, victim: Victim, attack: str | None, defence: Defence) -> ExposureRun:
    """A victim without a unit, which `_of_units` sets."""
    s: Settings = profile.settings("comparative")
    chosen = s.attacks[attack] if attack else None
    return ExposureRun(
        unit="",
        data=profile.dataset(),
        seed=0,
        target_class=0,
        architecture=s.architecture,
        recipe=Recipe(s.learning_rate, s.batch_size, s.checkpoints[-1]),
        members=s.members,
        nonmembers=s.nonmembers,
        victim=victim,
        checkpoints=tuple(s.checkpoints),
        attack=Amplification(attack, chosen.budget, chosen.options) if attack and chosen else None,
        defence=defence,
        validation=s.validation,
    )


def _of_units(profile: Profile, run: ExposureRun, first_seed: int, count: int) -> list[ExposureRun]:
    return [
        replace(run, unit=u.name, seed=u.partition_seed, target_class=u.poison_class)
        for u in units(first_seed, count, profile.classes())
    ]


def _defences(profile: Profile) -> dict[str, Defence]:
    """Every defence of the study, by its name there."""
    s: Settings = profile.settings("comparative")
    tried = {name: Defence(name, d.weight, d.options) for name, d in s.defences.items()}
    strongest = Defence(s.strongest.defence, s.strongest.weight)
    return {"none": Defence(), **tried, STRONGEST: strongest}


def _compared(profile: Profile) -> dict[tuple[Victim, str | None, str], list[ExposureRun]]:
    """Victims on the evidence's seeds, by victim, attack and the defence's name."""
    s: Settings = profile.settings("comparative")
    return {
        (victim, attack, name): _of_units(
            profile, _run(profile, victim, attack, defence), profile.seeds.evidence, s.units
        )
        for victim in VICTIMS
        for attack in (None, *s.attacks)
        for name, defence in _defences(profile).items()
        if attack or name in UNPOISONED
    }


def _tuned(profile: Profile) -> list[list[ExposureRun]]:
    """Every weight of every grid, trained from scratch without poison, on the tuning's seeds."""
    s: Settings = profile.settings("comparative")
    defences = [Defence()]
    defences += [Defence(name, w, d.options) for name, d in s.defences.items() for w in d.grid]
    return [
        _of_units(profile, _run(profile, "scratch", None, d), profile.seeds.tuning, s.tuning_units)
        for d in defences
    ]


def _attempted(profile: Profile) -> list[list[ExposureRun]]:
    """No defence, then every attempt with the margin loss, under clean-label poison on the tuning's seeds."""
    s: Settings = profile.settings("comparative")
    forms = ("margin", "margin_sampled")
    defences = [Defence(), *(Defence(form, weight) for form in forms for weight in s.attempts)]
    return [
        _of_units(
            profile, _run(profile, victim, "feature_collision", d), profile.seeds.tuning, s.tuning_units
        )
        for victim in VICTIMS
        for d in defences
    ]


def _tune(profile: Profile) -> list[list[ExposureRun]]:
    return [*_tuned(profile), *_attempted(profile)]


def _compare(profile: Profile) -> list[list[ExposureRun]]:
    """The victims compared, without duplicates: the strongest attempt may be compared anyway."""
    found: dict[str, list[ExposureRun]] = {}
    for runs in _compared(profile).values():
        found.setdefault(runs[0].id, runs)
    return list(found.values())


def _row(run: ExposureRun, phase: str, measured: dict[str, float], name: str, versus: str | None) -> Row:
    row = exposed_row(run, phase, measured) | {"regulariser": name, "versus": versus}
    epsilon = row.pop("epsilon", None)  # only one defence has it, so it is the last column for all
    return row | {"epsilon": epsilon}


def _early(record: Record) -> dict[str, float]:
    best: dict[str, float] = max(record["checkpoints"], key=lambda c: (c["validation_accuracy"], -c["epoch"]))
    return best


def _trajectory(
    runs: Sequence[ExposureRun], victims: dict[str, Record], name: str, columns: Sequence[str]
) -> list[Row]:
    """Measurements along training, averaged over the units; columns that are not averaged are empty."""
    rows: list[Row] = []
    for at, epoch in enumerate(runs[0].checkpoints):
        seen = [victims[run.id]["checkpoints"][at] for run in runs]
        about = exposed_row(runs[0], "trajectory", {"epoch": epoch})
        for own in ("run", "unit", "partition_seed", "seed", "target_class"):
            about[own] = None
        means = {column: fmean(c[column] for c in seen) for column in _AVERAGED}
        found = about | {"regulariser": name, "versus": None} | means
        rows.append({column: found.get(column) for column in columns})
    return rows


def _rows(profile: Profile, records: Records) -> list[Row]:
    tuned, compared = records["tune"], records["expose"]
    rows: list[Row] = []
    for phase, conditions in (("tuned", _tuned(profile)), ("attempted", _attempted(profile))):
        for run in (run for runs in conditions for run in runs):
            rows.append(_row(run, phase, tuned[run.id]["checkpoints"][-1], run.defence.name, None))
    victims = _compared(profile)
    for (victim, attack, name), runs in victims.items():
        for run, plain in zip(runs, victims[victim, attack, "none"], strict=True):
            own, undefended = compared[run.id], compared[plain.id]
            rows.append(_row(run, "final", own["checkpoints"][-1], name, None))
            if name == "none":
                rows.append(_row(run, "final", _early(own), EARLY_STOPPING, None))
            else:
                rows.append(_row(run, "matched", matched(own, undefended), name, name))
                rows.append(_row(plain, "matched", matched(undefended, own), "none", name))
    columns = tuple(rows[0])
    for (_, _, name), runs in victims.items():
        rows += _trajectory(runs, dict(compared), name, columns)
    return rows


def chosen_weights(table: Table, budget: float) -> dict[str, tuple[float, bool]]:
    """By defence, the weight that the rule chooses from the evidence, and whether it is within the budget."""
    tuned = table.where(phase="tuned")

    def accuracy(rows: Table) -> float:
        return fmean(cast(float, row["test_accuracy"]) for row in rows)

    least = accuracy(tuned.where(regulariser="none")) - budget
    chosen = {}
    for name in map(str, tuned.values("regulariser")):
        if name == "none":
            continue
        tried = tuned.where(regulariser=name)
        weights = sorted(cast(float, weight) for weight in tried.values("weight"))
        within = [w for w in weights if accuracy(tried.where(weight=w)) >= least]
        chosen[name] = (within[-1], True) if within else (weights[0], False)
    return chosen


def strongest_attempt(table: Table) -> tuple[str, float]:
    """The form and weight of the margin loss that the rule chooses from the evidence."""
    attempted = table.where(phase="attempted")

    def exposed(form: str, weight: float) -> float:
        rows = attempted.where(regulariser=form, weight=weight)
        return fmean(cast(float, row["target_auc"]) for row in rows)

    forms = [str(name) for name in attempted.values("regulariser") if name != "none"]
    tried = [(f, cast(float, w)) for f in forms for w in attempted.where(regulariser=f).values("weight")]
    return min(tried, key=lambda attempt: exposed(*attempt))


def disagreements(profile: Profile, table: Table) -> list[str]:
    """Where the profile's values differ from what the rules choose from the evidence; empty if they agree."""
    s: Settings = profile.settings("comparative")
    found = [
        f"{name}: weight {s.defences[name].weight}, the rule chooses {weight}"
        for name, (weight, _) in chosen_weights(table, s.accuracy_budget).items()
        if s.defences[name].weight != weight
    ]
    form, weight = strongest_attempt(table)
    if (s.strongest.defence, s.strongest.weight) != (form, weight):
        found.append(
            f"strongest attempt: {s.strongest.defence} {s.strongest.weight}, the rule chooses {form} {weight}"
        )
    return found


COLUMNS = {
    "versus": "of a matched row: the defence that the two victims are matched for",
    "validation_accuracy": "accuracy on the victim's own validation images, which early stopping looks at",
    "epsilon": "the privacy budget spent, at delta 1e-4; empty but for DP-SGD",
}
"""What columns hold that no other experiment has."""

EXPERIMENT = Experiment(
    paper="desanctis",
    reproduces="the comparative study that section 4.2 proposes",
    phases=(
        train_phase("comparative", lambda profile: [*_tune(profile), *_compare(profile)]),
        expose_phase("tune", "comparative", _tune),
        expose_phase("expose", "comparative", _compare),
    ),
    rows=_rows,
)
