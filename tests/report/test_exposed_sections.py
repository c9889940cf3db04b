"""Sections on exposure and on exposure by budget, against figures computed anew; what low rates mean."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from section_reading import UNITS, cells, column, drawn_by, paired, plus_minus, shown
from synthetic_exposed import amplification, comparative, exposed_row
from synthetic_rows import exposure

from repro.harness.evidence.table import Row
from repro.papers.desanctis.victims import section as _exposed
from repro.report import contract
from repro.report.summary import Estimate


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made but not drawn, which takes longest; the one test that draws undoes it."""
    monkeypatch.setattr("repro.report.report.png", lambda figure: b"")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text("profile: digits\nseeds: {evidence: 1, tuning: 100001}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("nonmembers", "smallest", "allowed"),
    [
        (600, "0.17 %", "0.1 % allows no false positive at all, and 1 % allows 6 false positives"),
        (120, "0.83 %", "0.1 % allows no false positive at all, and 1 % allows 1 false positive."),
        (1000, "0.1 %", "0.1 % allows 1 false positive, and 1 % allows 10 false positives"),
        (5000, "0.02 %", "0.1 % allows 5 false positives, and 1 % allows 50 false positives"),
    ],
)
def test_what_a_low_false_positive_rate_allows(nonmembers: int, smallest: str, allowed: str) -> None:
    words = _exposed.low_rates(nonmembers)
    assert f"{nonmembers} non-members is {smallest}," in words
    assert allowed in words


@pytest.mark.parametrize("mean", [0.3, -0.3])
def test_a_difference_has_a_side_only_beyond_its_interval(mean: float) -> None:
    sides = [_exposed.side(Estimate(mean, half, 5)) for half in (0.29, 0.31, None)]
    assert sides == [int(np.sign(mean)), 0, 0]
    assert _exposed.side(None) == 0


def test_every_section_on_exposure_says_what_its_low_rates_mean(project: Path) -> None:
    draw = np.random.default_rng(3)
    made = {f.__name__: f(draw, 2) for f in (exposure, amplification, comparative)}
    for experiment, rows in made.items():
        text, _ = shown(project, experiment, rows)
        assert _exposed.low_rates(600) in text, experiment
        assert "TPR at 1 %" in text


def test_amplification_shows_each_budget_and_its_change_to_no_poison(project: Path) -> None:
    rows = amplification(np.random.default_rng(3), UNITS)
    text, report = shown(project, "amplification", rows)
    by_budget, changes = cells(text, "**After training.**", 3), cells(text, "**Poison less no poison**", 3)
    metrics = ["target_auc", "other_auc", "target_accuracy", "other_accuracy"]
    low = ["tpr_at_0.001", "tpr_at_0.01"]
    for victim in ("scratch", "fine-tuned", "frozen"):
        own: dict[str, Any] = {"attack": "clean_label", "budget": 30}
        place = victim.capitalize(), "clean-label", "30"
        assert by_budget[place] == [plus_minus(column(rows, m, victim=victim, **own)) for m in metrics + low]
        assert changes[place] == [paired(rows, m, own, {"attack": "none"}, victim=victim) for m in metrics]
    assert by_budget["Frozen", "none", "0"][0] == plus_minus(
        column(rows, "target_auc", victim="frozen", budget=0)
    )
    assert [key[2] for key in by_budget if key[:2] == ("Scratch", "dirty-label")] == ["5", "20", "60"]
    assert set(report.pictures) == {"amplification"}


def amplified(aucs: dict[int, float], budgets: dict[str, list[int]]) -> list[Row]:
    """A frozen victim whose AUC by budget is given up to a little noise, no poison first."""
    draw = np.random.default_rng(1)
    rows = []
    for attack, grid in ({"none": [0]} | budgets).items():
        for budget in grid:
            given = {"victim": "frozen", "attack": attack, "budget": budget}
            for unit in range(UNITS):
                noise = float(draw.normal(0, 0.001))
                rows.append(exposed_row(draw, unit, 0.6, 0.9, **given, target_auc=aucs[budget] + noise))
    return rows


@pytest.mark.parametrize(
    ("aucs", "said"),
    [
        ({0: 0.6, 5: 0.7, 20: 0.8}, "higher at 5 and 20 poisons; its mean rises with every"),
        ({0: 0.6, 5: 0.8, 20: 0.7}, "higher at 5 and 20 poisons; its mean does not rise with every"),
        (
            {0: 0.6, 5: 0.7, 20: 0.65, 60: 0.8},
            "higher at 5, 20 and 60 poisons; its mean does not rise with every",
        ),
        (
            {0: 0.6, 5: 0.5, 20: 0.7},
            "higher at 20 poisons, lower at 5 poisons; its mean rises with every",
        ),
    ],
)
def test_what_is_said_of_the_budgets_follows_the_figures(
    project: Path, aucs: dict[int, float], said: str
) -> None:
    text, _ = shown(project, "amplification", amplified(aucs, {"dirty_label": sorted(aucs)[1:]}))
    assert f"Dirty-label poison, frozen: against no poison, AUC in the target class is {said}" in text


def test_budgets_that_the_intervals_do_not_tell_from_no_poison_are_said_so(project: Path) -> None:
    rows = amplified({0: 0.6, 5: 0.7}, {"dirty_label": [5]})
    noise = iter(np.tile([0.5, -0.5, 0.3, -0.3, 0.0], 2))
    rows = [row | {"target_auc": 0.6 + float(next(noise)) * (row["budget"] != 0)} for row in rows]
    text, _ = shown(project, "amplification", rows)
    assert "AUC in the target class is not told apart at 5 poisons." in text


def test_one_attack_one_victim_or_none_at_all_make_a_section(project: Path) -> None:
    rows = amplified({0: 0.6, 5: 0.7}, {"dirty_label": [5]})
    text, report = shown(project, "amplification", rows)
    assert "clean-label" not in text.partition("**After training.**")[2]
    assert "amplification" in report.pictures
    text, report = shown(project, "amplification", [r for r in rows if r["attack"] == "none"])
    assert not report.pictures
    assert "Poison less no poison" not in text
    text, _ = shown(project, "amplification", [r for r in rows if r["attack"] != "none"])
    assert "Poison less no poison" not in text


def test_the_amplification_picture_has_no_poison_at_0_and_a_line_a_victim(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = amplification(np.random.default_rng(3), UNITS)
    figure = drawn_by(monkeypatch, project, "amplification", rows)
    assert len(figure.axes) == 4
    axis = figure.axes[2]
    assert (axis.get_title(), axis.get_ylabel()) == ("Clean-label poison", "AUC in the target class")
    for victim, container in zip(("scratch", "fine-tuned", "frozen"), axis.containers, strict=True):
        x, y = np.array(container.lines[0].get_xydata()).T
        assert np.round(x / 10).tolist() == [0, 1, 3, 10]
        means = [column(rows, "target_auc", victim=victim, budget=0).mean()]
        own = {"victim": victim, "attack": "clean_label"}
        means += [column(rows, "target_auc", budget=budget, **own).mean() for budget in (10, 30, 100)]
        assert y == pytest.approx(means)


@pytest.mark.parametrize("experiment", ["exposure", "amplification", "comparative"])
def test_evidence_of_an_experiment_that_the_profile_has_not_is_shown(project: Path, experiment: str) -> None:
    made = {"exposure": exposure, "amplification": amplification, "comparative": comparative}[experiment]

    def without(profile: Any) -> Any:
        left = {name: s for name, s in profile.experiments.items() if name != experiment}
        return profile.model_copy(update={"experiments": left})

    text, _ = shown(project, experiment, made(np.random.default_rng(3), 2), without)
    assert "AUC, target" in text
    assert "non-members is" not in text


def test_columns_that_older_evidence_lacks_are_left_empty(project: Path) -> None:
    made = exposure(np.random.default_rng(3), 2)
    rows = [{c: v for c, v in row.items() if c not in ("tpr_at_0.001", "ties")} for row in made]
    text, _ = shown(project, "exposure", rows)
    assert cells(text, "**After training**", 3)["Scratch", "none", "none"][3] == "\u2014"
    rows = [
        {c: v for c, v in row.items() if c != "epsilon"} for row in comparative(np.random.default_rng(3), 2)
    ]
    text, _ = shown(project, "comparative", rows)
    panel = cells(text, "**Fine-tuned victims, clean-label poison**", 1)
    assert panel["DP-SGD",][0] == "1"


def test_pictures_are_drawn_the_same_twice(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    drawn = []
    for _ in range(2):
        draw = np.random.default_rng(3)
        _, report = shown(project, "comparative", comparative(draw, 2))
        drawn.append(report.pictures["comparative"].content)
    assert drawn[0] == drawn[1]
    assert drawn[0].startswith(b"\x89PNG")
    _, report = shown(project, "amplification", amplification(np.random.default_rng(3), 2))
    assert report.pictures["amplification"].content.startswith(b"\x89PNG")


def test_every_column_is_described() -> None:
    draw = np.random.default_rng(0)
    for rows in (exposure(draw, 1), amplification(draw, 1), comparative(draw, 1)):
        assert all(contract.meaning(name) for name in rows[0])
