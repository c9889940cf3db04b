"""Rows of `mitigation`: each defence at the setting that validation accuracy alone chooses, then every setting."""

from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from figures import assert_same, figure, of, records_of, rows_of
from synthetic_records import EVIDENCE, small_profile

from repro.harness.experiment import Record
from repro.harness.runs import Data
from repro.papers.desanctis.experiments.families.runs import Family
from repro.papers.desanctis.experiments.mitigation.runs import MitigationRun
from repro.training.recipe import Recipe

UNITS = 5
STATIC = Family("static", {"size": 5, "offset": 2, "value": 0.9, "shift": 2})
CORNER = Family("corner", {"size": 6, "offset": 1})
FAMILIES = (CORNER, STATIC)
BUDGET = 0.04
LINES: dict[str, tuple[float, ...]] = {
    "pruning": (8.0, 16.0, 24.0),
    "regularisation": (0.01, 0.1),
    "early_stopping": (6.0, 3.0, 1.0),
    "clean_retraining": (1.0, 5.0, 7.0),
    "unlearning": (1.0, 5.0, 7.0),
}
SHOWN = ("clean_accuracy", "asr_seen", "asr_unseen")


def figures(validation: float, *place: object) -> dict[str, float]:
    """Of one model: its accuracy on test images rises where that on validation images falls, and so do successes."""
    opposite = 1 - validation
    return {
        "validation_accuracy": validation,
        "clean_accuracy": opposite + figure(*place, "clean") / 1e6,
        "asr_seen": opposite + figure(*place, "seen") / 1e6,
        "asr_unseen": opposite + figure(*place, "unseen") / 1e6,
    }


def record(phase: str, run: Any) -> Record:
    """Settings cost up to twice the budget of validation accuracy, each its own, in no order."""
    lines = {
        defence: [
            figures(0.9 - 2 * BUDGET * figure(run.id, defence, at), run.id, defence, at)
            for at in range(len(line))
        ]
        for defence, line in LINES.items()
    }
    return {"undefended": figures(0.9, run.id, "undefended"), "lines": lines}


def model(unit: int, family: Family) -> MitigationRun:
    return MitigationRun(
        unit=f"u{unit:03d}",
        data=Data("digits", 600),
        seed=EVIDENCE + unit,
        poison_class=unit % 10,
        architecture="mlp",
        recipe=Recipe(0.005, 32, 4, 2),
        enlarge=2,
        ink=0.7,
        family=family,
        poison_rate=0.5,
        pruned=(8, 16, 24),
        weights=(0.01, 0.1),
        epochs_stopped=(6, 3, 1),
        epochs_retrained=(1, 5, 7),
    )


def expected_row(
    run: MitigationRun, defence: str, setting: float, within: bool | None, measured: Any
) -> dict[str, Any]:
    family = "corner" if run.family == CORNER else "static"
    return {
        "run": run.id,
        "phase": "mitigated",
        "unit": run.unit,
        "partition_seed": run.seed,
        "seed": run.seed,
        "poison_class": run.poison_class,
        "architecture": "mlp",
        "family": family,
        "trigger_kind": {"corner": "generalised", "static": "static"}[family],
        "defence": defence,
        "setting": setting,
        "within_budget": within,
    } | {name: measured[name] for name in SHOWN}


def chosen_row(run: MitigationRun, own: Record, defence: str) -> dict[str, Any]:
    """The heaviest setting that costs at most the budget of validation accuracy; where none does, the lightest."""
    place, within = 0, False
    for at, measured in enumerate(own["lines"][defence]):
        if own["undefended"]["validation_accuracy"] - measured["validation_accuracy"] <= BUDGET:
            place, within = at, True
    return expected_row(run, defence, LINES[defence][place], within, own["lines"][defence][place])


def line_row(family: Family, defence: str, setting: float, seen: list[Any]) -> dict[str, Any]:
    """A setting averaged over the units, none of which the row names."""
    means = {name: pytest.approx(fmean(figures[name] for figures in seen), abs=1e-12) for name in SHOWN}
    row = expected_row(model(0, family), defence, setting, None, means) | {"phase": "line"}
    return row | dict.fromkeys(("run", "unit", "partition_seed", "seed", "poison_class"))


def test_validation_accuracy_chooses_and_all_settings_are_averaged_after(tmp_path: Path) -> None:
    """Test accuracy and success point the other way, so that a choice by these is another."""
    profile = small_profile(
        tmp_path,
        "mitigation",
        units=UNITS,
        accuracy_budget=BUDGET,
        pruned=[8, 16, 24],
        weights=[0.01, 0.1],
        epochs_stopped=[6, 3, 1],
        epochs_retrained=[1, 5, 7],
    )
    families = {"corner": {"offset": 1}, "static": {"value": 0.9}}
    standing = {**profile.experiments["families"], "families": families, "ablation": None}
    profile = profile.model_copy(update={"experiments": profile.experiments | {"families": standing}})
    records = records_of(profile, "mitigation", record)
    mitigated, lines = [], []
    for family, unit in product(FAMILIES, range(UNITS)):
        run = model(unit, family)
        own = of(records, "train", run)
        mitigated.append(expected_row(run, "none", 0.0, True, own["undefended"]))
        mitigated += [chosen_row(run, own, defence) for defence in LINES]
    for family in FAMILIES:
        every = [of(records, "train", model(unit, family)) for unit in range(UNITS)]
        lines.append(line_row(family, "none", 0.0, [own["undefended"] for own in every]))
        for defence, line in LINES.items():
            lines += [
                line_row(family, defence, setting, [own["lines"][defence][at] for own in every])
                for at, setting in enumerate(line)
            ]
    assert_same(rows_of(profile, "mitigation", records), mitigated + lines)
    assert {row["within_budget"] for row in mitigated} == {True, False}
