"""Victims described by hand, their records, and the rows that experiments on exposed victims should make of them."""

from typing import Any

import pytest
from equal_accuracy import slow_matched
from figures import figure, of
from synthetic_records import EVIDENCE, MEASURED

from repro.harness.experiment import Record, Records
from repro.harness.runs import Data
from repro.papers.desanctis.victims.runs import ExposureRun
from repro.training.recipe import Recipe

SHOWN = {"dirty_label": "dirty_label", "feature_collision": "clean_label"}


def victim_of(unit: int, epochs: int, first: int = EVIDENCE, **about: Any) -> ExposureRun:
    """A victim of a unit in profile ``tiny``; its class is the unit's number, in turn."""
    return ExposureRun(
        unit=f"u{unit:03d}",
        data=Data("digits", 600),
        seed=first + unit,
        target_class=unit % 10,
        architecture="mlp",
        recipe=about.pop("recipe", Recipe(0.003, 32, epochs)),
        members=60,
        nonmembers=120,
        **about,
    )


def record(phase: str, run: Any) -> Record:
    """Of a victim, figures at each of its checkpoints; an encoder has none."""
    if not isinstance(run, ExposureRun):
        return {}
    names = [*MEASURED, *(["validation_accuracy"] if run.validation else [])]
    names += ["epsilon"] if run.defence.name == "dp_sgd" else []
    return {
        "checkpoints": [
            {"epoch": epoch} | {name: figure(phase, run.id, name, epoch) for name in names}
            for epoch in run.checkpoints
        ]
    }


def expected_row(run: ExposureRun, label: str, measured: dict[str, float]) -> dict[str, Any]:
    """The row of a victim that was ``measured``."""
    return {
        "run": run.id,
        "phase": label,
        "unit": run.unit,
        "partition_seed": run.seed,
        "seed": run.seed,
        "target_class": run.target_class,
        "victim": run.victim,
        "attack": SHOWN[run.attack.name] if run.attack else "none",
        "budget": run.attack.budget if run.attack else 0,
        "architecture": "mlp",
        "regulariser": run.defence.name,
        "weight": run.defence.weight,
        "epochs": close(measured["epoch"]),
    } | {name: close(value) for name, value in measured.items() if name != "epoch"}


def close(value: float) -> Any:
    """The value, or one that interpolation has rounded otherwise."""
    return pytest.approx(float(value), abs=1e-9)


def at_the_end(records: Records, phase: str, run: ExposureRun) -> dict[str, float]:
    """What is measured of a victim after training."""
    measured: dict[str, float] = of(records, phase, run)["checkpoints"][-1]
    return measured


def beside(records: Records, phase: str, run: ExposureRun, other: ExposureRun) -> dict[str, float]:
    """What is measured of a victim at accuracies that another reaches too."""
    return slow_matched(of(records, phase, run), of(records, phase, other))
