"""Rows of `detection`: every poisoned model, every clean one, then each class over an architecture's clean models."""

from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from backdoor_grids import ARCHITECTURES, RETRAINING_RATES, TRIGGERS, attack, grid_profile, run_of
from backdoor_grids import record as trained_record
from figures import assert_same, figure, of, records_of, rows_of, whole

from repro.harness.experiment import Record
from repro.papers.desanctis.experiments.detection.runs import DetectionRun
from repro.training.recipe import Recipe

UNITS = 4
PICTURED = 3
CLASSES = 10
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
PICTURES = ("trigger_image", "mask_image", "pattern_image")
OF_CLASSES = ("mask_size", "margin", "nearest_class", "raw_flagged_rate", "corrected_flagged_rate")


def record(phase: str, run: Any) -> Record:
    """Figures for every class and test; a poisoned model is often flagged for its own class, rightly or not."""
    if phase == "train":
        return trained_record(phase, run)

    def verdict(test: str) -> dict[str, Any]:
        named = whole(run.id, test, "class", below=CLASSES)
        if figure(run.id, test, "right") < 0.5:
            named = run.attack.poison_class
        flagged = figure(run.id, test, "flagged") < 0.6
        return {"score": figure(run.id, test, "score"), "backdoored": flagged, "class": named}

    found: dict[str, Any] = {
        "raw": verdict("raw"),
        "corrected": verdict("corrected"),
        "mask_overlap": figure(run.id, "overlap"),
        "sizes": [figure(run.id, "size", c) for c in range(CLASSES)],
        "margins": [figure(run.id, "margin", c) for c in range(CLASSES)],
        "nearest": [whole(run.id, "nearest", c, below=3) for c in range(CLASSES)],
        "pictures": [f"x{run.id} {name}" for name in PICTURES],
    }
    mitigated = MITIGATED if run.trained.backdoor else ()
    return found | {name: figure(run.id, name) for name in mitigated}


def searched(unit: int, architecture: str, poisoned: bool) -> DetectionRun:
    backdoor = attack(unit, TRIGGERS["sine"])
    model = run_of(unit, architecture, backdoor if poisoned else None, probes=() if poisoned else (backdoor,))
    recipe = Recipe(RETRAINING_RATES[architecture], 24, 3)
    return DetectionRun(model, 40, 16, 7, recipe, 6, 0.05)


def expected_row(records: Any, run: DetectionRun, unit: int, architecture: str) -> dict[str, Any]:
    own, found = of(records, "train", run.trained), of(records, "detect", run)
    poisoned = run.trained.backdoor is not None
    raw, better, margins = found["raw"], found["corrected"], found["margins"]
    rank = sorted(margins).index(margins[raw["class"]])
    pictures = found["pictures"] if poisoned and unit < PICTURED else [None] * 3
    return {
        "run": run.id,
        "phase": "detected",
        "unit": run.trained.unit,
        "partition_seed": run.trained.partition_seed,
        "seed": run.trained.seed,
        "poison_class": unit,
        "architecture": architecture,
        "model": "poisoned" if poisoned else "clean",
        "trigger": "sine",
        "alpha": 0.5,
        "poison_rate": 0.15 if poisoned else 0.0,
        "clean_accuracy": own["clean_accuracy"],
        "asr": own["attacks"][0]["asr"],
        "raw_score": raw["score"],
        "corrected_score": better["score"],
        "raw_flagged_rate": 1.0 if raw["backdoored"] else 0.0,
        "corrected_flagged_rate": 1.0 if better["backdoored"] else 0.0,
        "raw_found_rate": (1.0 if raw["backdoored"] and raw["class"] == unit else 0.0) if poisoned else None,
        "corrected_found_rate": (1.0 if better["backdoored"] and better["class"] == unit else 0.0)
        if poisoned
        else None,
        "named_class": raw["class"],
        "named_margin_rank": float(rank),
        "small_margin_named_rate": 1.0 if rank < CLASSES / 2 else 0.0,
        "mask_overlap": found["mask_overlap"],
        "class": unit,
        "mask_size": found["sizes"][unit],
        "margin": margins[unit],
        "nearest_class": found["nearest"][unit],
        **{name: found[name] if poisoned else None for name in MITIGATED},
        **dict(zip(PICTURES, pictures, strict=True)),
    }


def class_row(clean: list[Record], architecture: str, own: int, columns: dict[str, Any]) -> dict[str, Any]:
    """What a class is to the clean models of an architecture; of equally frequent nearest classes the first seen."""
    nearest = [found["nearest"][own] for found in clean]
    flagged = {
        test: fmean(found[test]["backdoored"] and found[test]["class"] == own for found in clean)
        for test in ("raw", "corrected")
    }
    return dict.fromkeys(columns) | {
        "phase": "classes",
        "architecture": architecture,
        "model": "clean",
        "raw_flagged_rate": flagged["raw"],
        "corrected_flagged_rate": flagged["corrected"],
        "class": own,
        "mask_size": fmean(found["sizes"][own] for found in clean),
        "margin": fmean(found["margins"][own] for found in clean),
        "nearest_class": max(nearest, key=nearest.count),
    }


def test_poisoned_models_come_first_then_clean_ones_then_classes(tmp_path: Path) -> None:
    profile = grid_profile(
        tmp_path,
        "detection",
        units=UNITS,
        architectures=list(ARCHITECTURES),
        trigger="sine",
        pruned_units=7,
        unlearning_epochs=3,
        filter_units=6,
    )
    records = records_of(profile, "detection", record)
    grid = product((True, False), ARCHITECTURES, range(UNITS))
    expected = [
        expected_row(records, searched(unit, architecture, poisoned), unit, architecture)
        for poisoned, architecture, unit in grid
    ]
    for rate in ("raw_found_rate", "corrected_found_rate"):
        assert {row[rate] for row in expected} == {0.0, 1.0, None}
    columns = expected[0]
    for architecture in ARCHITECTURES:
        clean = [of(records, "detect", searched(unit, architecture, False)) for unit in range(UNITS)]
        expected += [class_row(clean, architecture, own, columns) for own in range(CLASSES)]
    assert_same(rows_of(profile, "detection", records), expected)
