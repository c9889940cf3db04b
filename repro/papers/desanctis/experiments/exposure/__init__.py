"""Membership exposure: poisoning that amplifies it, and the margin loss against it (desanctis 2.3-2.5, 3.1, 4.2).

Victims are trained for a fixed number of epochs, long enough to overfit, from scratch or by fine-tuning a public
encoder whose representation the clean-label attacker knows. The defence is the one of section 4.2: the margin loss
added, with weight 1, to training on the poisoned set. Rows of phase ``final`` are measured after training. Rows of
phase ``matched`` compare a victim with and without the loss at equal accuracy on held-out images, so that a lower AUC
cannot come from training less: at ten accuracies, evenly spaced from the higher of the two starting accuracies to the
lower of the two best ones, each victim is measured when it first reaches that accuracy, and its measurements are
averaged.
"""

from repro.harness.evidence.table import Row
from repro.harness.experiment import Experiment, Records, units
from repro.harness.profile import Count, Positive, Profile
from repro.harness.runs import Defence
from repro.papers.desanctis.victims.experiment import (
    DEFAULT_ATTACKS,
    AttackName,
    AttackSettings,
    VictimSettings,
    expose_phase,
    exposed_row,
    matched,
    train_phase,
)
from repro.papers.desanctis.victims.runs import Amplification, ExposureRun, Victim
from repro.training.recipe import Recipe

VICTIMS: tuple[Victim, ...] = ("scratch", "fine-tuned")


class Settings(VictimSettings):
    """Sizes, recipes, attacks, and the margin loss's weight."""

    checkpoints: list[Count] = [*range(1, 7), 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, *range(75, 151, 15)]
    attacks: dict[AttackName, AttackSettings] = DEFAULT_ATTACKS
    margin_weight: Positive = 1.0


def _victims(profile: Profile) -> list[list[ExposureRun]]:
    """Victims by condition, each condition in the order of the units; no defence precedes the margin loss."""
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
                victim=victim,
                checkpoints=tuple(s.checkpoints),
                attack=attack,
                defence=defence,
            )
            for u in units(profile.seeds.evidence, s.units, profile.classes())
        ]
        for victim in VICTIMS
        for attack in attacks
        for defence in defences
    ]


def _rows(profile: Profile, records: Records) -> list[Row]:
    victims = records["expose"]
    conditions = _victims(profile)
    rows = [
        exposed_row(run, "final", victims[run.id]["checkpoints"][-1]) for runs in conditions for run in runs
    ]
    for plain, defended in zip(conditions[::2], conditions[1::2], strict=True):
        for one, two in zip(plain, defended, strict=True):
            rows.append(exposed_row(one, "matched", matched(victims[one.id], victims[two.id])))
            rows.append(exposed_row(two, "matched", matched(victims[two.id], victims[one.id])))
    return rows


EXPERIMENT = Experiment(
    paper="desanctis",
    reproduces="the study that sections 2.5 and 4.2 propose",
    phases=(train_phase("exposure", _victims), expose_phase("expose", "exposure", _victims)),
    rows=_rows,
)
