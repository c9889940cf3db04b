"""Detect backdoors by reconstructed triggers, with and without the classes' margins, and mitigate (desanctis 2.2, 3).

Neural Cleanse (Wang et al. 2019) on a poisoned and a clean model of each unit and architecture, trained as those of the
backdoor experiments. Its outlier test is compared with the one that section 3 proposes, and the triggers found are used
for pruning, unlearning and a proactive filter.

The number of pruned units and the length of unlearning were chosen on the tuning's seeds by clean accuracy: the largest
of 5, 10, 15 and 20 units that loses at most 0.05 in every architecture, and the fewest of 1, 2 and 5 epochs that lose
at most 0.02.
"""

from collections import Counter
from dataclasses import replace
from statistics import fmean
from typing import Annotated, Any

from pydantic import Field

from repro.errors import ReproError
from repro.harness.evidence.table import Row
from repro.harness.experiment import Experiment, Phase, Record, Records, Unit, units
from repro.harness.profile import Count, Names, Profile, Strict
from repro.harness.runs import Backdoor, Fleet, Run, engine_of, fleets
from repro.papers.backdoors.grid import backdoor_run, clean_runs, trained_alike
from repro.papers.desanctis.experiments.detection.runs import DetectionRun

PICTURED = 3
PICTURES = ("trigger_image", "mask_image", "pattern_image")
MITIGATED = (
    "asr_pruned",
    "accuracy_pruned",
    "asr_unlearned",
    "accuracy_unlearned",
    "asr_retrained",
    "accuracy_retrained",
    "filter_found_rate",
    "filter_false_rate",
    "asr_pruned_true",
    "filter_found_true_rate",
)


class Settings(Strict):
    """The number of units, architectures and trigger; the search's length and how its triggers are used.

    ``filter_rate`` is the share of the defender's clean images that the filter may flag. Steps, units pruned and epochs
    of unlearning were chosen on 20 units of digits' tuning seeds; the last two by clean accuracy.
    """

    units: Count
    architectures: Names
    trigger: str
    steps: Count = 300
    batch_size: Count = 32
    pruned_units: Count = 5
    unlearning_epochs: Count = 5
    filter_units: Count = 10
    filter_rate: Annotated[float, Field(ge=0, lt=1)] = 0.05


def _units(profile: Profile) -> list[Unit]:
    return units(profile.seeds.evidence, profile.settings("detection").units, profile.classes())


def _attack(profile: Profile, unit: Unit) -> Backdoor:
    return profile.backdoor(unit.poison_class, profile.settings("detection").trigger)


def _models(profile: Profile) -> list[Run]:
    """Poisoned models, then clean ones; raises ReproError for an architecture that is not trained in stacks."""
    architectures: list[str] = profile.settings("detection").architectures
    for name in architectures:
        where = f"profile {profile.name}: experiments.detection.architectures"
        if name not in profile.architectures:
            raise ReproError(
                f"{where}: {name!r} is not one of the profile's {', '.join(profile.architectures)}"
            )
        if engine_of(name) != "stacked":
            raise ReproError(f"{where}: {name!r} is not trained in stacks, which detection works on")
    among = _units(profile)
    poisoned = [backdoor_run(profile, u, name, _attack(profile, u)) for name in architectures for u in among]
    return poisoned + clean_runs(profile, among, lambda unit: (_attack(profile, unit),), architectures)


def _detection(profile: Profile, trained: Run) -> DetectionRun:
    s: Settings = profile.settings("detection")
    return DetectionRun(
        trained=trained,
        steps=s.steps,
        batch_size=s.batch_size,
        pruned_units=s.pruned_units,
        recipe=replace(profile.retraining_recipe(trained.architecture), epochs=s.unlearning_epochs),
        filter_units=s.filter_units,
        filter_rate=s.filter_rate,
    )


def _train(profile: Profile) -> list[Fleet]:
    return fleets(_models(profile), profile.fleet, trained_alike)


def _detect(profile: Profile) -> list[Fleet]:
    return [Fleet(tuple(_detection(profile, run) for run in fleet.runs)) for fleet in _train(profile)]


def _trained(profile: Profile, fleet: Fleet) -> Fleet:
    del profile
    return Fleet(tuple(run.trained for run in fleet.runs))


def _row(run: DetectionRun, trained: Record, found: Record) -> Row:
    model, attack = run.trained, run.attack
    (measured,) = trained["attacks"]
    raw, better, target = found["raw"], found["corrected"], attack.poison_class
    rank = midrank(found["margins"], raw["class"])
    return {
        "run": run.id,
        "phase": "detected",
        "unit": model.unit,
        "partition_seed": model.partition_seed,
        "seed": model.seed,
        "poison_class": target,
        "architecture": run.architecture,
        "model": "poisoned" if run.backdoor else "clean",
        "trigger": attack.trigger.name,
        "alpha": float(attack.trigger.alpha),
        "poison_rate": float(attack.poison_rate) if run.backdoor else 0.0,
        "clean_accuracy": trained["clean_accuracy"],
        "asr": measured["asr"],
        "raw_score": raw["score"],
        "corrected_score": better["score"],
        "raw_flagged_rate": float(raw["backdoored"]),
        "corrected_flagged_rate": float(better["backdoored"]),
        "raw_found_rate": _right(run, raw),
        "corrected_found_rate": _right(run, better),
        "named_class": raw["class"],
        "named_margin_rank": rank,
        "small_margin_named_rate": smaller_half(rank, len(found["margins"])),
        "mask_overlap": found["mask_overlap"],
        "class": target,
        "mask_size": found["sizes"][target],
        "margin": found["margins"][target],
        "nearest_class": found["nearest"][target],
        **{name: found.get(name) for name in MITIGATED},
    }


def _right(run: DetectionRun, verdict: dict[str, Any]) -> float | None:
    """1 if the model is flagged for its poison class, else 0; None for a clean model, which has no poison class."""
    if not run.backdoor:
        return None
    return float(verdict["backdoored"] and verdict["class"] == run.backdoor.poison_class)


def midrank(margins: list[float], index: int) -> float:
    """A margin's rank, from 0 for the smallest; classes nearest to each other share a margin, and their mean rank."""
    own = margins[index]
    return sum(m < own for m in margins) + (sum(m == own for m in margins) - 1) / 2


def smaller_half(rank: float, classes: int) -> float:
    """1 for a rank in the smaller half, 0 in the larger half, 0.5 in the middle: 0.5 on average by chance."""
    middle = (classes - 1) / 2
    return 1.0 if rank < middle else 0.0 if rank > middle else 0.5


def _class_rows(profile: Profile, columns: Row, found: list[tuple[DetectionRun, Record]]) -> list[Row]:
    """One row per architecture and class, of its clean models: means over units, and how often it raises an alarm."""
    rows = []
    for name in profile.settings("detection").architectures:
        clean = [record for run, record in found if run.architecture == name and not run.backdoor]
        for own in range(profile.classes()):
            row: Row = dict.fromkeys(columns)
            row |= {
                "phase": "classes",
                "architecture": name,
                "model": "clean",
                "class": own,
                "mask_size": fmean(record["sizes"][own] for record in clean),
                "margin": fmean(record["margins"][own] for record in clean),
                "nearest_class": Counter(record["nearest"][own] for record in clean).most_common(1)[0][0],
                "raw_flagged_rate": _alarms(clean, "raw", own),
                "corrected_flagged_rate": _alarms(clean, "corrected", own),
            }
            rows.append(row)
    return rows


def _alarms(records: list[Record], test: str, own: int) -> float:
    return fmean(float(r[test]["backdoored"] and r[test]["class"] == own) for r in records)


def _rows(profile: Profile, records: Records) -> list[Row]:
    """One row per model, with pictures for the first poisoned ones of each architecture; then one row per class."""
    runs = [_detection(profile, model) for model in _models(profile)]
    found = [(run, records["detect"][run.id]) for run in runs]
    shown = {unit.name for unit in _units(profile)[:PICTURED]}
    rows = []
    for run, record in found:
        kept = bool(run.backdoor) and run.trained.unit in shown
        pictures = record["pictures"] if kept else [None] * len(PICTURES)
        row = _row(run, records["train"][run.trained.id], record)
        rows.append(row | dict(zip(PICTURES, pictures, strict=True)))
    return rows + _class_rows(profile, rows[0], found)


COLUMNS = {
    "model": "poisoned or clean",
    "raw_score": "Neural Cleanse's anomaly index of the most conspicuous class",
    "corrected_score": "the same, normalised by the difference between classes",
    "raw_flagged_rate": "1 where Neural Cleanse raises an alarm, else 0; of a class, the share of models",
    "corrected_flagged_rate": "the same, normalised",
    "raw_found_rate": "1 where the alarm names the poison class, else 0",
    "corrected_found_rate": "the same, normalised",
    "named_class": "the class of the most conspicuous mask, alarm or not",
    "named_margin_rank": (
        "how many classes have a smaller natural margin than the named one (ties count half)"
    ),
    "small_margin_named_rate": (
        "1 where the named class is in the half of smaller margins, 0.5 in the middle, else 0"
    ),
    "mask_overlap": (
        "intersection over union of the poison class's recovered mask, above 0.5, with the true one"
    ),
    "class": "the class that the mask and margin are of",
    "mask_size": "sum of the recovered mask",
    "margin": "least mean difference, in L1, from another class's mean image to this one's",
    "nearest_class": "the class of that least difference",
    "asr_pruned": "success rate after pruning by the trigger of the named class",
    "accuracy_pruned": "accuracy on clean validation images after it",
    "asr_unlearned": "success rate after unlearning the trigger of the named class",
    "accuracy_unlearned": "accuracy on clean validation images after it",
    "asr_retrained": "success rate after the same retraining without stamps: the control",
    "accuracy_retrained": "accuracy on clean validation images after it",
    "filter_found_rate": "share of triggered inputs that the filter flags",
    "filter_false_rate": "share of clean inputs that it flags",
    "asr_pruned_true": "as asr_pruned, by the trigger of the true poison class",
    "filter_found_true_rate": "as filter_found_rate, by the trigger of the true poison class",
    "trigger_image": "a triggered image as hexadecimal, as in base_image; the first three units only",
    "mask_image": "the recovered mask, likewise",
    "pattern_image": "the recovered pattern, likewise",
}
"""What columns hold that no other experiment has."""

EXPERIMENT = Experiment(
    paper="desanctis",
    reproduces="the detection and mitigation of section 2.2, and the correction that section 3 proposes",
    phases=(
        Phase("train", "repro.papers.backdoors.work:train_fleet", _train, keeps_weights=True),
        Phase(
            "detect",
            "repro.papers.desanctis.experiments.detection.work:retrain_detected",
            _detect,
            after="train",
            parent=_trained,
        ),
    ),
    rows=_rows,
)
