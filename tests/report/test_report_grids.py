"""Sections on alpha and on the poison rate: figures as computed anew, and grids of whatever size."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from synthetic_rows import ALPHAS, RATES, as_plain, poison_rate, transparency, write_evidence

from repro.harness.evidence.table import Row
from repro.harness.profile import load_profile
from repro.report import sections
from repro.report.report import Report

Make = Callable[..., Path]
UNITS = 6


def shown(root: Path, experiment: str) -> tuple[str, Report]:
    """The experiment's section in plain characters, and the report it was made for."""
    report = Report(root, load_profile("digits", root))
    return as_plain("\n\n".join(sections.section_blocks(report, experiment))), report


def rows(text: str, after: str, keys: int) -> dict[tuple[str, ...], list[str]]:
    table = re.search(r"(?:^\|.*\n?)+", text.split(after, 1)[1], re.M)
    assert table, f"no table after {after!r}"
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in table.group().splitlines()[2:]]
    return {tuple(line[:keys]): line[keys:] for line in cells}


def over_units(evidence: list[Row], metric: str, **where: Any) -> np.ndarray:
    chosen = [r for r in evidence if all(r[c] == v for c, v in where.items())]
    units = sorted({str(r["unit"]) for r in chosen})
    return np.array([np.mean([float(str(r[metric])) for r in chosen if r["unit"] == u]) for u in units])


def plus_minus(values: np.ndarray, digits: int = 2, *, signed: bool = False) -> str:
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    mean = f"{values.mean():{'+' if signed else ''}.{digits}f}"
    return f"{mean} ± {half:.{digits}f}"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text("profile: digits\nseeds: {evidence: 1, tuning: 100001}\n")
    return tmp_path


def put(root: Path, make: Callable[..., list[Row]], units: int = UNITS, **grid: Any) -> list[Row]:
    made = make(np.random.default_rng(5), units, **grid)
    write_evidence(root, make.__name__, made)
    return made


def test_asr_by_alpha_has_every_rate_and_moment_and_the_floor(project: Path) -> None:
    made = put(project, transparency)
    text, report = shown(project, "transparency")
    found = rows(text, "**ASR by alpha**", 2)
    assert [key[1] for key in found if key[0] == "Sine"] == [f"{alpha:g}" for alpha in ALPHAS]
    for trigger, words in (("sine", "Sine"), ("low_variance", "Low variance")):
        wanted = [
            plus_minus(over_units(made, "asr", trigger=trigger, alpha=0.3, poison_rate=rate, phase=phase))
            for rate in (0.05, 0.1)
            for phase in ("poisoned", "retrained")
        ]
        floor = over_units(made, "clean_model_asr", trigger=trigger, alpha=0.3)
        assert found[words, "0.3"] == [*wanted, plus_minus(floor)]
    assert {"transparency", "transparency-accuracy"} <= set(report.pictures)


def test_rise_with_alpha_and_what_retraining_leaves_stand_beside_the_papers_words(project: Path) -> None:
    made = put(project, transparency, alphas=(0.1, 0.5))
    text, _ = shown(project, "transparency")
    low, high = (over_units(made, "asr", trigger="sine", alpha=a, phase="poisoned") for a in (0.1, 0.5))
    assert f"ASR at alpha 0.5 less that at 0.1: sine {plus_minus(high - low, signed=True)}" in text
    left, floor = (
        over_units(made, metric, trigger="sine", alpha=0.5, phase="retrained")
        for metric in ("asr", "clean_model_asr")
    )
    assert f"at alpha 0.5, above the floor: sine {plus_minus(left - floor, signed=True)}" in text
    assert "432 runs" in text
    assert "**At alpha 1**" not in text


def test_at_alpha_1_models_are_counted_by_all_nothing_and_between(project: Path) -> None:
    made = transparency(np.random.default_rng(5), UNITS, architectures=("mlp",), rates=(0.1,))
    among = [r for r in made if r["alpha"] == 1.0 and r["trigger"] == "sine" and r["phase"] == "poisoned"]
    for row, asr in zip(among, (0.0, 0.0, 1.0, 1.0, 1.0, 0.25), strict=True):
        row["asr"] = asr
    write_evidence(project, "transparency", made)
    text, _ = shown(project, "transparency")
    found = rows(text, "**At alpha 1**", 2)
    assert found["Sine", "before retraining"] == ["6", "2", "3", "1", "0.25 to 0.25"]
    assert found["Low variance", "after retraining"] == ["6", "1", "5", "0", "\u2014"]
    assert "sine 2 of 6 models at 0 %" in text


def test_accuracy_and_asr_by_rate_stand_in_the_table(project: Path) -> None:
    made = put(project, poison_rate)
    text, report = shown(project, "poison_rate")
    found = rows(text, "**Section 4.5 beside ours.**", 1)
    table = rows(text.split("44 runs", 1)[1], "\n\n", 3)
    assert len(table) == 4 * len(RATES)
    of = {"trigger": "random_square", "poison_rate": 0.4}
    assert table["MLP", "Random square", "0.4"] == [
        plus_minus(over_units(made, "poisoned_accuracy", **of), 3),
        plus_minus(over_units(made, "clean_accuracy", **of), 3),
        plus_minus(over_units(made, "asr", **of)),
        plus_minus(over_units(made, "clean_model_asr", **of)),
    ]
    assert set(report.pictures) == {"poison_rate"}
    assert found


def test_fall_of_accuracy_and_first_sufficient_rate_stand_beside_the_papers_words(project: Path) -> None:
    made = put(project, poison_rate)
    text, _ = shown(project, "poison_rate")
    ends = [over_units(made, "poisoned_accuracy", trigger="square", poison_rate=r) for r in (0.8, 0.02)]
    change = plus_minus(ends[0] - ends[1], 3, signed=True)
    assert f"at 0.8 less at 0.02: square {change}" in text
    sine = over_units(made, "asr", trigger="sine", poison_rate=0.02)
    assert f"ASR of sine at 0.02: {plus_minus(sine)}" in text
    first = next(
        rate
        for rate in RATES
        if over_units(made, "asr", trigger="low_variance", poison_rate=rate).mean() >= 0.5
    )
    assert f"low variance from {first:g} on" in text


def test_a_rate_counts_only_where_asr_stays_up_beyond_it(project: Path) -> None:
    made = poison_rate(np.random.default_rng(5), UNITS, triggers=("square",), rates=(0.1, 0.2, 0.4))
    for row in made:
        row["asr"] = {0.1: 0.9, 0.2: 0.2, 0.4: 0.8}[float(str(row["poison_rate"]))]
    write_evidence(project, "poison_rate", made)
    assert "square from 0.4 on" in shown(project, "poison_rate")[0]
    for row in made:
        row["asr"] = 0.1
    write_evidence(project, "poison_rate", made)
    assert "square at none up to 0.4" in shown(project, "poison_rate")[0]


ODD_GRIDS: tuple[tuple[Callable[..., list[Row]], dict[str, Any]], ...] = (
    (transparency, {"units": 1, "architectures": ("mlp",), "triggers": ("sine",), "alphas": (0.5,)}),
    (transparency, {"units": 2, "phases": ("poisoned",), "rates": (0.1,), "alphas": (0.2, 1.0)}),
    (
        transparency,
        {
            "units": 2,
            "architectures": ("mlp", "cnn", "cnn_bn", "resnet50"),
            "rates": (0.01, 0.05, 0.1, 0.2),
            "alphas": tuple(i / 20 for i in range(1, 19)),
        },
    ),
    (poison_rate, {"units": 1, "triggers": ("square",), "rates": (0.1,)}),
    (
        poison_rate,
        {"units": 2, "architectures": ("mlp", "cnn"), "rates": tuple(i / 20 for i in range(1, 16))},
    ),
)


@pytest.mark.parametrize(("make", "grid"), ODD_GRIDS)
def test_grids_of_any_size_are_shown_whole(
    project: Path, make: Callable[..., list[Row]], grid: dict[str, Any]
) -> None:
    units = grid.pop("units") if "units" in grid else 1
    made = put(project, make, units, **grid)
    text, report = shown(project, make.__name__)
    cells = {(r["architecture"], r["trigger"], r["poison_rate"], r["alpha"]) for r in made}
    lines = [line for line in text.splitlines() if re.match(r"\| (MLP|CNN|CNN\+BN|ResNet-50) \|", line)]
    assert len(lines) == len(cells)
    assert "nan" not in text
    assert all(len(picture.content) > 5000 for picture in report.pictures.values())
    assert "1 models" not in text


def test_a_cell_without_rows_is_left_out(project: Path) -> None:
    made = transparency(np.random.default_rng(5), 2, architectures=("mlp", "cnn"))
    kept = [r for r in made if not (r["architecture"] == "cnn" and r["trigger"] == "sine")]
    write_evidence(project, "transparency", kept)
    text, _ = shown(project, "transparency")
    assert "| CNN | Low variance |" in text
    assert "| CNN | Sine |" not in text
