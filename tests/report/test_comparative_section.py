"""The section on the comparative study: weights, defences beside none, the picture, what is said of the figures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from section_reading import UNITS, cells, column, drawn_by, paired, plus_minus, shown
from synthetic_exposed import DEFENCES, comparative

from repro.defences import dp_sgd
from repro.harness.evidence.table import table
from repro.papers.desanctis.experiments.comparative import figure as path_figure
from repro.papers.desanctis.experiments.comparative import section as comparative_section


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made but not drawn, which takes longest; the one test that draws undoes it."""
    monkeypatch.setattr("repro.report.report.png", lambda figure: b"")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text("profile: digits\nseeds: {evidence: 1, tuning: 100001}\n")
    return tmp_path


PANEL: dict[str, Any] = {"victim": "fine-tuned", "attack": "clean_label"}
HEADING = "**Fine-tuned victims, clean-label poison**"


def test_defences_stand_beside_none_after_training_and_matched(project: Path) -> None:
    rows = comparative(np.random.default_rng(3), UNITS)
    text, report = shown(project, "comparative", rows)
    found = cells(text, HEADING, 1)
    assert len(found) == len(DEFENCES) + 1
    for name, words in (("triplet", "Triplet loss"), ("crl", "CRL"), ("none", "None")):
        own = {"phase": "final", "regulariser": name} | PANEL
        metrics = ("target_auc", "auc", "tpr_at_0.01", "test_accuracy")
        figures = [plus_minus(column(rows, metric, **own)) for metric in metrics]
        assert found[words,][1:5] == figures
    for metric, after, place in (("target_auc", HEADING, -2), ("auc", "Other differences to none: fine", 0)):
        less = cells(text.split(HEADING)[1] if place == 0 else text, after, 1)["Triplet loss",]
        final = paired(
            rows, metric, {"regulariser": "triplet"}, {"regulariser": "none"}, phase="final", **PANEL
        )
        both = {"phase": "matched", "versus": "triplet"} | PANEL
        equal = paired(rows, metric, {"regulariser": "triplet"}, {"regulariser": "none"}, **both)
        assert [less[place], less[-1 if place else 2]] == [final, equal]
    assert found["Triplet loss",][0] == "0.3"
    assert found["DP-SGD",][0] == "1 (ε 3.25, δ 1e-4)"
    assert found["Early stopping",][-1] == found["None",][-2] == found["None",][-1] == "\u2014"
    assert set(cells(text, "**Scratch victims, no poison**", 1)) == {("None",), ("Early stopping",), ("CRL",)}
    assert set(report.pictures) == {"comparative"}


def using(noise: float, form: str, weight: float) -> Callable[[Any], Any]:
    """A profile changed to these weights of DP-SGD and of the strongest attempt, and to 1 of every other defence."""

    def change(profile: Any) -> Any:
        settings = profile.settings("comparative")
        weights = {
            name: tried.model_copy(update={"weight": noise if name == "dp_sgd" else 1.0})
            for name, tried in settings.defences.items()
        }
        best = settings.strongest.model_copy(update={"defence": form, "weight": weight})
        changed = settings.model_copy(
            update={"defences": weights, "strongest": best, "accuracy_budget": 0.02}
        )
        return profile.model_copy(
            update={"experiments": profile.experiments | {"comparative": changed.model_dump()}}
        )

    return change


def test_the_weights_chosen_are_the_heaviest_within_the_budget_and_other_ones_are_named(
    project: Path,
) -> None:
    rows = comparative(np.random.default_rng(3), UNITS)
    text, _ = shown(project, "comparative", rows, using(1.0, "margin", 1.0))
    found = cells(text, "**How weights were chosen.**", 1)
    assert found["Triplet loss",][:3] == ["factor of the loss added", "0.3, 1, 3", "**1**"]
    assert found["DP-SGD",][:3] == ["noise multiplier", "0.3, 1, 3", "**0.3** †"]
    less = column(rows, "test_accuracy", phase="tuned", regulariser="triplet", weight=1.0)
    less = less - column(rows, "test_accuracy", phase="tuned", regulariser="none")
    assert found["Triplet loss",][3] == plus_minus(less, signed=True)
    assert "- dp\\_sgd: weight 1.0, the rule chooses 0.3" in text
    assert "- strongest attempt: margin 1.0, the rule chooses margin\\_sampled 10.0" in text
    grid = cells(text, "The grids: 31 settings", 2)
    assert [key for key, row in grid.items() if row[-1] == "chosen" and key[0] == "CRL"] == [("CRL", "1")]
    tuned = column(rows, "target_auc", phase="tuned", regulariser="crl", weight=3.0)
    assert grid["CRL", "3"][1] == plus_minus(tuned)


def test_a_profile_that_uses_what_the_rules_choose_is_not_blamed(project: Path) -> None:
    rows = comparative(np.random.default_rng(3), UNITS)
    text, _ = shown(project, "comparative", rows, using(0.3, "margin_sampled", 10.0))
    assert "How weights were chosen" in text
    assert "does not use what the rules choose" not in text
    assert "On the evidence's seeds, margin loss, sampled pairs at weight 10, AUC" in text


def test_the_strongest_attempt_is_shown_among_all_tried_and_on_fresh_seeds(project: Path) -> None:
    rows = comparative(np.random.default_rng(3), UNITS)
    text, _ = shown(project, "comparative", rows)
    tried = cells(text, "**The strongest attempt with the margin loss.**", 2)
    assert [key for key, row in tried.items() if row[-1] == "taken"] == [("Margin loss, sampled pairs", "10")]
    best: dict[str, Any] = {"phase": "attempted", "regulariser": "margin_sampled", "weight": 10.0}
    for place, victim in ((0, "scratch"), (2, "fine-tuned")):
        own = column(rows, "target_auc", victim=victim, **best)
        none = column(rows, "target_auc", victim=victim, phase="attempted", regulariser="none")
        row = tried["Margin loss, sampled pairs", "10"]
        assert row[place : place + 2] == [plus_minus(own), plus_minus(own - none, signed=True)]
    assert "margin loss, sampled pairs at weight 10. That choice" in text
    final = paired(
        rows,
        "target_auc",
        {"regulariser": "margin_strongest", "phase": "final"},
        {"regulariser": "none", "phase": "final"},
        **PANEL,
    )
    assert f"- Clean-label poison, fine-tuned: {final} after training" in text


@pytest.mark.parametrize(
    ("shift", "told"), [(-0.3, "lower"), (0.3, "higher"), (None, "not told apart")], ids=str
)
def test_what_is_said_of_the_strongest_attempt_follows_its_interval(
    project: Path, shift: float | None, told: str
) -> None:
    rows = comparative(np.random.default_rng(3), UNITS, ("none", "margin", "margin_strongest"))
    for row in rows:
        if row["regulariser"] == "margin_strongest" and row["phase"] == "final":
            spread = shift if shift is not None else (int(str(row["seed"])) - 3) / 10
            row["target_auc"] = 0.65 + spread
    text, _ = shown(project, "comparative", rows)
    line = next(line for line in text.splitlines() if line.startswith("- Clean-label poison, scratch"))
    assert f"after training ({told})" in line


@pytest.mark.parametrize(("shift", "told"), [(0.2, "amplified"), (-0.2, "reduced")])
def test_what_is_said_of_crl_follows_exposure_with_and_without_poison(
    project: Path, shift: float, told: str
) -> None:
    rows = comparative(np.random.default_rng(3), UNITS, ("none", "crl"))
    for row in rows:
        if row["regulariser"] == "crl" and row["phase"] == "final" and row["attack"] == "clean_label":
            row["target_auc"] = 0.47 + shift + int(str(row["seed"])) / 1000
    text, _ = shown(project, "comparative", rows)
    at = {"victim": "scratch", "phase": "final"}
    moved = {
        name: [column(rows, "target_auc", regulariser=name, attack=a, **at) for a in ("none", "clean_label")]
        for name in ("crl", "none")
    }
    wanted = [
        f"{before.mean():.3f} → {after.mean():.3f} ({plus_minus(after - before, signed=True)}: "
        for before, after in moved.values()
    ]
    assert (
        f"- Scratch victims: under CRL {wanted[0]}{told}); without a defence {wanted[1]}amplified)." in text
    )


def test_the_picture_goes_through_the_checkpoints_in_order_and_stops_where_early_stopping_does() -> None:
    rows = comparative(np.random.default_rng(3), UNITS)
    evidence = table(rows)
    followed = evidence.where(phase="trajectory")
    shuffled = table([followed.rows[i] for i in np.random.default_rng(0).permutation(len(followed))])
    paths = path_figure.trajectories(shuffled, "scratch", "dirty_label")
    assert set(paths) == set(DEFENCES)
    of = {"phase": "trajectory", "victim": "scratch", "attack": "dirty_label", "regulariser": "crl"}
    own = sorted(
        (r for r in rows if all(r[c] == v for c, v in of.items())), key=lambda r: float(str(r["epochs"]))
    )
    assert paths["crl"] == [(r["test_accuracy"], r["target_auc"]) for r in own]
    early: dict[str, Any] = {"regulariser": "early_stopping", "victim": "scratch", "attack": "dirty_label"}
    wanted = (column(rows, "test_accuracy", **early).mean(), column(rows, "target_auc", **early).mean())
    assert path_figure.stopped(evidence.where(phase="final"), "scratch", "dirty_label") == pytest.approx(
        wanted
    )
    assert path_figure.stopped(evidence.where(phase="final"), "frozen", "dirty_label") is None


def test_the_comparative_picture_marks_every_end_within_its_axes(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = comparative(np.random.default_rng(3), UNITS)
    figure = drawn_by(monkeypatch, project, "comparative", rows)
    assert [axis.get_title() for axis in figure.axes] == [
        f"{victim}, {attack}-label poison"
        for victim in ("Scratch", "Fine-tuned")
        for attack in ("dirty", "clean")
    ]
    evidence = table(rows)
    for axis, (victim, attack) in zip(
        figure.axes,
        [(v, a) for v in ("scratch", "fine-tuned") for a in ("dirty_label", "clean_label")],
        strict=True,
    ):
        paths = path_figure.trajectories(evidence.where(phase="trajectory"), victim, attack)
        wanted = {path[-1] for path in paths.values()}
        ends = {tuple(*line.get_xydata()) for line in axis.lines if len(line.get_xydata()) == 1}
        assert wanted <= ends
        assert len(ends) == len(DEFENCES) + 1
        (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
        assert all(left < x < right and low < y < high for x, y in ends)
    (legend,) = figure.legends
    assert len(legend.get_texts()) == len(DEFENCES) + 1
    assert legend.get_texts()[0].get_text() == "None"


def test_the_delta_shown_is_the_one_that_epsilon_is_for() -> None:
    assert float(comparative_section._DELTA) == dp_sgd.DELTA


@pytest.mark.parametrize("missing", ["tuned", "attempted", "matched", "trajectory", "final"])
def test_any_phase_may_be_missing(project: Path, missing: str) -> None:
    rows = [r for r in comparative(np.random.default_rng(3), 2) if r["phase"] != missing]
    text, report = shown(project, "comparative", rows)
    assert ("**How weights were chosen.**" in text) == (missing != "tuned")
    assert ("**The strongest attempt with the margin loss.**" in text) == (missing != "attempted")
    assert ("comparative" in report.pictures) == (missing != "trajectory")
    assert (HEADING in text) == (missing != "final")


@pytest.mark.parametrize("defences", [("none",), ("none", "dp_sgd"), ("none", "crl", "unheard_of")])
def test_few_or_other_defences_and_attacks_make_a_section(
    project: Path, defences: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DEFENCES, "unheard_of", (1.0, 0.0, 0.0))
    rows = comparative(np.random.default_rng(3), 2, defences)
    text, _ = shown(project, "comparative", rows)
    assert ("Unheard of" in text) == ("unheard_of" in defences)
    assert ("CRL against clean-label poison" in text) == ("crl" in defences)
    text, report = shown(project, "comparative", [r for r in rows if r["attack"] == "none"])
    assert not report.pictures
    assert "no poison" in text
