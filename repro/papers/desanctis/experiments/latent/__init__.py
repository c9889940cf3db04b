"""Whether a variational autoencoder learns the backdoor as a dimension of its latent space (desanctis 3).

For each unit, one autoencoder is trained on the clean training set, and one on the poisoned set at each poison rate,
from the same initial weights and in the same random order. The clean one is the floor.

Recipe and beta were chosen on the tuning's seeds by a rule fixed beforehand, which uses only the reconstruction error
on held-out images without the trigger. Learning rate, batch size and epochs: those with the lowest error on their grid.
As the error alone would always choose the lightest beta, beta is the heaviest one whose error is at most a tenth above
the lightest's: weight on the prior is what gives a dimension a meaning of its own. The profile says what was chosen.
"""

from typing import Annotated

from pydantic import Field

from repro.harness.evidence.table import Row
from repro.harness.experiment import Experiment, Phase, Record, Records, Unit, units
from repro.harness.profile import Count, Positive, Profile, Rates, Strict
from repro.harness.runs import Backdoor, Fleet
from repro.papers.desanctis.experiments.latent.runs import LatentRun, Training
from repro.training.recipe import Recipe

PICTURED = 2
MEASURED = (
    "latent_auc",
    "traversal_overlap",
    "interpolation_trigger",
    "pixel_interpolation",
    "trigger_drawn",
    "reconstruction",
    "mask_share",
)
PICTURES = ("interpolation_images", "traversal_images")


class Settings(Strict):
    """How many units, which of the profile's triggers at which poison rates, the autoencoder's sizes and its recipe.

    Chosen on 6 units of the tuning's seeds of digits at poison rate 0.1 by held-out squared error, at beta 0.1: rates
    0.001, 0.003, 0.01 at batches of 32, 50 epochs: .0177 .0156 .0173; batches of 64: .0194 .0161 .0164. Beta is the
    heaviest within a tenth of the error of the lightest, 10 units: 0.01: .0129; 0.03: .0132; 0.1: .0151; 0.3: .0237;
    1: .0591.
    """

    units: Count
    trigger: str
    poison_rates: Rates = [0.1, 0.4]
    latent: Annotated[int, Field(ge=2)] = 8
    width: Count = 128
    beta: Positive = 0.03
    learning_rate: Positive = 0.003
    batch_size: Count = 32
    epochs: Count = 50


def _run(profile: Profile, unit: Unit, training: Training, poison_rate: float) -> LatentRun:
    s: Settings = profile.settings("latent")
    return LatentRun(
        unit=unit.name,
        data=profile.dataset(),
        partition_seed=unit.partition_seed,
        seed=unit.partition_seed,
        training=training,
        backdoor=Backdoor(unit.poison_class, profile.trigger(s.trigger), poison_rate),
        latent=s.latent,
        width=s.width,
        beta=s.beta,
        recipe=Recipe(s.learning_rate, s.batch_size, s.epochs),
    )


def _runs(profile: Profile) -> list[LatentRun]:
    """Clean ones, then the poisoned ones by poison rate, each in the order of the units."""
    s: Settings = profile.settings("latent")
    among = units(profile.seeds.evidence, s.units, profile.classes())
    # Triggered images do not depend on the poison rate: the first rate represents all.
    clean = [_run(profile, unit, "clean", s.poison_rates[0]) for unit in among]
    return clean + [_run(profile, unit, "poisoned", rate) for rate in s.poison_rates for unit in among]


def _fleets(profile: Profile) -> list[Fleet]:
    runs, size = _runs(profile), profile.fleet
    return [Fleet(tuple(runs[i : i + size])) for i in range(0, len(runs), size)]


def _row(run: LatentRun, record: Record, pictured: bool) -> Row:
    attack = run.backdoor
    described: Row = {
        "run": run.id,
        "phase": "trained",
        "unit": run.unit,
        "partition_seed": run.partition_seed,
        "seed": run.seed,
        "poison_class": attack.poison_class,
        "training": run.training,
        "poison_rate": float(attack.poison_rate) if run.training == "poisoned" else 0.0,
        "trigger": attack.trigger.name,
        "latent": run.latent,
    }
    measured: Row = {name: float(record[name]) for name in MEASURED}
    pictures: Row = {name: record[name] if pictured else None for name in PICTURES}
    return described | measured | {"active": record["active"], "epochs": run.recipe.epochs} | pictures


def _rows(profile: Profile, records: Records) -> list[Row]:
    """One row per run; those of the first units also hold pictures."""
    trained = records["train"]
    names = [run.unit for run in _runs(profile)[:PICTURED]]
    return [_row(run, trained[run.id], run.unit in names) for run in _runs(profile)]


COLUMNS = {
    "training": "what the autoencoder was trained on: the poisoned training set or the clean one",
    "latent": "how many latent dimensions the autoencoder has",
    "latent_auc": (
        "chance that a triggered image lies beyond a plain one in the chosen latent dimension, on images that"
        " did not choose it"
    ),
    "traversal_overlap": (
        "share of the squared change along the chosen dimension that falls on the trigger's pixels"
    ),
    "interpolation_trigger": (
        "how much of the trigger the decoded path from other classes to the poison class draws, at most, as a"
        " share of its whole effect"
    ),
    "pixel_interpolation": "the same on straight paths between mean images, without an autoencoder",
    "trigger_drawn": "share of the trigger that survives encoding and decoding",
    "reconstruction": "mean squared error a pixel on held-out images",
    "mask_share": "the trigger's share of the image's pixels",
    "active": "latent dimensions whose codes vary (variance above 0.01)",
    "interpolation_images": (
        "the decoded path as pictures: x, then hexadecimal, two digits a value, rows first; the first two "
        "units only"
    ),
    "traversal_images": "the same along the chosen dimension",
}
"""What columns hold that no other experiment has."""

EXPERIMENT = Experiment(
    paper="desanctis",
    reproduces="the latent interpolation that section 3 proposes",
    phases=(Phase("train", "repro.papers.desanctis.experiments.latent.work:train_latent", _fleets),),
    rows=_rows,
)
