"""What the report says of the paper's contradictions: its own arithmetic holds, and our figures are those measured."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from synthetic_rows import as_plain, backdoor_row, write_evidence

from repro.harness.profile import load_profile
from repro.papers.truong2020 import against_itself, against_itself_here, published
from repro.papers.truong2020.contradictions import CONTRADICTIONS, HOLDS
from repro.papers.truong2020.experiments import poison_statistics as table_1
from repro.report.report import Report

Make = Callable[..., Path]
BY_ABOUT = {contradiction.about: contradiction for contradiction in CONTRADICTIONS}
ASR = {data.dataset: data for data in published.ASR}
MODEL = {model: i for i, model in enumerate(published.MODELS)}
TRIGGER = {trigger: i for i, trigger in enumerate(published.TRIGGERS)}


def table_2(data: str, model: str, trigger: str, *, retrained: bool = False) -> float:
    grid = ASR[data].after if retrained else ASR[data].before
    return grid[MODEL[model]][TRIGGER[trigger]]


def said(about: str) -> str:
    contradiction = BY_ABOUT[about]
    return " ".join([*(s.says for s in contradiction.statements), contradiction.remark])


def test_each_has_two_statements_with_their_places_and_a_name_of_its_own() -> None:
    assert len(BY_ABOUT) == len(CONTRADICTIONS) >= 17
    for contradiction in CONTRADICTIONS:
        assert len(contradiction.statements) >= 2
        assert all(s.where and s.says for s in contradiction.statements)
        assert contradiction.here is None or contradiction.here in against_itself_here.FIGURES
    used = {contradiction.here for contradiction in CONTRADICTIONS} - {None}
    assert used == set(against_itself_here.FIGURES), "a figure that stands nowhere"


@pytest.mark.parametrize(
    ("about", "figures"),
    [
        (
            "Whether retraining removes the backdoor",
            [table_2("Flowers", "NASNet", "square", retrained=True)],
        ),
        (
            "Which architecture is the most robust on Flowers",
            [table_2("Flowers", m, t) for t in ("low_variance", "sine") for m in ("NASNet-Mobile", "NASNet")],
        ),
        (
            "How much more robust the NASNets are on CIFAR-10",
            [
                *(table_2("CIFAR-10", m, "low_variance") for m in published.MODELS),
                *(table_2("CIFAR-10", m, "square") for m in ("ResNet-50", "NASNet")),
            ],
        ),
        (
            "Which trigger is the strongest on CIFAR-10",
            [
                table_2("CIFAR-10", "NASNet", "square"),
                table_2("CIFAR-10", "NASNet", "sine"),
                *(np.mean([table_2("CIFAR-10", m, t) for m in published.MODELS]) for t in ("sine", "square")),
            ],
        ),
        (
            "Which trigger needs the most poison",
            [table_2("CIFAR-10", "NASNet", t) for t in ("random_square", "low_variance")],
        ),
        ("How little poison sine needs", [table_2("CIFAR-10", "NASNet", "sine")]),
        (
            "Whether the trigger affects accuracy",
            [published.CLEAN_ACCURACY[1].before[0][TRIGGER[t]] for t in ("sine", "square")],
        ),
        (
            "Whether one or many sources matter to accuracy",
            [figure for row in published.SOURCES[1:3] for figure in row.poisoned_accuracy],
        ),
        (
            "Whether retraining costs accuracy",
            [
                published.POISONED_ACCURACY[0].before[0][0],
                published.POISONED_ACCURACY[0].after[0][0],
                published.POISONED_ACCURACY[1].before[0][TRIGGER["sine"]],
                published.POISONED_ACCURACY[1].after[0][TRIGGER["sine"]],
                published.CLEAN_ACCURACY[1].after[0][TRIGGER["sine"]],
            ],
        ),
    ],
)
def test_figures_in_the_statements_are_those_of_the_papers_tables(about: str, figures: list[float]) -> None:
    words = said(about)
    for figure in figures:
        assert re.search(rf"(?<![\d.]){figure:.2f}(?!\d)", words), f"{figure:.2f} in {words!r}"


def test_what_is_said_to_conflict_does() -> None:
    assert table_2("Flowers", "NASNet-Mobile", "low_variance") > table_2("Flowers", "NASNet", "low_variance")
    others = [t for t in published.TRIGGERS if t != "low_variance"]
    assert all(
        table_2("Flowers", "NASNet-Mobile", t) < table_2("Flowers", m, t)
        for t in others
        for m in ("ResNet-50", "NASNet")
    )
    for data, sign in (("Flowers", 1), ("CIFAR-10", -1)):
        accuracy = next(d for d in published.CLEAN_ACCURACY if d.dataset == data).before
        correlation = np.corrcoef(np.mean(accuracy, axis=1), np.mean(ASR[data].before, axis=1))[0, 1]
        assert np.sign(correlation) == sign
    for row in published.SOURCES[1:3]:
        one, spread, many = row.poisoned_accuracy
        assert many - one > spread


def test_counts_and_shares_are_right() -> None:
    total = sum(table_1.FLOWERS)
    assert f"{total:,}" == "4,003"
    daisy = table_1.FLOWERS[0]
    assert f"{71 / total:.3f}, {71 / (total - daisy):.3f}" == "0.018, 0.022"
    assert "0.018" in said("The effective poisoning rate")
    assert "0.022" in said("The effective poisoning rate")
    assert f"{round(4242 * 0.76 * 0.8):,}" in said("How many Flowers images are trained on")
    assert f"{100 * total / 4242:.0f} %" in said("How many Flowers images are trained on")
    assert (19 / 76, 19 / 95) == (1 / 4, 1 / 5)


def test_what_is_said_to_hold_does() -> None:
    words = " ".join(HOLDS)
    runs = published.RUNS
    assert runs["trigger_by_model"] == 3 * 4 * 15
    assert runs["regularisers"] == 5 * 50
    assert runs["transparency"] == 2 * 2 * 3 * 2 * 18
    assert runs["poison_rate"] == 4 * 11
    assert all(f"{n} runs" in words for n in (180, 432, 44))
    above = sum(asr > 0.6 for data in published.ASR for line in data.before for asr in line)
    assert above == 10
    assert "ten of Table 2's 24" in words


@pytest.fixture
def report(tmp_path: Path) -> Report:
    (tmp_path / "params.yaml").write_text("profile: digits\nseeds: {evidence: 1, tuning: 100001}\n")
    return Report(tmp_path, load_profile("digits", tmp_path))


def here(report: Report, which: str) -> str | None:
    words = against_itself_here.figures(report, which)
    return as_plain(words) if words else None


def put(report: Report, experiment: str, cells: list[dict[str, object]]) -> None:
    """Rows of two units that agree, so that figures come without intervals."""
    draw = np.random.default_rng(0)
    rows = [backdoor_row(draw, u, "poisoned", 0.5) | cell for cell in cells for u in range(2)]
    write_evidence(report.root, experiment, rows)  # type: ignore[arg-type]


def test_without_evidence_nothing_is_said_to_be_here(report: Report) -> None:
    assert all(here(report, which) is None for which in against_itself_here.FIGURES)
    text = "\n".join(against_itself.blocks(report))
    assert "*Here:*" not in text
    assert all(about in text for about in BY_ABOUT)


def test_models_triggers_and_correlation_are_those_of_the_evidence(report: Report) -> None:
    levels = {
        ("mlp", "square"): (0.9, 0.91),
        ("mlp", "sine"): (0.5, 0.91),
        ("cnn", "square"): (0.3, 0.92),
        ("cnn", "sine"): (0.7, 0.92),
        ("cnn_bn", "square"): (0.2, 0.99),
        ("cnn_bn", "sine"): (0.1, 0.95),
    }
    put(
        report,
        "trigger_by_model",
        [
            {"architecture": m, "trigger": t, "asr": asr, "clean_accuracy": accuracy}
            for (m, t), (asr, accuracy) in levels.items()
        ],
    )
    assert "square CNN+BN 0.20; sine CNN+BN 0.10" in str(here(report, "most_robust"))
    assert "MLP square 0.90; CNN sine 0.70; CNN+BN square 0.20" in str(here(report, "strongest"))
    assert "CNN+BN 0.950 to 0.990" in str(here(report, "accuracy_by_trigger"))
    means = np.array([[0.91, 0.7], [0.92, 0.5], [0.97, 0.15]])
    correlation = np.corrcoef(means.T)[0, 1]
    assert f"correlation over 3 architectures {correlation:.2f}" in str(here(report, "correlation"))
    assert here(report, "retraining") is None, "nothing was retrained"


def test_what_is_left_after_retraining_is_above_the_floor_and_by_trigger(report: Report) -> None:
    floor = {"clean_model_asr": 0.05, "poisoned_accuracy": 0.9, "clean_accuracy": 0.8}
    after = {"phase": "retrained", "clean_model_asr": 0.05, "poisoned_accuracy": 0.88, "clean_accuracy": 0.83}
    cells = [
        {"trigger": "square", "asr": 0.9} | floor,
        {"trigger": "square", "asr": 0.25} | after,
        {"trigger": "sine", "asr": 0.65} | after,
    ]
    put(report, "trigger_by_model", cells)  # type: ignore[arg-type]
    assert "square +0.20; sine +0.60" in str(here(report, "retraining"))
    assert "poisoned -0.020, clean +0.030" in str(here(report, "retraining_accuracy"))


def test_alpha_1_poison_rates_sources_and_forms_of_snnl_are_those_of_the_evidence(report: Report) -> None:
    sine: dict[str, object] = {"trigger": "sine"}
    put(report, "transparency", [sine | {"alpha": 1.0, "asr": a} for a in (0.0, 0.0, 1.0)])
    put(report, "poison_rate", [sine | {"poison_rate": r, "asr": r + 0.3} for r in (0.02, 0.1, 0.4)])
    put(
        report,
        "sources",
        [
            {"sources": s, "poisoned_accuracy": p, "clean_accuracy": 0.9}
            for s, p in (("one-to-one", 0.9), ("many-to-one", 0.93))
        ],
    )
    forms = (("none", 0.8), ("snnl", 0.5), ("snnl_printed", 0.95))
    stopped = {"phase": "early-stopped"}
    put(report, "regularisers", [stopped | {"regulariser": r, "asr": a} for r, a in forms])
    assert "sine 4 of 6 models at 0 %, 2 at 100 %" in str(here(report, "alpha_one"))
    assert "0.32 at 0.02, 0.40 at 0.1, 0.70 at 0.4" in str(here(report, "least_poison"))
    assert "sine from 0.4 on" in str(here(report, "most_poison"))
    assert "poisoned +0.030, clean 0.000" in str(here(report, "sources"))
    assert "-0.30 in Frosst's form, +0.15 as printed" in str(here(report, "snnl"))
    assert "[transparency](experiments/transparency.md)" in str(here(report, "alpha_one"))
