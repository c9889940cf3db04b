"""Runs of backdoored models and their clean floors, the phase that retrains them, and their rows."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from repro.harness.evidence.table import Row
from repro.harness.experiment import Phase, Record, Unit
from repro.harness.profile import Profile
from repro.harness.runs import Backdoor, Defence, Fleet, Run, fleets, plain, stacked_alike


def backdoor_run(
    profile: Profile,
    unit: Unit,
    architecture: str,
    backdoor: Backdoor | None,
    *,
    defence: Defence | None = None,
    probes: tuple[Backdoor, ...] = (),
    early_stopping: bool = True,
) -> Run:
    """A run of a unit. All its runs share partition, initialisation and data order, so that they pair."""
    return Run(
        unit=unit.name,
        data=profile.dataset(),
        partition_seed=unit.partition_seed,
        seed=unit.partition_seed,
        architecture=architecture,
        recipe=profile.recipe(architecture, early_stopping=early_stopping),
        pretrained=profile.pretrained.get(architecture, False),
        defence=defence or Defence(),
        backdoor=backdoor,
        probes=probes,
    )


def clean_runs(
    profile: Profile,
    among: list[Unit],
    attacks: Callable[[Unit], tuple[Backdoor, ...]],
    architectures: list[str] | None = None,
) -> list[Run]:
    """The clean model of each unit and architecture, measured on the unit's triggered images: the floor of ASR."""
    return [
        backdoor_run(profile, unit, architecture, None, probes=attacks(unit))
        for architecture in architectures or profile.architectures
        for unit in among
    ]


def trained_alike(run: Run) -> Any:
    """The key of runs that can be trained, and later retrained, in one fleet: clean models are not retrained."""
    recipe = plain(run.retraining) if run.retraining else None
    return [stacked_alike(run), run.backdoor is None, recipe]


def retrained(profile: Profile, run: Run) -> Run:
    """The run continued on clean data."""
    return replace(run, retraining=profile.retraining_recipe(run.architecture))


def retrain_phase(poisoned: Callable[[Profile], list[Run]]) -> Phase:
    """The phase that retrains every poisoned run of phase ``train``, fleet by fleet (truong2020 3, 4.2)."""

    def retrain(profile: Profile) -> list[Fleet]:
        return fleets([retrained(profile, run) for run in poisoned(profile)], profile.fleet, trained_alike)

    def parent(profile: Profile, fleet: Fleet) -> Fleet:
        return Fleet(tuple(replace(run, retraining=None) for run in fleet.runs))

    return Phase(
        "retrain", "repro.papers.backdoors.work:retrain_fleet", retrain, after="train", parent=parent
    )


def clean_floor(
    runs: list[Run], records: Mapping[str, Record]
) -> dict[tuple[str, str, str, float], tuple[float, float]]:
    """(clean model's ASR, its clean accuracy) by unit, architecture, trigger and alpha."""
    floor = {}
    for run in runs:
        record = records[run.id]
        for probe, attack in zip(run.probes, record["attacks"], strict=True):
            key = (run.unit, run.architecture, probe.trigger.name, probe.trigger.alpha)
            floor[key] = (attack["asr"], record["clean_accuracy"])
    return floor


def backdoor_row(
    run: Run, phase: str, record: Record, floor: Mapping[tuple[str, str, str, float], tuple[float, float]]
) -> Row:
    """One row of a table of backdoored models."""
    attack = run.backdoor
    if attack is None:
        raise ValueError("a clean run has no row of its own")
    (measured,) = record["attacks"]
    clean_asr, clean_accuracy = floor[run.unit, run.architecture, attack.trigger.name, attack.trigger.alpha]
    return {
        "run": run.id,
        "phase": phase,
        "unit": run.unit,
        "partition_seed": run.partition_seed,
        "seed": run.seed,
        "poison_class": attack.poison_class,
        "architecture": run.architecture,
        "trigger": attack.trigger.name,
        "alpha": float(attack.trigger.alpha),
        "poison_rate": float(attack.poison_rate),
        "sources": attack.sources,
        "source_class": attack.source_class,
        "regulariser": run.defence.name,
        "weight": float(run.defence.weight),
        "epochs": record["epochs"],
        "poisoned_accuracy": record["poisoned_accuracy"],
        "clean_accuracy": record["clean_accuracy"],
        "asr": measured["asr"],
        "own_source_asr": measured["own_source_asr"],
        "clean_model_asr": clean_asr,
        "clean_model_accuracy": clean_accuracy,
        "adversarial_images": measured["images"],
    }
