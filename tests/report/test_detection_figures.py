"""The ROC of a detection test's score: its points, its area, and that the two agree."""

import numpy as np
import pytest

from repro.harness.evidence.table import Table, table
from repro.papers.desanctis.experiments.detection import figures


def scores(poisoned: list[float], clean: list[float]) -> Table:
    rows = [{"model": "poisoned", "unit": "u", "raw_score": s} for s in poisoned]
    return table([*rows, *({"model": "clean", "unit": "u", "raw_score": s} for s in clean)])


def test_an_area_counts_pairs_and_half_of_ties() -> None:
    assert figures.area(scores([3.0, 1.0], [1.0, 0.0]), "raw") == (3 + 0.5) / 4
    assert figures.area(scores([float("inf")], [float("inf"), 0.0]), "raw") == 0.75
    assert figures.area(scores([], [1.0]), "raw") is None


def test_a_curve_counts_scores_at_least_each_threshold() -> None:
    false, true = figures.curve(np.array([3.0, 1.0]), np.array([1.0, 0.0]))
    assert false.tolist() == [0.0, 0.0, 0.5, 1.0]
    assert true.tolist() == [0.0, 0.5, 1.0, 1.0]


def test_the_area_is_that_under_the_curve() -> None:
    draw = np.random.default_rng(2)
    poisoned, clean = draw.integers(0, 9, 30).astype(float), draw.integers(-3, 6, 20).astype(float)
    area = figures.area(scores(poisoned.tolist(), clean.tolist()), "raw")
    false, true = figures.curve(poisoned, clean)
    assert np.trapezoid(true, false) == pytest.approx(area)
