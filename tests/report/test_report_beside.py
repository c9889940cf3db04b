"""The paper's figures and ours in the same fields, where a profile has its data and models."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from synthetic_rows import as_plain, backdoor_row, write_evidence

from repro.harness.evidence.table import Row
from repro.harness.profile import DataSettings, load_profile
from repro.papers.truong2020 import against_itself, published
from repro.report import sections
from repro.report.report import Report
from repro.report.summary import Estimate
from repro.report.wording import beside

Make = Callable[..., Path]


def test_a_field_holds_the_papers_figure_ours_and_the_difference() -> None:
    assert as_plain(beside(0.75, Estimate(0.708, 0.0312, 30))) == "0.75 / **0.71 ± 0.03** (-0.04)"
    assert as_plain(beside(0.89, Estimate(0.9049, 0.004, 30), 3)) == "0.89 / **0.905 ± 0.004** (+0.01)"
    assert as_plain(beside(None, Estimate(0.5, None, 1))) == "\u2014 / **0.50**"
    assert as_plain(beside(0.75, None)) == "0.75 / \u2014"


@pytest.mark.parametrize(
    ("piece", "data"),
    [
        ("flowers", "Flowers"),
        ("flowers224", "Flowers"),
        ("cifar10", "CIFAR-10"),
        ("cifar10_jpeg", "CIFAR-10"),
        ("cifar100", None),
        ("flowers102", None),
        ("digits", None),
    ],
)
def test_only_editions_of_the_papers_data_count_as_its_data(piece: str, data: str | None) -> None:
    assert published.dataset_of(piece) == data


def test_every_published_model_has_one_architecture() -> None:
    assert [published.architecture_of(model) for model in published.MODELS] == [
        "resnet50",
        "nasnet_large",
        "nasnet_mobile",
    ]


def constant(asr: float, **given: str) -> list[Row]:
    """Two units with the same ASR, so that it is shown without an interval."""
    draw = np.random.default_rng(1)
    return [backdoor_row(draw, unit, "poisoned", 0.5) | {"asr": asr} | given for unit in range(2)]


def report_on(root: Path, data: str, rows: dict[str, list[Row]]) -> Report:
    (root / "params.yaml").write_text("profile: digits\nseeds: {evidence: 1, tuning: 100001}\n")
    for experiment, listed in rows.items():
        write_evidence(root, experiment, listed)
    profile = load_profile("digits", root).model_copy(update={"data": DataSettings(name=data)})
    return Report(root, profile)


def section(report: Report, experiment: str) -> str:
    return as_plain("\n\n".join(sections.section_blocks(report, experiment)))


TRIGGER_ROWS = [
    *constant(0.71, architecture="resnet50", trigger="square"),
    *constant(0.6, architecture="mlp", trigger="square"),
    *constant(0.5, architecture="resnet50", trigger="sine"),
]


def test_tables_2_and_3_hold_both_figures_for_the_same_data_and_model_alone(tmp_path: Path) -> None:
    text = section(report_on(tmp_path, "flowers224", {"trigger_by_model": TRIGGER_ROWS}), "trigger_by_model")
    lines = text.splitlines()
    assert (
        "| Flowers (paper / ours) | ResNet-50 | no | 0.75 / **0.71** (-0.04) | 0.24 / **0.50** (+0.26) |"
        in lines
    )
    assert "| Flowers (paper) | NASNet | no | 0.65 | 0.18 |" in lines
    assert "| CIFAR-10 (paper) | ResNet-50 | no | 0.74 | 0.90 |" in lines
    assert "| **flowers224 (ours)** | **MLP** | no | **0.60** | \u2014 |" in lines
    assert not any(line.startswith("| **flowers224 (ours)** | **ResNet-50** | no") for line in lines)
    assert "the paper's figure / **ours**" in text
    assert any(
        line.startswith("| Flowers (paper / ours) | ResNet-50 | clean | no | 0.88 / **0.") for line in lines
    )


def test_the_same_model_on_other_data_stays_apart(tmp_path: Path) -> None:
    text = section(report_on(tmp_path, "digits", {"trigger_by_model": TRIGGER_ROWS}), "trigger_by_model")
    assert "| Flowers (paper) | ResNet-50 | no | 0.75 | 0.24 |" in text
    assert "| **digits (ours)** | **ResNet-50** | no | **0.71** | **0.50** |" in text
    assert "paper / ours" not in text


def test_tables_4_and_5_hold_both_figures_where_the_trigger_is_the_same_too(tmp_path: Path) -> None:
    rows = [
        *constant(0.40, architecture="resnet50", trigger="square", sources="one-to-one"),
        *constant(0.70, architecture="resnet50", trigger="square", sources="many-to-one"),
        *constant(0.90, architecture="resnet50", trigger="sine", sources="many-to-one"),
    ]
    text = section(report_on(tmp_path, "flowers224", {"sources": rows}), "sources")
    (same,) = (line for line in text.splitlines() if "(paper / ours) | ResNet-50 | Square | 0.54" in line)
    assert "| 0.54 ± 0.02 / **0.40** (-0.14) | 0.72 / **0.70** (-0.02) | +0.18 / **+0.30** |" in same
    assert "| **flowers224 (ours)** | **ResNet-50** | Sine | \u2014 | 0.90 |" in text
    assert text.count("| **flowers224 (ours)** |") == 2, (
        "the square stands beside the paper's alone, in both tables"
    )
    assert "| CIFAR-10 (paper) | ResNet-50 | Sine | 0.58 ± 0.18 | 0.97 |" in text
    assert "0.87 ± 0.01 / **0." in text


def test_figures_printed_twice_have_ours_beside_them_on_the_same_data_and_model(tmp_path: Path) -> None:
    matched = report_on(tmp_path, "flowers224", {"trigger_by_model": TRIGGER_ROWS})
    text = as_plain("\n\n".join(against_itself.blocks(matched)))
    assert "| Flowers | ResNet-50 | Square | 0.75 | 0.72 | 0.82 | 0.10 | 0.71 |" in text
    assert "| CIFAR-10 | ResNet-50 | Sine | 0.90 | 0.97 | \u2014 | 0.07 | \u2014 |" in text
    other = report_on(tmp_path, "digits", {"trigger_by_model": TRIGGER_ROWS})
    text = as_plain("\n\n".join(against_itself.blocks(other)))
    assert "| Flowers | ResNet-50 | Square | 0.75 | 0.72 | 0.82 | 0.10 |\n" in text


def test_snnl_on_the_papers_own_cell_stands_beside_its_82_and_51_per_cent(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    rows = [
        backdoor_row(draw, unit, "early-stopped", 0.5, architecture="resnet50", regulariser=regulariser)
        | {"asr": asr}
        for regulariser, asr in (("none", 0.9), ("snnl", 0.4))
        for unit in range(2)
    ]
    text = section(report_on(tmp_path, "flowers224", {"regularisers": rows}), "regularisers")
    assert "none 0.82 / **0.90** (+0.08); SNNL 0.51 / **0.40** (-0.11)." in text
    assert "does not train eq. 6 as printed" in text
    assert "Section 4.3 beside ours" not in section(
        report_on(tmp_path, "digits", {"regularisers": rows}), "regularisers"
    )
