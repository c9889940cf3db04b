"""Profiles of small grids, and records as training would leave them, for experiments that are not trained here."""

from pathlib import Path
from typing import Any

import numpy as np

from repro import plugins
from repro.harness.profile import Profile, load_profile
from repro.harness.runs import Fleet
from repro.papers.desanctis.victims.runs import ExposureRun

EVIDENCE, TUNING = 7, 500
RATES = ("0.001", "0.01", "0.02", "0.05", "0.1", "0.2", "0.5")
MEASURED = (
    "member_accuracy",
    "test_accuracy",
    "target_accuracy",
    "other_accuracy",
    "auc",
    "target_auc",
    "other_auc",
    "ties",
    *(f"tpr_at_{rate}" for rate in RATES),
)

UNITS, TUNING_UNITS = 5, 3
CRL = {"bound": 0.3}
GRIDS = {
    "margin": {"weight": 1.0, "grid": [0.1, 1.0]},
    "dp_sgd": {"weight": 2.0, "grid": [2.0]},
    "crl": {"weight": 0.1, "grid": [0.1, 0.5, 2.5], "options": CRL},
}


def small_profile(folder: Path, experiment: str, **changes: Any) -> Profile:
    """Profile ``tiny`` with an experiment's settings changed, on seeds of its own."""
    (folder / "params.yaml").write_text(f"profile: tiny\nseeds: {{evidence: {EVIDENCE}, tuning: {TUNING}}}\n")
    profile = load_profile("tiny", folder)
    settings = profile.experiments[experiment] | changes
    return profile.model_copy(update={"experiments": profile.experiments | {experiment: settings}})


def fleets_of(profile: Profile, experiment: str, phase: str) -> list[Fleet]:
    found = next(
        p for p in plugins.load("experiment", experiment).EXPERIMENT.phases if p.name == phase
    ).fleets(profile)
    assert all(1 <= len(fleet.runs) <= profile.fleet for fleet in found)
    return list(found)


def runs_of(profile: Profile, experiment: str, phase: str) -> list[Any]:
    return [run for fleet in fleets_of(profile, experiment, phase) for run in fleet.runs]


def exposed_record(run: ExposureRun, draw: np.random.Generator) -> dict[str, Any]:
    """A victim's record with measurements at random; its validation accuracies often tie."""
    checkpoints = []
    for epoch in run.checkpoints:
        measured = {name: float(draw.uniform()) for name in MEASURED}
        if run.defence.name == "dp_sgd":
            measured["epsilon"] = float(draw.uniform(1, 9))
        if run.validation:
            measured["validation_accuracy"] = float(draw.integers(3)) / 2
        checkpoints.append({"epoch": epoch} | measured)
    return {"run": run.id, "checkpoints": checkpoints}


def exposed_records(profile: Profile, experiment: str, *phases: str) -> dict[str, dict[str, Any]]:
    draw = np.random.default_rng(5)
    return {
        phase: {run.id: exposed_record(run, draw) for run in runs_of(profile, experiment, phase)}
        for phase in phases
    }


def comparative_profile(
    tmp_path: Path, form: str = "margin_sampled", weight: float = 4.0, **changes: Any
) -> Profile:
    """A small comparative study with a strongest attempt of this form and weight."""
    strongest = {"defence": form, "weight": weight}
    sizes = {"units": UNITS, "tuning_units": TUNING_UNITS, "checkpoints": [1, 2, 5, 9]}
    about = {"defences": GRIDS, "attempts": [0.5, 4.0], "strongest": strongest}
    return small_profile(tmp_path, "comparative", **(sizes | about | changes))
