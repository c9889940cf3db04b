"""Rows of `exposure`: every victim after training, then each pair with and without the margin loss."""

from itertools import product
from pathlib import Path

from exposed_grids import at_the_end, beside, expected_row, record, victim_of
from figures import assert_same, records_of, rows_of
from synthetic_records import small_profile

from repro.harness.runs import Defence
from repro.papers.desanctis.victims.runs import Amplification

UNITS = 3
CHECKPOINTS = (1, 2, 5, 9)
CRAFTING = {"beta": 2.0}


def test_victims_stand_after_training_and_then_in_pairs_at_equal_accuracy(tmp_path: Path) -> None:
    profile = small_profile(
        tmp_path,
        "exposure",
        units=UNITS,
        checkpoints=list(CHECKPOINTS),
        margin_weight=3.0,
        attacks={
            "dirty_label": {"budget": 5},
            "feature_collision": {"budget": 8, "options": CRAFTING},
        },
    )
    records = records_of(profile, "exposure", record)
    attacks = (None, Amplification("dirty_label", 5), Amplification("feature_collision", 8, CRAFTING))
    final, matched = [], []
    for kind, attack in product(("scratch", "fine-tuned"), attacks):
        plain, defended = (
            [
                victim_of(unit, 9, victim=kind, checkpoints=CHECKPOINTS, attack=attack, defence=defence)
                for unit in range(UNITS)
            ]
            for defence in (Defence(), Defence("margin", 3.0))
        )
        final += [expected_row(run, "final", at_the_end(records, "expose", run)) for run in plain + defended]
        for one, two in zip(plain, defended, strict=True):
            matched += [
                expected_row(one, "matched", beside(records, "expose", one, two)),
                expected_row(two, "matched", beside(records, "expose", two, one)),
            ]
    assert_same(rows_of(profile, "exposure", records), final + matched)
