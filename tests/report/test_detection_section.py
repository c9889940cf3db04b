"""The section on detection: its tables against figures computed anew, its ROC, the pair 7 and 2, and pictures."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from section_reading import cells, column, plus_minus, shown

from repro.errors import ReproError
from repro.harness.evidence.table import Row
from repro.harness.profile import Profile
from repro.papers.desanctis.experiments.detection import MITIGATED, PICTURED, PICTURES, Settings

UNITS = 6
ARCHITECTURES = {"mlp": "MLP", "cnn_bn": "CNN+BN"}
RATES = ("asr_pruned", "asr_unlearned", "asr_retrained")


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Figures are made but not drawn, which takes longest; they are kept by file."""
    found: dict[str, Any] = {}

    def keep(report: Any, file: str, figure: Any, description: str) -> str:
        found[file] = figure
        return f"![{description}](figures/{file}.png)"

    monkeypatch.setattr("repro.report.report.Report.picture", keep)
    return found


@pytest.fixture
def read(tmp_path: Path) -> Callable[[list[Row]], str]:
    (tmp_path / "params.yaml").write_text("profile: digits\nseeds: {evidence: 1, tuning: 100001}\n")
    return lambda rows: shown(tmp_path, "detection", rows)[0]


def model_row(draw: np.random.Generator, architecture: str, model: str, unit: int) -> Row:
    poisoned = model == "poisoned"
    raw, corrected = (float(draw.normal(2.5 if poisoned else 1.5, 1)) for _ in range(2))
    row: Row = {
        "run": f"r{draw.integers(10**9):09d}x",
        "phase": "detected",
        "unit": f"u{unit:03d}",
        "partition_seed": unit + 1,
        "seed": unit + 1,
        "poison_class": unit,
        "architecture": architecture,
        "model": model,
        "trigger": "square",
        "alpha": 1.0,
        "poison_rate": 0.1,
        "clean_accuracy": float(draw.uniform(0.9, 1)),
        "asr": float(draw.uniform(0.6, 0.9)),
        "raw_score": raw,
        "corrected_score": corrected,
        "raw_flagged_rate": float(raw > 2),
        "corrected_flagged_rate": float(corrected > 2),
        "raw_found_rate": float(raw > 2 and unit % 2 == 0) if poisoned else None,
        "corrected_found_rate": float(corrected > 2) if poisoned else None,
        "named_class": unit if unit % 3 else 9,
        "named_margin_rank": float(unit),
        "small_margin_named_rate": float(unit < 4),
        "mask_overlap": float(draw.uniform()) if poisoned else None,
        "class": unit,
        "mask_size": float(draw.uniform(3, 9)),
        "margin": float(draw.uniform(7, 9)),
        "nearest_class": 1,
    }
    row |= {name: float(draw.uniform()) if poisoned else None for name in MITIGATED}
    pictured = poisoned and unit < PICTURED
    return row | {
        name: "x" + bytes(draw.integers(0, 256, 64, dtype=np.uint8)).hex() if pictured else None
        for name in PICTURES
    }


def made(alarms: float = 0.1) -> list[Row]:
    draw = np.random.default_rng(3)
    rows = [
        model_row(draw, architecture, model, unit)
        for architecture in ARCHITECTURES
        for model in ("poisoned", "clean")
        for unit in range(UNITS)
    ]
    for architecture in ARCHITECTURES:
        for c in range(10):
            row: Row = dict.fromkeys(rows[0])
            row |= {"phase": "classes", "architecture": architecture, "model": "clean", "class": c}
            row |= {"mask_size": 5.0 + c, "margin": 9.0 - c / 4, "nearest_class": (c + 1) % 10}
            own = alarms * (4 if c == 7 and architecture == "mlp" else 1)
            rows.append(row | {"raw_flagged_rate": own, "corrected_flagged_rate": own / 2})
    return rows


def chosen(rows: list[Row], metric: str, architecture: str, model: str) -> np.ndarray:
    return column(rows, metric, phase="detected", architecture=architecture, model=model)


def auc(rows: list[Row], test: str, architecture: str) -> float:
    poisoned, clean = (chosen(rows, f"{test}_score", architecture, m) for m in ("poisoned", "clean"))
    return float(stats.mannwhitneyu(poisoned, clean).statistic / len(poisoned) / len(clean))


def test_detections_and_false_alarms_of_both_tests(read: Callable[[list[Row]], str]) -> None:
    rows = made()
    found = cells(read(rows), "**Detection**", 2)
    sides = (("poisoned", "flagged_rate"), ("poisoned", "found_rate"), ("clean", "flagged_rate"))
    for architecture, label in ARCHITECTURES.items():
        each = partial(chosen, rows, architecture=architecture)
        for test in ("raw", "corrected"):
            wanted = [plus_minus(each(f"{test}_{rate}", model=model), 2) for model, rate in sides]
            assert found[label, test.capitalize()] == [*wanted, f"{auc(rows, test, architecture):.3f}"]
        less = [
            plus_minus(
                each(f"corrected_{rate}", model=model) - each(f"raw_{rate}", model=model), 2, signed=True
            )
            for model, rate in sides
        ]
        gained = auc(rows, "corrected", architecture) - auc(rows, "raw", architecture)
        assert found[label, "Corrected less raw"][3] == f"{gained:+.3f}"
        assert [plain(cell) for cell in found[label, "Corrected less raw"][:3]] == [plain(c) for c in less]


def plain(cell: str) -> str:
    """A cell whose interval is not written where it is 0."""
    return cell.removesuffix(" ± 0.00")


def test_what_the_search_recovers(read: Callable[[list[Row]], str]) -> None:
    rows = made()
    found = cells(read(rows), "**What the search recovers**", 1)
    for architecture, label in ARCHITECTURES.items():
        each = partial(chosen, rows, architecture=architecture)
        named = each("named_class", model="poisoned") == each("poison_class", model="poisoned")
        assert 0 < named.mean() < 1
        assert found[label,] == [
            plus_minus(named.astype(float), 2),
            plus_minus(each("mask_overlap", model="poisoned"), 2),
            plus_minus(each("mask_size", model="poisoned"), 2),
            plus_minus(each("mask_size", model="clean"), 2),
            plus_minus(each("small_margin_named_rate", model="clean"), 2),
        ]


def test_mitigation_beside_its_control(read: Callable[[list[Row]], str]) -> None:
    rows = made()
    found = cells(read(rows), "**Mitigation**", 2)
    names = {"Pruned": "pruned", "Unlearned": "unlearned", "Retrained without stamps (control)": "retrained"}
    for architecture, label in ARCHITECTURES.items():
        each = partial(chosen, rows, architecture=architecture, model="poisoned")
        assert found[label, "None"] == [
            plus_minus(each("asr"), 2),
            "\u2014",
            plus_minus(each("clean_accuracy")),
            "\u2014",
        ]
        for words, name in names.items():
            asr, accuracy = each(f"asr_{name}"), each(f"accuracy_{name}")
            assert found[label, words] == [
                plus_minus(asr, 2),
                plus_minus(asr - each("asr"), 2, signed=True),
                plus_minus(accuracy),
                plus_minus(accuracy - each("clean_accuracy"), signed=True),
            ]
        true = each("asr_pruned_true")
        assert found[label, "Pruned by the poison class's own trigger"] == [
            plus_minus(true, 2),
            plus_minus(true - each("asr"), 2, signed=True),
            "\u2014",
            "\u2014",
        ]
        assert found[label, "Unlearned less control"] == [
            "\u2014",
            plus_minus(each("asr_unlearned") - each("asr_retrained"), 2, signed=True),
            "\u2014",
            plus_minus(each("accuracy_unlearned") - each("accuracy_retrained"), signed=True),
        ]


def test_the_filter(read: Callable[[list[Row]], str]) -> None:
    rows = made()
    found = cells(read(rows), "**The proactive filter**", 1)
    for architecture, label in ARCHITECTURES.items():
        each = partial(chosen, rows, architecture=architecture, model="poisoned")
        hits, false = each("filter_found_rate"), each("filter_false_rate")
        wanted = [plus_minus(v, 2) for v in (hits, false, each("filter_found_true_rate"))]
        assert found[label,] == [*wanted, plus_minus(hits - false, 2, signed=True)]


def test_classes_by_margin_and_the_pair_7_and_2(read: Callable[[list[Row]], str]) -> None:
    text = read(made())
    found = cells(text, "**Class by class", 2)
    assert list(found) == [(str(c), str((c + 1) % 10)) for c in range(9, -1, -1)]
    assert found["7", "8"] == ["7.25", "12.0", "0.40", "0.20", "12.0", "0.10", "0.05"]
    assert (
        "7 has margin 7.25 (number 3 of 10, nearest 8) and 2 has margin 8.50 (number 8 of 10, nearest 3)"
        in text
    )
    # MLP: (4 + 1) / 13 of all alarms, CNN+BN: 2 / 10.
    assert "On the two fall 38 % of the raw alarms of MLP and 20 % of the raw alarms of CNN+BN" in text
    assert "by chance it would be 20 %" in text


def test_no_alarms_at_all(read: Callable[[list[Row]], str]) -> None:
    text = read(made(0.0))
    assert "There are no raw alarms that could fall on them." in text
    assert "by chance" not in text


def test_evidence_without_rows_by_class(read: Callable[[list[Row]], str]) -> None:
    text = read([row for row in made() if row["phase"] == "detected"])
    assert "Class by class" not in text
    assert "The document's example" not in text


def test_both_tests_stand_side_by_side(read: Callable[[list[Row]], str], kept: dict[str, Any]) -> None:
    rows = made()
    read(rows)
    axes = kept["detection-roc"].axes
    assert [axis.get_title() for axis in axes] == ["Raw", "Corrected"]
    for axis, test in zip(axes, ("raw", "corrected"), strict=True):
        lines = {line.get_label(): line for line in axis.lines}
        for architecture, label in ARCHITECTURES.items():
            x, y = lines[label].get_data()
            assert np.trapezoid(y, x) == pytest.approx(auc(rows, test, architecture))
        dots = [line for line in axis.lines if line.get_marker() == "o"]
        for dot, architecture in zip(dots, ARCHITECTURES, strict=True):
            rates = [
                chosen(rows, f"{test}_flagged_rate", architecture, model).mean()
                for model in ("clean", "poisoned")
            ]
            assert [float(dot.get_xdata()[0]), float(dot.get_ydata()[0])] == rates


def test_pictures_are_the_evidences(read: Callable[[list[Row]], str], kept: dict[str, Any]) -> None:
    rows = made()
    text = read(rows)
    assert "(figures/detection-triggers.png)" in text
    images = [axis.images[0].get_array() for axis in kept["detection-triggers"].axes if axis.images]
    first = [
        np.frombuffer(bytes.fromhex(str(rows[0][name])[1:]), np.uint8).reshape(8, 8) for name in PICTURES
    ]
    assert len(images) == 2 * PICTURED * 3
    assert np.array_equal(images[0], first[0])
    assert np.array_equal(images[1], first[1])
    seen = first[1].astype(float) * first[2] / 255
    assert np.abs(images[2].astype(float) - seen).max() <= 0.5


def test_evidence_without_pictures(read: Callable[[list[Row]], str], kept: dict[str, Any]) -> None:
    text = read([row | dict.fromkeys(PICTURES) for row in made()])
    assert "detection-triggers" not in text
    assert "detection-triggers" not in kept


def test_a_picture_of_another_size(read: Callable[[list[Row]], str]) -> None:
    rows = made()
    rows[1]["mask_image"] = "x00ff"
    with pytest.raises(ReproError, match="column 'mask_image' of unit u001 has 2 values, not the 64"):
        read(rows)


@pytest.mark.parametrize(("epochs", "words"), [(1, "take 1 epoch,"), (5, "take 5 epochs,")])
def test_the_protocol_is_the_profiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int, words: str
) -> None:
    given = ("square", 321, 17, 4, epochs, 3, 0.025)
    names = [name for name in Settings.model_fields if name not in ("units", "architectures")]
    settings = Settings(units=2, architectures=["mlp"], **dict(zip(names, given, strict=True)))
    monkeypatch.setattr(Profile, "settings", lambda profile, experiment: settings)
    (tmp_path / "params.yaml").write_text("profile: digits\nseeds: {evidence: 1, tuning: 100001}\n")
    text, _ = shown(
        tmp_path,
        "detection",
        made(),
        lambda profile: profile.model_copy(update={"experiments": {"detection": {}}}),
    )
    assert (
        "The trigger is the square; a search takes 321 steps of 17 images. 4 hidden units are pruned" in text
    )
    assert words in text
    assert "the filter looks at 3 units and may flag 2.5 % of" in text
