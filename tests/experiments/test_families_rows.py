"""Rows of `families`: every family at the standard setting, then the ablations, each beside its clean model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from figures import assert_same, figure, of, records_of, rows_of, whole
from synthetic_records import EVIDENCE, small_profile

from repro.harness.experiment import Record
from repro.harness.runs import Data
from repro.papers.desanctis.experiments.families.runs import Family, FamilyRun
from repro.training.recipe import Recipe

UNITS, ABLATED = 3, 2
KINDS = ("seen", "unseen", "near_miss")
CORNER = Family("corner", {"size": 5, "offset": 1})
NOISE = Family("noise", {"size": 8, "low": 0.0, "high": 1.0, "bank": 9, "perturbation": 0.2})
SHAPES = Family("shapes", {"smallest": 6, "largest": 8, "darkest": 0.8, "lightest": 1.0})
FAMILIES = (CORNER, NOISE, SHAPES)
CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("poison_rate", {"poison_rate": 0.25}),
    ("poison_rate", {"poison_rate": 0.75}),
    ("architecture", {"architecture": "cnn_small"}),
    ("members", {"members": 180}),
]


def record(phase: str, run: FamilyRun) -> Record:
    """What training leaves: a figure for every family that the run is measured on and kind of trigger."""
    return {
        "epochs": whole(phase, run.id, "epochs"),
        "poisoned_accuracy": figure(phase, run.id, "poisoned_accuracy"),
        "clean_accuracy": figure(phase, run.id, "clean_accuracy"),
        "families": {
            family.name: {kind: figure(phase, run.id, family.name, kind) for kind in KINDS}
            for family in (*([run.family] if run.family else []), *run.probes)
        },
    }


def standard(unit: int, family: Family) -> FamilyRun:
    return FamilyRun(
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
    )


def grid() -> list[tuple[str, FamilyRun]]:
    """What each run varies, and the run."""
    runs = [("none", standard(unit, family)) for family in FAMILIES for unit in range(UNITS)]
    for ablation, change in CHANGES:
        for family in (CORNER, SHAPES):
            runs += [(ablation, replace(standard(unit, family), **change)) for unit in range(ABLATED)]
    return runs


def test_the_clean_model_beside_each_run_is_of_its_unit_architecture_and_size(tmp_path: Path) -> None:
    profile = small_profile(
        tmp_path,
        "families",
        units=UNITS,
        families={"corner": CORNER.options, "noise": {"bank": 9}, "shapes": {}},
        ablation={
            "units": ABLATED,
            "families": ["shapes", "corner"],
            "poison_rates": [0.25, 0.75],
            "architectures": ["cnn_small"],
            "members": [180],
        },
    )
    records = records_of(profile, "families", record)
    expected = []
    for ablation, run in grid():
        clean = replace(run, family=None, poison_rate=0.0, probes=FAMILIES)
        own, floor = of(records, "train", run), of(records, "train", clean)
        assert run.family is not None
        name = run.family.name
        row = {
            "run": run.id,
            "phase": "trained",
            "unit": run.unit,
            "partition_seed": run.seed,
            "seed": run.seed,
            "poison_class": run.poison_class,
            "architecture": run.architecture,
            "family": name,
            "poison_rate": run.poison_rate,
            "members": run.members,
            "ablation": ablation,
            "epochs": own["epochs"],
            "poisoned_accuracy": own["poisoned_accuracy"],
            "clean_accuracy": own["clean_accuracy"],
            "clean_model_accuracy": floor["clean_accuracy"],
        }
        row |= {f"asr_{kind}": own["families"][name][kind] for kind in KINDS}
        expected.append(row | {f"clean_{kind}": floor["families"][name][kind] for kind in KINDS})
    assert_same(rows_of(profile, "families", records), expected)
