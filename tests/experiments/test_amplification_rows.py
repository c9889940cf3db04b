"""Rows of `amplification`: every kind of victim after training, without poison and at every budget of every attack."""

from itertools import product
from pathlib import Path

from exposed_grids import at_the_end, expected_row, record, victim_of
from figures import assert_same, records_of, rows_of
from synthetic_records import small_profile

from repro.papers.desanctis.victims.runs import Amplification
from repro.training.recipe import Recipe

UNITS = 3
CRAFTING = {"beta": 2.0}


def test_every_kind_of_victim_meets_every_budget_by_its_own_recipe(tmp_path: Path) -> None:
    profile = small_profile(
        tmp_path,
        "amplification",
        units=UNITS,
        attacks={
            "dirty_label": {"budgets": [3, 6]},
            "feature_collision": {"budgets": [4], "options": CRAFTING},
        },
        frozen={"learning_rate": 0.05, "epochs": 9},
    )
    records = records_of(profile, "amplification", record)
    recipes = {
        "scratch": Recipe(0.003, 32, 3),
        "fine-tuned": Recipe(0.003, 32, 3),
        "frozen": Recipe(0.05, 32, 9),
    }
    attacks = (
        None,
        Amplification("dirty_label", 3),
        Amplification("dirty_label", 6),
        Amplification("feature_collision", 4, CRAFTING),
    )
    expected = []
    for kind, attack, unit in product(recipes, attacks, range(UNITS)):
        epochs = recipes[kind].epochs
        about = {"victim": kind, "attack": attack, "checkpoints": (epochs,)}
        run = victim_of(unit, epochs, recipe=recipes[kind], **about)
        expected.append(expected_row(run, "final", at_the_end(records, "expose", run)))
    assert_same(rows_of(profile, "amplification", records), expected)
