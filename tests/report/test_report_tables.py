"""The report's tables: the papers' figures as the data has them, ours as computed anew from the evidence."""

import re
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from repro.harness.evidence.table import Cell, Table, read_table
from repro.harness.profile import load_profile
from repro.papers.truong2020 import published
from repro.papers.truong2020.experiments import poison_statistics as table_1
from repro.report import write_report

Cells = dict[tuple[str, ...], list[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make_project: Callable[..., Path]) -> Path:
    return write_report(make_project(tmp_path_factory.mktemp("tables"), units=6), "digits").parent


@pytest.fixture(scope="module")
def pages(folder: Path) -> dict[str, str]:
    """Text of each experiment's page."""
    return {
        path.stem: path.read_text().replace("\u00a0", " ").replace("\u2212", "-")
        for path in (folder / "experiments").iterdir()
    }


def rows(text: str, after: str, keys: int) -> Cells:
    """Rows of the first table after a phrase, by their first cells, bold type taken off."""
    block = text.split(after, 1)[1]
    lines = re.search(r"(?:^\|.*\n)+", block, re.M)
    assert lines, f"no table after {after!r}"
    cells = [
        [c.strip().replace("**", "") for c in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines.group().splitlines()[2:]
    ]
    return {tuple(line[:keys]): line[keys:] for line in cells}


def evidence(folder: Path, experiment: str) -> Table:
    return read_table(folder / "evidence" / f"{experiment}.csv")


def column(table: Table, name: str, **where: Cell) -> np.ndarray:
    """One value a unit: the mean of its rows, in the order of the units."""
    chosen = [row for row in table if all(row[c] == v for c, v in where.items())]
    units = sorted({str(row["unit"]) for row in chosen})
    return np.array([np.mean([float(str(r[name])) for r in chosen if r["unit"] == unit]) for unit in units])


def half_width(values: np.ndarray) -> float:
    return float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def plus_minus(values: np.ndarray, digits: int, *, signed: bool = False) -> str:
    mean = f"{values.mean():+.{digits}f}" if signed else f"{values.mean():.{digits}f}"
    if float(mean) == 0:
        mean = mean.lstrip("+-")
    return f"{mean} ± {half_width(values):.{digits}f}"


TRIGGERS = ("square", "random_square", "sine", "low_variance")
MODELS = {"mlp": "MLP", "cnn": "CNN", "cnn_bn": "CNN+BN"}


RETRAINED = {"poisoned": "no", "retrained": "yes"}


def test_table_2_of_the_paper_is_shown_as_published(pages: dict[str, str]) -> None:
    found = rows(pages["trigger_by_model"], "Table 2 beside ours", 3)
    for data in published.ASR:
        for model, before, after in zip(published.MODELS, data.before, data.after, strict=True):
            assert found[f"{data.dataset} (paper)", model, "no"] == [f"{b:.2f}" for b in before]
            assert found[f"{data.dataset} (paper)", model, "yes"] == [f"{a:.2f}" for a in after]
    assert found["Flowers (paper)", "ResNet-50", "no"] == ["0.75", "0.64", "0.24", "0.26"]
    assert found["Flowers (paper)", "ResNet-50", "yes"] == ["0.08", "0.09", "0.06", "0.05"]
    assert found["CIFAR-10 (paper)", "NASNet-Mobile", "no"] == ["0.67", "0.43", "0.79", "0.16"]
    assert found["CIFAR-10 (paper)", "NASNet-Mobile", "yes"] == ["0.05", "0.03", "0.08", "0.05"]


def test_table_2_of_ours_has_intervals_over_units_and_the_floor(folder: Path, pages: dict[str, str]) -> None:
    table = evidence(folder, "trigger_by_model")
    found = rows(pages["trigger_by_model"], "Table 2 beside ours", 3)
    for architecture, shown in MODELS.items():
        of: dict[str, Cell] = {"architecture": architecture}
        for phase, words in RETRAINED.items():
            wanted = [plus_minus(column(table, "asr", phase=phase, trigger=t, **of), 2) for t in TRIGGERS]
            assert found["digits (ours)", shown, words] == wanted
        floors = [column(table, "clean_model_asr", phase="poisoned", trigger=t, **of) for t in TRIGGERS]
        assert found["digits (ours)", shown, "clean model (floor)"] == [plus_minus(f, 2) for f in floors]


def test_intervals_beside_table_2_are_students_over_units(folder: Path, pages: dict[str, str]) -> None:
    table = evidence(folder, "trigger_by_model")
    found = rows(pages["trigger_by_model"], "the clean model's on the same images", 2)
    where: dict[str, Cell] = {"architecture": "cnn", "trigger": "sine"}
    before, after = (column(table, "asr", phase=phase, **where) for phase in ("poisoned", "retrained"))
    floor = column(table, "clean_model_asr", phase="poisoned", **where)
    assert found["Sine", "CNN"] == [
        plus_minus(before, 2),
        plus_minus(after, 2),
        plus_minus(after - before, 2, signed=True),
        plus_minus(floor, 2),
    ]


def test_table_3_is_shown_as_published_and_ours_beside_it(folder: Path, pages: dict[str, str]) -> None:
    found = rows(pages["trigger_by_model"], "Table 3 beside ours", 4)
    for split, tables in (("poisoned", published.POISONED_ACCURACY), ("clean", published.CLEAN_ACCURACY)):
        for data in tables:
            for model, before, after in zip(published.MODELS, data.before, data.after, strict=True):
                assert found[f"{data.dataset} (paper)", model, split, "no"] == [f"{b:.2f}" for b in before]
                assert found[f"{data.dataset} (paper)", model, split, "yes"] == [f"{a:.2f}" for a in after]
    table = evidence(folder, "trigger_by_model")
    for split, (phase, words) in product(("poisoned", "clean"), RETRAINED.items()):
        ours = column(table, f"{split}_accuracy", phase=phase, architecture="mlp", trigger="square")
        assert found["digits (ours)", "MLP", split, words][0] == plus_minus(ours, 3)


def test_table_1_stands_beside_eq_8_and_9_with_its_slips_marked(pages: dict[str, str]) -> None:
    found = rows(pages["poison_statistics"], "Table 1 beside ours", 1)
    assert found["Daisy",] == [
        "71 / 71",
        "\u2014",
        "21.1 / 21.1",
        "15.8 / 15.8",
        "14.6 / 14.6",
        "19.5 / 19.5",
        "0.018 / 0.0177",
    ]
    assert [row[-1].partition(" /")[0] for row in found.values()] == [
        "0.018",
        "0.025 †",
        "0.018",
        "0.017",
        "0.023 †",
    ]
    for t, row in enumerate(found.values()):
        assert row[0].partition(" /")[0] == str(table_1.PUBLISHED_POISONED[t])
        shown = [cell.partition(" /")[0] for cell in row[1:6]]
        assert shown == [f"{p:.1f}" if c != t else "\u2014" for c, p in enumerate(table_1.PUBLISHED_DRAWS[t])]
    assert "0.025 for dandelion should read 0.024" in pages["poison_statistics"]
    assert "0.023 for tulip should read 0.022" in pages["poison_statistics"]


def test_tables_4_and_5_stand_beside_ours(folder: Path, pages: dict[str, str]) -> None:
    success = rows(pages["sources"], "Table 5 beside ours", 3)
    accuracy = rows(pages["sources"], "Table 4 beside ours", 3)
    for row in published.SOURCES:
        place = f"{row.dataset} (paper)", row.model, row.trigger.capitalize()
        one, spread, many = row.asr
        assert success[place][:2] == [f"{one:.2f} ± {spread:.2f}", f"{many:.2f}"]
        pairs = (row.poisoned_accuracy, row.clean_accuracy)
        assert accuracy[place] == [c for o, s, m in pairs for c in (f"{o:.2f} ± {s:.2f}", f"{m:.2f}")]
    assert success["CIFAR-10 (paper)", "ResNet-50", "Sine"][:2] == ["0.58 ± 0.18", "0.97"]
    table = evidence(folder, "sources")
    where: dict[str, Cell] = {"architecture": "cnn_bn", "trigger": "sine"}
    one, many = (column(table, "asr", sources=s, **where) for s in ("one-to-one", "many-to-one"))
    ours = success["digits (ours)", "CNN+BN", "Sine"]
    assert ours[:3] == [plus_minus(one, 2), plus_minus(many, 2), plus_minus(many - one, 2, signed=True)]
    assert ours[3] == "0.90"


def test_regularisers_are_compared_with_none_within_units(folder: Path, pages: dict[str, str]) -> None:
    table = evidence(folder, "regularisers")
    for phase, heading in (
        ("early-stopped", "Early-stopped, as in"),
        ("fixed-epochs", "the same number of epochs**"),
    ):
        found = rows(pages["regularisers"], heading, 1)
        none, snnl = (column(table, "asr", phase=phase, regulariser=r) for r in ("none", "snnl"))
        assert found["None",][0] == plus_minus(none, 2)
        assert found["SNNL",][:2] == [plus_minus(snnl, 2), plus_minus(snnl - none, 2, signed=True)]
        accuracy = [column(table, "clean_accuracy", phase=phase, regulariser=r) for r in ("snnl", "none")]
        assert found["SNNL",][2] == plus_minus(accuracy[0], 3)
        assert found["SNNL",][3] == plus_minus(accuracy[0] - accuracy[1], 3, signed=True)
        printed = column(table, "asr", phase=phase, regulariser="snnl_printed") - none
        own = snnl - none
        forms = rows(pages["regularisers"], "**SNNL in both forms.**", 2)
        stopping = phase.capitalize()
        assert forms[stopping, "Frosst et al."][2] == plus_minus(own, 2, signed=True)
        assert forms[stopping, "eq. 6 as printed"][2] == plus_minus(printed, 2, signed=True)
        assert forms[stopping, "Frosst et al."][3] == plus_minus(accuracy[0] - accuracy[1], 3, signed=True)
        assert forms[stopping, "*Printed less Frosst's*"][0] == plus_minus(printed - own, 2, signed=True)


def test_the_chosen_weight_is_the_heaviest_within_the_budget(pages: dict[str, str]) -> None:
    found = rows(pages["tuning"], "Chosen weights", 1)
    assert found["SNNL",] == ["1", "1", "1"]
    grid = rows(pages["tuning"], "The grid", 3)
    assert [key[2] for key, row in grid.items() if key[:2] == ("SNNL", "CNN") and row[-1] == "chosen"] == [
        "1"
    ]
    assert grid["SNNL", "CNN", "10"][0] == "0.945"


def test_exposure_shows_aucs_beside_accuracy_in_both_protocols(folder: Path, pages: dict[str, str]) -> None:
    table = evidence(folder, "exposure")
    for phase, heading in (("final", "**After training**"), ("matched", "**At matched held-out accuracy**")):
        found = rows(pages["exposure"], heading, 3)
        where: dict[str, Cell] = {"phase": phase, "victim": "scratch", "attack": "clean_label"}
        margin = {
            metric: column(table, metric, regulariser="margin", **where) for metric in ("target_auc", "auc")
        }
        row = found["Scratch", "clean-label", "margin loss"]
        assert (row[0], row[2]) == (plus_minus(margin["target_auc"], 3), plus_minus(margin["auc"], 3))
        for place, metric in ((3, "tpr_at_0.001"), (4, "tpr_at_0.01"), (5, "test_accuracy")):
            assert row[place] == plus_minus(column(table, metric, regulariser="margin", **where), 3)
        lost = margin["target_auc"] - column(table, "target_auc", regulariser="none", **where)
        protocol = "After training" if phase == "final" else "At matched held-out accuracy"
        less = rows(pages["exposure"], "The margin loss less no defence", 3)
        assert less[protocol, "Scratch", "clean-label"][0] == plus_minus(lost, 3, signed=True)


def test_targeted_attacks_stand_beside_their_placebo_and_the_margin_loss_beside_none(
    folder: Path, pages: dict[str, str]
) -> None:
    table, shown = evidence(folder, "targeted"), pages["targeted"]
    where: dict[str, Cell] = {"victim": "end-to-end", "budget": 20, "watermark": 0.3}
    margin, none = (
        {m: column(table, m, regulariser=r, **where) for m in ("target_asr", "placebo_asr", "collapsed_rate")}
        for r in ("margin", "none")
    )
    success = rows(shown, "**Success**", 4)["End-to-end", "20", "0.3", "margin loss"]
    assert success[:2] == [plus_minus(margin["target_asr"], 2), plus_minus(margin["placebo_asr"], 2)]
    lies = rows(shown, "**Where poisons lie**", 4)
    assert lies["End-to-end", "20", "0.3", "none"][2] == plus_minus(none["collapsed_rate"], 2)
    less = rows(shown, "The margin loss less no defence", 3)
    assert less["End-to-end", "20", "0.3"][:2] == [
        plus_minus(margin[m] - none[m], 2, signed=True) for m in ("collapsed_rate", "target_asr")
    ]
    assert ("Frozen", "5", "0") not in less


def test_what_differs_from_the_paper_is_said(folder: Path) -> None:
    profile = load_profile("digits", folder.parents[1])
    found = rows((folder / "setup.md").read_text(), "## What differs from the paper", 1)
    square, sine = profile.trigger("square"), profile.trigger("sine")
    assert "8x8" in found["Data",][1]
    assert f", {square.options['size']} of 8 pixels wide (" in found["Square",][1]
    assert found["Square",][0].startswith("black, 22 of 224 pixels wide (10 %), 22 from the top and left")
    assert found["Sine",] == [
        "amplitude 0.4, 5.6 cycles an image; alpha 0.1",
        f"amplitude {sine.options['amplitude']:g}, {sine.options['cycles']:g} cycles an image; alpha {sine.alpha:g}",
    ]
    assert "*last* epoch" in found["Training",][1]
