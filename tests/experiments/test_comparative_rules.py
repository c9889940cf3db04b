"""The rules that choose the comparative study's weights and strongest attempt from its evidence."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from synthetic_records import GRIDS, comparative_profile

from repro.harness.evidence.table import Table, table
from repro.papers.desanctis.experiments import comparative

EIGHTHS = st.integers(0, 8).map(lambda i: i / 8)


def evidence(rows: list[dict[str, Any]], seed: int = 0) -> Table:
    """Rows in any order."""
    return table(rows[i] for i in np.random.default_rng(seed).permutation(len(rows)))


def tuned(phase: str = "tuned", **accuracies: dict[float, list[float]]) -> list[dict[str, Any]]:
    return [
        {"phase": phase, "regulariser": name, "weight": weight, "test_accuracy": a, "target_auc": 1 - a}
        for name, by_weight in accuracies.items()
        for weight, units in by_weight.items()
        for a in units
    ]


@given(
    st.lists(EIGHTHS, min_size=2, max_size=2),
    st.dictionaries(
        st.sampled_from([0.25, 0.5, 2.0, 16.0, 128.0]),
        st.lists(EIGHTHS, min_size=2, max_size=2),
        min_size=1,
    ),
    st.sampled_from([0.0625, 0.125, 0.5]),
    st.integers(0, 100),
)
def test_the_weight_chosen_is_the_heaviest_within_the_budget_or_the_lightest_where_none_is(
    none: list[float], grid: dict[float, list[float]], budget: float, seed: int
) -> None:
    """In binary fractions, so that a loss of exactly the budget is within it."""
    perfect = {weight: [1.0, 1.0] for weight in (*grid, 1024.0)}
    elsewhere = tuned("final", none={0.0: [0.0]}, crl=perfect) + tuned("attempted", crl=perfect)
    rows = evidence(tuned(none={0.0: none}, crl=grid) + elsewhere, seed)
    lost = {weight: sum(none) / 2 - sum(units) / 2 for weight, units in grid.items()}
    within = [weight for weight in grid if lost[weight] <= budget]
    expected = (max(within), True) if within else (min(grid), False)
    assert comparative.chosen_weights(rows, budget) == {"crl": expected}


def test_every_defence_has_its_own_weight() -> None:
    rows = evidence(
        tuned(
            none={0.0: [0.75, 1.0]},
            margin={0.5: [0.875, 0.875], 2.0: [0.5, 0.5], 8.0: [0.75, 0.75]},
            crl={0.5: [0.25, 0.25], 2.0: [0.5, 0.5]},
            triplet={4.0: [1.0, 1.0]},
        )
    )
    found = comparative.chosen_weights(rows, 0.125)
    assert found == {"margin": (8.0, True), "crl": (0.5, False), "triplet": (4.0, True)}


@given(
    st.lists(st.integers(0, 1000), min_size=4 * 4, max_size=4 * 4, unique=True),
    st.integers(0, 100),
)
def test_the_strongest_attempt_exposes_the_target_class_least_on_average(
    values: list[int], seed: int
) -> None:
    attempts = list(product(("margin", "margin_sampled"), (0.5, 4.0)))
    aucs = dict(zip(attempts, np.array(values).reshape(4, 4).tolist(), strict=True))
    rows = [
        {"phase": "attempted", "regulariser": form, "weight": weight, "target_auc": float(auc)}
        for (form, weight), units in aucs.items()
        for auc in units
    ]
    rows += [
        {"phase": phase, "regulariser": name, "weight": weight, "target_auc": -1e6}
        for phase, name, weight in (
            ("attempted", "none", 0.0),
            ("tuned", "margin", 4.0),
            ("final", "crl", 0.5),
        )
    ]
    least = min(sum(units) for units in aucs.values())
    form, weight = comparative.strongest_attempt(evidence(rows, seed))
    assert sum(aucs[form, weight]) == least


def all_evidence() -> Table:
    """Within 0.1 the rules choose margin 1, CRL 0.5, of DP-SGD 2 as the lightest, and attempt margin_sampled 4."""
    chosen = tuned(
        none={0.0: [0.9]},
        margin={0.1: [0.9], 1.0: [0.85]},
        dp_sgd={2.0: [0.1]},
        crl={0.1: [0.3], 0.5: [0.85], 2.5: [0.2]},
    )
    attempts = tuned(
        "attempted",
        none={0.0: [1.0]},
        margin={0.5: [0.2], 4.0: [0.3]},
        margin_sampled={0.5: [0.1], 4.0: [0.4]},
    )
    return evidence(chosen + attempts)


def test_a_profile_that_uses_what_the_rules_choose_disagrees_in_nothing(tmp_path: Path) -> None:
    agreed = GRIDS | {"crl": GRIDS["crl"] | {"weight": 0.5}}
    assert comparative.disagreements(comparative_profile(tmp_path, defences=agreed), all_evidence()) == []


def test_disagreements_name_the_defence_its_weight_and_the_rules(tmp_path: Path) -> None:
    profile = comparative_profile(tmp_path, "margin_sampled", 0.5)
    assert comparative.disagreements(profile, all_evidence()) == [
        "crl: weight 0.1, the rule chooses 0.5",
        "strongest attempt: margin_sampled 0.5, the rule chooses margin_sampled 4.0",
    ]
    # What the budget allows decides, and the form as well as the weight.
    profile = comparative_profile(tmp_path, "margin", 4.0, accuracy_budget=0.75)
    assert sorted(comparative.disagreements(profile, all_evidence())) == [
        "crl: weight 0.1, the rule chooses 2.5",
        "strongest attempt: margin 4.0, the rule chooses margin_sampled 4.0",
    ]
