"""The section on defences against backdoors: its tables, and that its words follow the figures."""

from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from section_reading import cells, column, drawn_by, plus_minus, shown

from repro.harness.evidence.table import Row, table
from repro.papers.desanctis.experiments.mitigation import section as mitigation
from repro.report.report import Report

DEFENCES = ("none", "pruning", "regularisation", "early_stopping", "clean_retraining", "unlearning")
FAMILIES = ("static", "shapes", "corner")
UNITS = 6
LEVELS = dict(zip(DEFENCES, (0.9, 0.6, 0.5, 0.7, 0.4, 0.1), strict=True))
Levels = dict[str, float]


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made but not drawn, which takes longest."""
    monkeypatch.setattr("repro.report.report.png", lambda figure: b"")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text("profile: digits\nseeds: {evidence: 1, tuning: 100001}\n")
    return tmp_path


def rows_of(static: Levels = LEVELS, generalised: Levels = LEVELS) -> list[Row]:
    """Success around one level per defence, .05 lower for held-out triggers; two settings per line."""
    draw = np.random.default_rng(7)
    rows: list[Row] = []
    for family, defence, unit in product(FAMILIES, DEFENCES, range(UNITS)):
        level = (static if family == "static" else generalised)[defence]
        seen = level + draw.normal(0, 0.01)
        rows.append(
            {
                "run": f"r{family}{unit}",
                "phase": "mitigated",
                "unit": f"u{unit:03d}",
                "partition_seed": unit,
                "seed": unit,
                "poison_class": unit % 10,
                "architecture": "cnn",
                "family": family,
                "trigger_kind": "static" if family == "static" else "generalised",
                "defence": defence,
                "setting": 0.0 if defence == "none" else float(8 + 8 * (unit % 2)),
                "within_budget": defence == "none" or unit != 0,
                "clean_accuracy": 0.95 - 0.01 * DEFENCES.index(defence) + draw.normal(0, 0.002),
                "asr_seen": seen,
                "asr_unseen": seen - 0.05 - 0.02 * FAMILIES.index(family),
            }
        )
    nobodys: Row = dict.fromkeys(("run", "unit", "partition_seed", "seed", "poison_class", "within_budget"))
    for family, defence in product(FAMILIES, DEFENCES):
        for at, setting in enumerate((0.0,) if defence == "none" else (16.0, 8.0)):
            about = next(r for r in rows if r["family"] == family and r["defence"] == defence)
            figures: Row = {
                "clean_accuracy": 0.9 - 0.1 * at + 0.01 * FAMILIES.index(family),
                "asr_seen": 0.8 - 0.2 * at,
                "asr_unseen": 0.7 - 0.2 * at - 0.1 * FAMILIES.index(family),
            }
            rows.append(about | nobodys | {"phase": "line", "setting": setting} | figures)
    return rows


def test_every_defence_stands_beside_every_family(project: Path) -> None:
    rows = rows_of()
    text, report = shown(project, "mitigation", rows)
    found = cells(text, "**By family and defence**", 2)
    assert len(found) == len(FAMILIES) * len(DEFENCES)
    assert found["Shapes", "Early stopping"] == [
        plus_minus(column(rows, "asr_seen", phase="mitigated", family="shapes", defence="early_stopping"), 2),
        plus_minus(
            column(rows, "asr_unseen", phase="mitigated", family="shapes", defence="early_stopping"), 2
        ),
        plus_minus(
            column(rows, "clean_accuracy", phase="mitigated", family="shapes", defence="early_stopping")
        ),
        "8 to 16",
        "0.83",
    ]
    assert found["Static", "No defence"][-2:] == ["\u2014", "\u2014"]
    assert set(report.pictures) == {"mitigation"}


def test_the_ranking_goes_by_the_kind_s_own_measure_averaged_over_its_families(project: Path) -> None:
    rows = rows_of(static=LEVELS | {"unlearning": 0.8})
    text, _ = shown(project, "mitigation", rows)
    found = cells(text, "**Ranking**", 2)
    order = [defence for kind, defence in found if kind == "Static"]
    assert order == [
        "Clean retraining",
        "Regularisation",
        "Pruning",
        "Early stopping",
        "Unlearning",
        "No defence",
    ]
    assert next(defence for kind, defence in found if kind == "Generalised") == "Unlearning"
    own: dict[str, Any] = {"phase": "mitigated"}

    def averaged(metric: str, defence: str) -> np.ndarray:
        return (
            column(rows, metric, family="shapes", defence=defence, **own)
            + column(rows, metric, family="corner", defence=defence, **own)
        ) / 2

    success = [averaged("asr_unseen", defence) for defence in ("unlearning", "none")]
    accuracy = [averaged("clean_accuracy", defence) for defence in ("unlearning", "none")]
    assert found["Generalised", "Unlearning"] == [
        plus_minus(success[0], 2),
        plus_minus(success[0] - success[1], 2, signed=True),
        plus_minus(accuracy[0]),
        plus_minus(accuracy[0] - accuracy[1], signed=True),
    ]
    static = column(rows, "asr_seen", family="static", defence="pruning", **own)
    assert found["Static", "Pruning"][0] == plus_minus(static, 2)
    assert found["Static", "No defence"][1] == "\u2014"


SAME = dict.fromkeys(DEFENCES, 0.5)


@pytest.mark.parametrize(
    ("unlearning", "static", "generalised"),
    [
        (0.9, "more under unlearning", "more under unlearning"),
        (0.1, "less under unlearning", "less under unlearning"),
    ],
)
def test_words_follow_the_figures(project: Path, unlearning: float, static: str, generalised: str) -> None:
    levels = SAME | {"unlearning": unlearning}
    text, _ = shown(project, "mitigation", rows_of(levels, levels))
    by_kind = {
        kind: next(line for line in text.splitlines() if line.startswith(f"- *{kind}*")) for kind in KINDS
    }
    assert static in by_kind["Static"]
    assert generalised in by_kind["Generalised"]
    predicted, opposite = ("Static", "Generalised") if unlearning > 0.5 else ("Generalised", "Static")
    assert by_kind[predicted].endswith(": the predicted direction.")
    assert by_kind[opposite].endswith(": the opposite of the predicted direction.")
    assert "the mean of pruning, regularisation and early stopping " in by_kind["Static"]
    assert "early stopping and clean retraining " in by_kind["Generalised"]


KINDS = ("Static", "Generalised")


def test_what_cannot_be_told_apart_is_said_to_be_so(project: Path) -> None:
    rows = rows_of(SAME, SAME)
    for row in rows:
        if row["defence"] == "unlearning" and row["phase"] == "mitigated":
            away = 0.2 if int(str(row["seed"])) % 2 else -0.2
            row["asr_seen"], row["asr_unseen"] = 0.5 + away, 0.4 + away
    text, _ = shown(project, "mitigation", rows)
    assert text.count("unlearning cannot be told apart from the mean of") == 2
    assert text.count("neither as predicted nor against it") == 2


def test_the_difference_is_paired_with_the_mean_of_the_named_defences(project: Path) -> None:
    rows = rows_of()
    text, _ = shown(project, "mitigation", rows)
    own: dict[str, Any] = {"phase": "mitigated", "family": "static"}
    others = [column(rows, "asr_seen", defence=d, **own) for d in DEFENCES[1:4]]
    less = column(rows, "asr_seen", defence="unlearning", **own) - np.mean(others, axis=0)
    assert f"({plus_minus(less, signed=True)}): the opposite" in text


def test_a_path_keeps_the_line_s_order_and_averages_families() -> None:
    evidence = table(rows_of()).where(phase="line", trigger_kind="generalised")
    found = mitigation.path(evidence, "pruning", "asr_unseen")
    assert found == [pytest.approx((0.915, 0.55)), pytest.approx((0.815, 0.35))]
    assert mitigation.path(evidence, "none", "asr_seen") == [pytest.approx((0.915, 0.8))]
    assert mitigation.path(evidence, "absent", "asr_seen") == []


def test_each_panel_shows_its_kind_s_own_lines(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of()
    figure = drawn_by(monkeypatch, project, "mitigation", rows)
    for axis, kind, metric in zip(
        figure.axes, ("static", "generalised"), ("asr_seen", "asr_unseen"), strict=True
    ):
        own = table(rows).where(phase="line", trigger_kind=kind)
        drawn = {line.get_label(): [*map(tuple, line.get_xydata())] for line in axis.lines}
        assert list(drawn)[-1] == "No defence"
        assert len(drawn) == len(DEFENCES)
        assert drawn["Early stopping"] == mitigation.path(own, "early_stopping", metric)
        assert drawn["No defence"] == mitigation.path(own, "none", metric)
        assert axis.get_title() == f"{kind.capitalize()} trigger"


def test_the_rule_and_the_lines_are_those_of_the_profile() -> None:
    settings = SimpleNamespace(
        accuracy_budget=0.03,
        pruned=[8, 16],
        weights=[0.001, 0.01],
        epochs_stopped=[5, 1],
        epochs_retrained=[2, 20],
    )
    own = SimpleNamespace(experiments={"mitigation": {}}, settings=lambda name: settings)
    said = mitigation._protocol(cast(Report, SimpleNamespace(profile=own)))
    assert "at most 0.03 below" in said
    for words in (
        "units pruned 8, 16;",
        "weights 0.001, 0.01;",
        "cut short 5, 1;",
        "clean retraining and of unlearning 2, 20.",
    ):
        assert words in said
    own.experiments = {}
    assert mitigation._protocol(cast(Report, SimpleNamespace(profile=own))) == ""


def test_without_lines_there_is_no_picture(project: Path) -> None:
    rows = [row for row in rows_of() if row["phase"] == "mitigated"]
    text, report = shown(project, "mitigation", rows)
    assert not report.pictures
    assert "**By family and defence**" in text
