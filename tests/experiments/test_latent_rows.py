"""Rows of `latent`: clean autoencoders, then poisoned ones by rate, the first units with pictures."""

from pathlib import Path
from typing import Any

from backdoor_grids import SQUARE
from figures import assert_same, figure, of, records_of, rows_of, whole
from synthetic_records import EVIDENCE, small_profile

from repro.harness.experiment import Record
from repro.harness.runs import Backdoor, Data, Trigger
from repro.papers.desanctis.experiments.latent import MEASURED, PICTURES
from repro.papers.desanctis.experiments.latent.runs import LatentRun
from repro.training.recipe import Recipe

UNITS = 4
PICTURED = 2
POISON_RATES = [0.15, 0.4]


def record(phase: str, run: Any) -> Record:
    return (
        {name: figure(phase, run.id, name) for name in MEASURED}
        | {"active": whole(phase, run.id, "active")}
        | {name: f"x{phase} {run.id} {name}" for name in PICTURES}
    )


def autoencoder(unit: int, training: Any, rate: float) -> LatentRun:
    return LatentRun(
        unit=f"u{unit:03d}",
        data=Data("digits", 600),
        partition_seed=EVIDENCE + unit,
        seed=EVIDENCE + unit,
        training=training,
        backdoor=Backdoor(unit % 10, Trigger("square", 1.0, SQUARE), rate),
        latent=6,
        width=20,
        beta=0.07,
        recipe=Recipe(0.02, 16, 5),
    )


def test_clean_autoencoders_come_first_and_have_no_poison_rate(tmp_path: Path) -> None:
    sizes = {"latent": 6, "width": 20, "beta": 0.07, "learning_rate": 0.02, "batch_size": 16, "epochs": 5}
    profile = small_profile(tmp_path, "latent", units=UNITS, poison_rates=POISON_RATES, **sizes)
    records = records_of(profile, "latent", record)
    grid = [("clean", POISON_RATES[0], 0.0), *(("poisoned", rate, rate) for rate in POISON_RATES)]
    expected = []
    for training, attacked_at, shown_rate in grid:
        for unit in range(UNITS):
            run = autoencoder(unit, training, attacked_at)
            own = of(records, "train", run)
            described = {
                "run": run.id,
                "phase": "trained",
                "unit": f"u{unit:03d}",
                "partition_seed": EVIDENCE + unit,
                "seed": EVIDENCE + unit,
                "poison_class": unit,
                "training": training,
                "poison_rate": shown_rate,
                "trigger": "square",
                "latent": 6,
            }
            measured = {name: own[name] for name in MEASURED} | {"active": own["active"], "epochs": 5}
            expected.append(
                described | measured | {name: own[name] if unit < PICTURED else None for name in PICTURES}
            )
    assert_same(rows_of(profile, "latent", records), expected)
