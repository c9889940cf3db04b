"""A profile whose architectures, triggers and weights all differ, and the rows its backdoor grids should have."""

from pathlib import Path
from typing import Any

from figures import figure, of, whole
from synthetic_records import EVIDENCE, small_profile

from repro.harness.experiment import Record, Records
from repro.harness.profile import DefenceSettings, Profile, TriggerSettings
from repro.harness.runs import Backdoor, Data, Defence, Run, Trigger
from repro.training.recipe import Recipe

ARCHITECTURES = ("mlp", "cnn")
RATES = {"mlp": 0.01, "cnn": 0.03}
STOPPED = {name: Recipe(rate, 32, 4, 2) for name, rate in RATES.items()}
FIXED = {name: Recipe(rate, 32, 3) for name, rate in RATES.items()}
RETRAINING_RATES = {"mlp": 0.02, "cnn": 0.04}
RETRAINED = {name: Recipe(rate, 24, 2) for name, rate in RETRAINING_RATES.items()}

POISON_RATE = 0.15
SQUARE: dict[str, Any] = {"size": 3, "offset": 1, "value": 1.0}
SINE: dict[str, Any] = {"amplitude": 0.4, "cycles": 2.0}
TRIGGERS = {"square": Trigger("square", 0.9, SQUARE), "sine": Trigger("sine", 0.5, SINE)}

WEIGHTS = {"logit_squeezing": {"mlp": 0.1, "cnn": 0.2}, "snnl": {"mlp": 1.0, "cnn": 5.0}}
OPTIONS: dict[str, dict[str, Any]] = {"logit_squeezing": {}, "snnl": {"temperature": 2.0}}


def grid_profile(folder: Path, experiment: str, **changes: Any) -> Profile:
    """Profile ``tiny`` with two architectures, in which no two things have one value; published weights for one."""
    profile = small_profile(folder, experiment, **changes)
    retraining = {"learning_rate": RETRAINING_RATES, "batch_size": 24}
    return profile.model_copy(
        update={
            "architectures": list(ARCHITECTURES),
            "pretrained": {"cnn": True},
            "training": profile.training.model_copy(update={"learning_rate": RATES}),
            "retraining": profile.retraining.model_copy(update=retraining),
            "poison_rate": POISON_RATE,
            "triggers": {
                name: TriggerSettings(alpha=trigger.alpha, options=trigger.options)
                for name, trigger in TRIGGERS.items()
            },
            "defences": {
                name: DefenceSettings(weight=weights, options=OPTIONS[name])
                for name, weights in WEIGHTS.items()
            },
        }
    )


def attack(unit: int, trigger: Trigger, rate: float = POISON_RATE, source: int | None = None) -> Backdoor:
    """The backdoor of a unit; its poison class is the unit's number, in turn."""
    return Backdoor(unit % 10, trigger, rate, source)


def run_of(
    unit: int, architecture: str, backdoor: Backdoor | None, first: int = EVIDENCE, **about: Any
) -> Run:
    """A run of a unit, early-stopped and undefended where ``about`` does not say otherwise."""
    return Run(
        unit=f"u{unit:03d}",
        data=Data("digits", 600),
        partition_seed=first + unit,
        seed=first + unit,
        architecture=architecture,
        recipe=about.pop("recipe", STOPPED[architecture]),
        pretrained=architecture == "cnn",
        backdoor=backdoor,
        **about,
    )


def defence(name: str, weight: float) -> Defence:
    """A defence of the profile; ``none`` weighs nothing."""
    return Defence(name, weight, OPTIONS.get(name, {}))


def record(phase: str, run: Run) -> Record:
    """What training leaves, with a figure for every backdoor the run is measured on."""
    measured = [run.backdoor] if run.backdoor else run.probes
    return {
        "epochs": whole(phase, run.id, "epochs"),
        "poisoned_accuracy": figure(phase, run.id, "poisoned_accuracy"),
        "clean_accuracy": figure(phase, run.id, "clean_accuracy"),
        "attacks": [
            {
                "asr": figure(phase, run.id, "asr", place),
                "own_source_asr": figure(phase, run.id, "own_source_asr", place),
                "images": whole(phase, run.id, "images", place),
            }
            for place in range(len(measured))
        ],
    }


def expected_row(
    records: Records, label: str, run: Run, clean: Run, probe: int, phase: str = "train"
) -> dict[str, Any]:
    """The row of a backdoored run of a phase; its floor is what ``clean`` does under its backdoor number ``probe``."""
    own, floor = of(records, phase, run), of(records, "train", clean)
    backdoor = run.backdoor
    assert backdoor is not None
    return {
        "run": run.id,
        "phase": label,
        "unit": run.unit,
        "partition_seed": run.partition_seed,
        "seed": run.seed,
        "poison_class": backdoor.poison_class,
        "architecture": run.architecture,
        "trigger": backdoor.trigger.name,
        "alpha": backdoor.trigger.alpha,
        "poison_rate": backdoor.poison_rate,
        "sources": "many-to-one" if backdoor.source_class is None else "one-to-one",
        "source_class": backdoor.source_class,
        "regulariser": run.defence.name,
        "weight": run.defence.weight,
        "epochs": own["epochs"],
        "poisoned_accuracy": own["poisoned_accuracy"],
        "clean_accuracy": own["clean_accuracy"],
        "asr": own["attacks"][0]["asr"],
        "own_source_asr": own["attacks"][0]["own_source_asr"],
        "clean_model_asr": floor["attacks"][probe]["asr"],
        "clean_model_accuracy": floor["clean_accuracy"],
        "adversarial_images": own["attacks"][0]["images"],
    }
