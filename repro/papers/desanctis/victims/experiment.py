"""What experiments on membership exposure share: settings, encoders of a fleet's victims, rows, matched accuracy."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from repro import plugins
from repro.errors import ReproError
from repro.harness.evidence.table import Row
from repro.harness.experiment import Phase, Record
from repro.harness.profile import Count, Positive, Profile, Strict
from repro.harness.runs import Fleet, Options
from repro.papers.desanctis.victims.runs import EncoderRun, ExposureRun
from repro.training.recipe import Recipe

LEVELS = 10
LEAST_OF_CLASS = 5  # on average; with fewer, some class may well have no member at all
ATTACKS = {
    "dirty_label": "dirty_label",
    "feature_collision": "clean_label",
}  # the document's name for the attack of a piece; others have their own


def _draws_from(attack: str) -> str | None:
    """Which images of its pool an attack that adds poisons uses up; None for another attack, or for none."""
    if attack not in plugins.names("attack"):
        return None
    found: str | None = plugins.literal("attack", attack, "DRAWS_FROM", None)
    return found


def _adds_poisons(attack: str) -> str:
    known = [name for name in plugins.names("attack") if _draws_from(name)]
    if attack not in known:
        raise ValueError(f"no attack that adds poisons is called {attack!r}: {', '.join(known)}")
    return attack


AttackName = Annotated[str, AfterValidator(_adds_poisons)]


class Attempt(Strict):
    """A form of the margin loss and its weight."""

    defence: Literal["margin", "margin_sampled"]
    weight: Positive


class AttackSettings(Strict):
    """The number of poisons, and the options of the attack's piece."""

    budget: Count
    options: Options = Field(default_factory=dict)


DEFAULT_ATTACKS: dict[AttackName, AttackSettings] = {
    "dirty_label": AttackSettings(budget=20),
    "feature_collision": AttackSettings(budget=30, options={"beta": 1.0, "step": 1.0, "iterations": 100}),
}


class VictimSettings(Strict):
    """The numbers of members and non-members, and how encoders and victims train."""

    units: Count
    architecture: str
    members: Count = 300
    nonmembers: Count = 600
    learning_rate: Positive = 0.001
    batch_size: Count = 64
    encoder_epochs: Count = 30


def chunks(runs: Sequence[Any], size: int) -> list[Fleet]:
    """Runs in order, in fleets of at most ``size``."""
    return [Fleet(tuple(runs[i : i + size])) for i in range(0, len(runs), size)]


def encoder_of(run: ExposureRun, s: VictimSettings) -> EncoderRun:
    """The public encoder of a victim's unit."""
    recipe = Recipe(s.learning_rate, s.batch_size, s.encoder_epochs)
    about = (run.unit, run.data, run.seed, run.architecture, recipe)
    return EncoderRun(*about, run.members, run.nonmembers, run.validation)


def _affordable(profile: Profile, experiment: str, run: ExposureRun) -> None:
    """Raise ReproError where a class may lack members, or the attacker's pool may lack images for the poisons."""
    where, classes = f"profile {profile.name}: experiments.{experiment}", profile.classes()
    for field, held in (("members", run.members), ("nonmembers", run.nonmembers)):
        if held < LEAST_OF_CLASS * classes:
            raise ReproError(
                f"{where}.{field}: {held} images of {classes} classes; at least {LEAST_OF_CLASS} of each"
            )
    count = run.data.limit or profile.facts().images
    pool = count - run.members - run.nonmembers - run.validation
    if run.attack is None:
        return
    source = _draws_from(run.attack.name)
    drawn = pool * (classes - 1 if source == "other classes" else 1) // classes
    if run.attack.budget > 0.9 * drawn:
        raise ReproError(
            f"{where}.attacks.{run.attack.name}: {run.attack.budget} poisons, but the attacker's pool has about "
            f"{max(0, drawn)} images of {source}"
        )


def expose_phase(name: str, experiment: str, conditions: Any) -> Phase:
    """A phase that trains victims, each fleet from the encoders that phase ``train`` made for the same units.

    ``conditions(profile)`` gives the victims by condition, each condition in the order of the units.
    """

    def fleets(profile: Profile) -> list[Fleet]:
        every = conditions(profile)
        for runs in every:
            _affordable(profile, experiment, runs[0])
        return [fleet for runs in every for fleet in chunks(runs, profile.fleet)]

    def parent(profile: Profile, fleet: Fleet) -> Fleet:
        return Fleet(tuple(encoder_of(run, profile.settings(experiment)) for run in fleet.runs))

    return Phase(
        name, "repro.papers.desanctis.victims.work:train_victims", fleets, after="train", parent=parent
    )


def train_phase(experiment: str, conditions: Any) -> Phase:
    """The phase that trains public encoders, one per unit, for every list of victims that ``conditions`` gives."""

    def fleets(profile: Profile) -> list[Fleet]:
        settings = profile.settings(experiment)
        found: dict[str, Fleet] = {}
        for runs in conditions(profile):
            for fleet in chunks([encoder_of(run, settings) for run in runs], profile.fleet):
                found.setdefault(fleet.id, fleet)
        return list(found.values())

    return Phase("train", "repro.papers.desanctis.victims.work:train_encoders", fleets, keeps_weights=True)


def matched(own: Record, other: Record) -> dict[str, float]:
    """Measurements of ``own`` averaged over held-out accuracies that both it and ``other`` reach.

    Between two checkpoints the measurements are interpolated to the accuracy wanted, so that both are compared at the
    same accuracy however far apart their checkpoints lie.
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
    if after == 0:
        return checkpoints[after]
    # Accuracy may have fallen below its best in between: interpolate from the checkpoint with the best.
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


def exposed_row(run: ExposureRun, phase: str, measured: dict[str, float]) -> Row:
    """One row of a table of exposed victims: the run's description, and what was measured."""
    described: Row = {
        "run": run.id,
        "phase": phase,
        "unit": run.unit,
        "partition_seed": run.seed,
        "seed": run.seed,
        "target_class": run.target_class,
        "victim": run.victim,
        "attack": ATTACKS.get(run.attack.name, run.attack.name) if run.attack else "none",
        "budget": run.attack.budget if run.attack else 0,
        "architecture": run.architecture,
        "regulariser": run.defence.name,
        "weight": float(run.defence.weight),
        "epochs": float(measured["epoch"]),
    }
    return described | {name: float(value) for name, value in measured.items() if name != "epoch"}
