"""Hyper-parameters chosen on validation accuracy alone, on seeds outside the evidence's.

The paper gives no weights. The rules, fixed before anything was trained: the learning rate with the highest mean clean
validation accuracy (the lower one in a tie); and for each regulariser the heaviest weight whose mean clean validation
accuracy is at most ``budget`` below that of no regularisation. Neither rule uses ASR, which the table records for the
curve in the report. Where the heaviest weight of a grid was within the budget, the grid was widened. Retraining uses
the learning rate of training.
"""

from dataclasses import replace
from statistics import fmean
from typing import Annotated, cast

from pydantic import Field

from repro.harness.evidence.table import Row, Table
from repro.harness.experiment import Experiment, Phase, Records, Unit, units
from repro.harness.profile import Count, Positive, Profile, Strict
from repro.harness.runs import Defence, Fleet, Run, fleets, stacked_alike
from repro.papers.backdoors.grid import backdoor_row, backdoor_run, clean_floor, clean_runs


class Settings(Strict):
    """The number of units, the trigger, the grids, and how much accuracy a regulariser may cost."""

    units: Count = 30
    trigger: str
    learning_rates: Annotated[list[Positive], Field(min_length=1)] = [0.001, 0.003, 0.01]
    budget: Annotated[float, Field(gt=0, lt=1)] = 0.02
    weights: dict[str, list[Positive]] = {
        "logit_squeezing": [0.1, 0.3, 1.0],
        "manifold_mixup": [0.5, 1.0],
        "contrastive": [10.0, 30.0, 100.0, 300.0, 1000.0],
        "snnl": [3.0, 10.0, 30.0, 100.0, 300.0],
        "snnl_printed": [30.0, 100.0, 300.0, 1000.0],
    }


def _units(profile: Profile) -> list[Unit]:
    return units(profile.seeds.tuning, profile.settings("tuning").units, profile.classes())


def _clean(profile: Profile) -> list[Run]:
    trigger = profile.settings("tuning").trigger
    return clean_runs(profile, _units(profile), lambda unit: (profile.backdoor(unit.poison_class, trigger),))


def _poisoned(profile: Profile) -> list[Run]:
    settings = profile.settings("tuning")
    candidates: list[tuple[Defence, float | None]] = [(Defence(), rate) for rate in settings.learning_rates]
    for name, weights in settings.weights.items():
        options = profile.defence_settings(name).options
        candidates += [(Defence(name, weight, options), None) for weight in weights]
    runs = []
    for architecture in profile.architectures:
        for defence, rate in candidates:
            for unit in _units(profile):
                attack = profile.backdoor(unit.poison_class, settings.trigger)
                run = backdoor_run(profile, unit, architecture, attack, defence=defence)
                runs.append(replace(run, recipe=replace(run.recipe, learning_rate=rate)) if rate else run)
    return runs


def _train(profile: Profile) -> list[Fleet]:
    return fleets(_clean(profile) + _poisoned(profile), profile.fleet, stacked_alike)


def _rows(profile: Profile, records: Records) -> list[Row]:
    floor = clean_floor(_clean(profile), records["train"])
    return [
        backdoor_row(run, "tuned", records["train"][run.id], floor)
        | {"learning_rate": run.recipe.learning_rate}
        for run in _poisoned(profile)
    ]


def _accuracy(table: Table) -> float:
    return fmean(cast(float, row["clean_accuracy"]) for row in table)


def chosen_learning_rates(table: Table) -> dict[str, float]:
    """The rule's choice from the evidence by architecture."""
    chosen = {}
    for architecture in map(str, table.values("architecture")):
        plain = table.where(architecture=architecture, regulariser="none")
        rates = sorted(cast(float, rate) for rate in plain.values("learning_rate"))
        chosen[architecture] = max(
            rates, key=lambda rate: (_accuracy(plain.where(learning_rate=rate)), -rate)
        )
    return chosen


def chosen_weights(table: Table, budget: float) -> dict[str, dict[str, float]]:
    """The rule's choice by regulariser and architecture; 0 where even the lightest weight costs too much."""
    rates = chosen_learning_rates(table)
    chosen: dict[str, dict[str, float]] = {}
    for regulariser in map(str, table.values("regulariser")):
        if regulariser == "none":
            continue
        chosen[regulariser] = {}
        for architecture, rate in rates.items():
            plain = table.where(architecture=architecture, regulariser="none", learning_rate=rate)
            least = _accuracy(plain) - budget
            tried = table.where(architecture=architecture, regulariser=regulariser)
            weights = [cast(float, weight) for weight in tried.values("weight")]
            within = [w for w in weights if _accuracy(tried.where(weight=w)) >= least]
            chosen[regulariser][architecture] = max(within, default=0.0)
    return chosen


def disagreements(profile: Profile, table: Table) -> list[str]:
    """Where the profile's values differ from what the rules choose from the evidence; empty if they agree."""
    budget = profile.settings("tuning").budget
    found = []
    for architecture, rate in chosen_learning_rates(table).items():
        for field in (profile.training.learning_rate, profile.retraining.learning_rate):
            if field[architecture] != rate:
                found.append(f"{architecture}: learning rate {field[architecture]}, the rule chooses {rate}")
    for regulariser, by_architecture in chosen_weights(table, budget).items():
        for architecture, weight in by_architecture.items():
            has = profile.defences[regulariser].weight[architecture]
            if has != weight:
                found.append(f"{regulariser} on {architecture}: weight {has}, the rule chooses {weight}")
    return found


COLUMNS = {
    "learning_rate": "Adam's rate",
}
"""What columns hold that no other experiment has."""

EXPERIMENT = Experiment(
    paper="truong2020",
    reproduces="the weights that section 4.3 leaves out",
    phases=(Phase("train", "repro.papers.backdoors.work:train_fleet", _train),),
    rows=_rows,
)
