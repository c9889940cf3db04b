"""Which defence works against which backdoor, a static trigger or a generalised one, at equal cost (desanctis 1).

Every family of experiment `families`, with its options, recipe and poison rate there, faces five defences: neuron
pruning, regularisation (weight decay), early stopping, clean retraining and unlearning, each along a line of settings
from light to heavy.

The rule, fixed before any success rate was seen: on each line the heaviest setting at which a model's accuracy on clean
validation images is at most ``accuracy_budget`` below the same model's without a defence; if there is no such setting,
the lightest. It uses only clean accuracy, as a defender could, and model by model. Accuracies in the table are measured
on other images. The lines were chosen on the tuning's seeds from clean accuracy alone: a line of settings that can cost
accuracy ends where they do.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from repro import plugins
from repro.harness.evidence.table import Row
from repro.harness.experiment import Experiment, Phase, Record, Records, units
from repro.harness.profile import Count, Positive, Profile, Strict
from repro.harness.runs import Fleet, fleets
from repro.papers.desanctis.experiments.families.runs import Family
from repro.papers.desanctis.experiments.mitigation.runs import MitigationRun, defended_alike
from repro.training.recipe import Recipe

STATIC = "static"
NONE = "none"
DEFENCES = ("pruning", "regularisation", "early_stopping", "clean_retraining", "unlearning")
MEASURED = ("clean_accuracy", "asr_seen", "asr_unseen")
_ROUNDING = 1e-12  # tolerance of a difference between two shares of the same images

Counts = Annotated[list[Count], Field(min_length=1)]


class Settings(Strict):
    """The number of units, the accuracy that a defence may cost, and each defence's settings from light to heavy."""

    units: Count = 30
    accuracy_budget: Annotated[float, Field(ge=0, lt=1)] = 0.02
    pruned: Counts = [8, 16, 24, 32, 36, 40, 44, 48]
    weights: Annotated[list[Positive], Field(min_length=1)] = [0.001, 0.01]
    epochs_stopped: Counts = [12, 8, 6, 5, 4, 3, 2, 1]
    epochs_retrained: Counts = [1, 2, 5, 10]

    @model_validator(mode="after")
    def _from_light_to_heavy(self) -> Self:
        for field in ("pruned", "weights", "epochs_retrained", "epochs_stopped"):
            given, falls = getattr(self, field), field == "epochs_stopped"
            if given != sorted(set(given), reverse=falls):
                raise ValueError(
                    f"{field}: from light to heavy, values {'fall' if falls else 'rise'}: {given}"
                )
        return self


def _families(profile: Profile) -> list[Family]:
    """The families of experiment `families`; raises ReproError for one that does not fit the enlarged images."""
    s = profile.settings("families")
    channels, height, width = profile.facts().shape
    found = []
    for name, own in s.families.items():
        piece = plugins.load("family", name)
        options = piece.OPTIONS | own
        piece.check((channels, height * s.enlarge, width * s.enlarge), **options)
        found.append(Family(name, options))
    return found


def _runs(profile: Profile) -> list[list[MitigationRun]]:
    """Backdoored models by family, each in the order of the units."""
    s: Settings = profile.settings("mitigation")
    f = profile.settings("families")
    return [
        [
            MitigationRun(
                unit=unit.name,
                data=profile.dataset(),
                seed=unit.partition_seed,
                poison_class=unit.poison_class,
                architecture=f.architecture,
                recipe=Recipe(f.learning_rate, f.batch_size, f.epochs, f.patience),
                enlarge=f.enlarge,
                ink=f.ink,
                family=family,
                poison_rate=f.poison_rate,
                pruned=tuple(s.pruned),
                weights=tuple(s.weights),
                epochs_stopped=tuple(s.epochs_stopped),
                epochs_retrained=tuple(s.epochs_retrained),
            )
            for unit in units(profile.seeds.evidence, s.units, profile.classes())
        ]
        for family in _families(profile)
    ]


def _fleets(profile: Profile) -> list[Fleet]:
    return fleets((run for runs in _runs(profile) for run in runs), profile.fleet, defended_alike)


def settings_of(run: MitigationRun) -> dict[str, tuple[float, ...]]:
    """A run's settings by defence, from light to heavy."""
    lines = (run.pruned, run.weights, run.epochs_stopped, run.epochs_retrained, run.epochs_retrained)
    return {defence: tuple(map(float, line)) for defence, line in zip(DEFENCES, lines, strict=True)}


def chosen(undefended: float, accuracies: Sequence[float], budget: float) -> tuple[int, bool]:
    """Index of the heaviest setting within the budget (otherwise of the lightest), and whether one is within it.

    ``accuracies`` are those at the line's settings from light to heavy, on the same images as ``undefended``.
    """
    within = [i for i, own in enumerate(accuracies) if own >= undefended - budget - _ROUNDING]
    return (within[-1], True) if within else (0, False)


def _row(
    run: MitigationRun, defence: str, setting: float, within: bool | None, measured: dict[str, Any]
) -> Row:
    if run.family is None:
        raise ValueError("a clean model needs no defence")
    row: Row = {
        "run": run.id,
        "phase": "mitigated",
        "unit": run.unit,
        "partition_seed": run.seed,
        "seed": run.seed,
        "poison_class": run.poison_class,
        "architecture": run.architecture,
        "family": run.family.name,
        "trigger_kind": "static" if run.family.name == STATIC else "generalised",
        "defence": defence,
        "setting": setting,
        "within_budget": within,
    }
    return row | {metric: float(measured[metric]) for metric in MEASURED}


def _mitigated(run: MitigationRun, record: Record, budget: float) -> list[Row]:
    """The undefended model, and each defence at its chosen setting."""
    plain = record["undefended"]
    rows = [_row(run, NONE, 0.0, True, plain)]
    for defence, line in settings_of(run).items():
        measured = record["lines"][defence]
        accuracies = [at["validation_accuracy"] for at in measured]
        place, within = chosen(plain["validation_accuracy"], accuracies, budget)
        rows.append(_row(run, defence, line[place], within, measured[place]))
    return rows


def _line(runs: Sequence[MitigationRun], records: dict[str, Record]) -> list[Row]:
    """Every setting of every defence against one family, averaged over the units; other columns are empty."""
    own = [records[run.id] for run in runs]
    nobodys: Row = dict.fromkeys(("run", "unit", "partition_seed", "seed", "poison_class"))

    def averaged(defence: str, setting: float, seen: list[dict[str, float]]) -> Row:
        means = {metric: fmean(figures[metric] for figures in seen) for metric in MEASURED}
        return _row(runs[0], defence, setting, None, means) | nobodys | {"phase": "line"}

    rows = [averaged(NONE, 0.0, [record["undefended"] for record in own])]
    for defence, line in settings_of(runs[0]).items():
        for i, setting in enumerate(line):
            rows.append(averaged(defence, setting, [record["lines"][defence][i] for record in own]))
    return rows


def _rows(profile: Profile, records: Records) -> list[Row]:
    trained, by_family = dict(records["train"]), _runs(profile)
    budget = profile.settings("mitigation").accuracy_budget
    rows = [row for runs in by_family for run in runs for row in _mitigated(run, trained[run.id], budget)]
    return rows + [row for runs in by_family for row in _line(runs, trained)]


COLUMNS = {
    "trigger_kind": "static, or generalised: a family with held-out members",
    "defence": "what was done against the backdoor, none without",
    "setting": "how hard: units pruned, weight, epoch stopped at, or epochs retrained",
    "within_budget": (
        "whether some setting of the defence costs at most the accuracy budget on clean validation images"
    ),
}
"""What columns hold that no other experiment has."""

EXPERIMENT = Experiment(
    paper="desanctis",
    reproduces="the defences of section 1 against static and generalised triggers",
    phases=(Phase("train", "repro.papers.desanctis.experiments.mitigation.work:train_mitigated", _fleets),),
    rows=_rows,
)
