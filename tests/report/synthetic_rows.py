"""Synthetic evidence of every experiment, as the public contract describes it."""

import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from repro.harness.evidence.table import Row, table, write_table
from repro.papers.truong2020.experiments import poison_statistics as table_1

ARCHITECTURES = ("mlp", "cnn", "cnn_bn")
TRIGGERS = ("square", "random_square", "sine", "low_variance")
REGULARISERS = ("none", "logit_squeezing", "manifold_mixup", "contrastive", "snnl", "snnl_printed")
WEIGHTS = (0.1, 1.0, 10.0)
FALSE_POSITIVE_RATES = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
INVARIANTS = (
    "class_counts_unchanged",
    "originals_kept",
    "exactly_floor_supplanted",
    "relabelled_as_poison_class",
    "poison_class_never_a_source",
)


def backdoor_row(draw: np.random.Generator, unit: int, phase: str, asr: float, **given: Any) -> Row:
    noise = draw.normal(0, 0.05, size=5)
    row: Row = {
        "run": f"r{draw.integers(10**9):09d}x",
        "phase": phase,
        "unit": f"u{unit:03d}",
        "partition_seed": unit + 1,
        "seed": unit + 1,
        "poison_class": unit % 10,
        "architecture": "mlp",
        "trigger": "square",
        "alpha": 1.0,
        "poison_rate": 0.1,
        "sources": "many-to-one",
        "source_class": None,
        "regulariser": "none",
        "weight": 0.0,
        "epochs": 14 + unit % 5,
        "poisoned_accuracy": float(0.97 + noise[0] / 10),
        "clean_accuracy": float(0.97 + noise[1] / 10),
        "asr": float(np.clip(asr + noise[2], 0, 1)),
        "own_source_asr": None,
        "clean_model_asr": float(np.clip(0.02 + noise[3] / 5, 0, 1)),
        "clean_model_accuracy": float(0.975 + noise[4] / 10),
        "adversarial_images": 81,
    }
    return row | given


def trigger_by_model(draw: np.random.Generator, units: int) -> list[Row]:
    level = {"square": 0.7, "random_square": 0.2, "sine": 0.95, "low_variance": 0.9}
    return [
        backdoor_row(
            draw,
            unit,
            phase,
            level[trigger] if phase == "poisoned" else 0.15,
            architecture=architecture,
            trigger=trigger,
        )
        for architecture in ARCHITECTURES
        for unit in range(units)
        for trigger in TRIGGERS
        for phase in ("poisoned", "retrained")
    ]


def regularisers(draw: np.random.Generator, units: int) -> list[Row]:
    drop = dict(zip(REGULARISERS, (0, 0.1, 0.0, 0.12, 0.2, -0.1), strict=True))
    return [
        backdoor_row(
            draw,
            unit,
            phase,
            0.7 - drop[regulariser] + 0.02 * (unit % 10),
            architecture=architecture,
            regulariser=regulariser,
            weight=0.0 if regulariser == "none" else 0.5,
        )
        for phase in ("early-stopped", "fixed-epochs")
        for architecture in ARCHITECTURES
        for regulariser in REGULARISERS
        for unit in range(units)
    ]


def tuning(draw: np.random.Generator, units: int) -> list[Row]:
    rows = []
    for architecture in ARCHITECTURES:
        for unit in range(units):
            for rate in (0.001, 0.003, 0.01):
                row = backdoor_row(draw, unit, "tuned", 0.7, architecture=architecture)
                rows.append(row | {"learning_rate": rate})
            for regulariser in REGULARISERS[1:]:
                for i, weight in enumerate(WEIGHTS):
                    given = {"architecture": architecture, "regulariser": regulariser, "weight": weight}
                    row = backdoor_row(draw, unit, "tuned", 0.7 - 0.15 * i, **given)
                    row["clean_accuracy"] = 0.975 - 0.015 * i
                    rows.append(row | {"learning_rate": 0.003})
    return rows


def sources(draw: np.random.Generator, units: int) -> list[Row]:
    rows = []
    for architecture in ARCHITECTURES:
        for trigger in ("square", "sine"):
            for unit in range(units):
                given = {"architecture": architecture, "trigger": trigger}
                rows.append(backdoor_row(draw, unit, "poisoned", 0.7, **given))
                one = {"sources": "one-to-one", "source_class": (unit + 1) % 10, "own_source_asr": 0.9}
                rows.append(backdoor_row(draw, unit, "poisoned", 0.3, **given, **one))
    return rows


ALPHAS = (0.1, 0.3, 0.5, 0.7, 1.0)
RATES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)


def transparency(
    draw: np.random.Generator,
    units: int,
    architectures: tuple[str, ...] = ARCHITECTURES,
    triggers: tuple[str, ...] = ("sine", "low_variance"),
    alphas: tuple[float, ...] = ALPHAS,
    rates: tuple[float, ...] = (0.05, 0.1),
    phases: tuple[str, ...] = ("poisoned", "retrained"),
) -> list[Row]:
    """ASR rises with alpha and the rate, falls by retraining, and is all or nothing at alpha 1."""
    rows = []
    for architecture, trigger, alpha, rate, unit, phase in product(
        architectures, triggers, alphas, rates, range(units), phases
    ):
        level = alpha ** (0.5 if trigger == "sine" else 1.5) * (0.7 + 3 * rate)
        given = {"architecture": architecture, "trigger": trigger, "alpha": alpha, "poison_rate": rate}
        row = backdoor_row(draw, unit, phase, level * (1 if phase == "poisoned" else 0.6), **given)
        if alpha == 1.0:
            row["asr"] = float(unit > 0)
        rows.append(row)
    return rows


def poison_rate(
    draw: np.random.Generator,
    units: int,
    architectures: tuple[str, ...] = ("mlp",),
    triggers: tuple[str, ...] = TRIGGERS,
    rates: tuple[float, ...] = RATES,
) -> list[Row]:
    """ASR rises with the rate, of sine first and of the random square last; poisoned accuracy falls."""
    ease = dict(zip(TRIGGERS, (0.1, 0.5, 0.01, 0.05), strict=True))
    rows = []
    for architecture, trigger, rate, unit in product(architectures, triggers, rates, range(units)):
        given = {"architecture": architecture, "trigger": trigger, "poison_rate": rate}
        row = backdoor_row(draw, unit, "poisoned", rate / (rate + ease[trigger]), **given)
        row["poisoned_accuracy"] = 0.97 - 0.1 * rate + float(draw.normal(0, 0.003))
        rows.append(row)
    return rows


def poison_statistics(draw: np.random.Generator, units: int) -> list[Row]:
    del draw

    def row(check: str, t: int, source: int | None, unit: str | None, computed: float, wanted: float) -> Row:
        cells: Row = {"check": check, "poison_class": t, "source_class": source, "unit": unit}
        return cells | {"computed": computed, "published": wanted, "tolerance": 0.05, "holds": True}

    rows = []
    for t, total in enumerate(table_1.PUBLISHED_POISONED):
        rows.append(row("expected_samples", t, None, None, total, total))
        for c, draws in enumerate(table_1.PUBLISHED_DRAWS[t]):
            if c != t:
                rows.append(row("drawn_per_source", t, c, None, draws + 0.01, draws))
        rows.append(row("effective_rate", t, None, None, total / 4003, table_1.PUBLISHED_RATES[t]))
    for unit in range(units):
        for check in INVARIANTS:
            rows.append(row(check, unit % 10, None, f"u{unit:03d}", 11, 11))
    return rows


def membership_metric(draw: np.random.Generator, units: int) -> list[Row]:
    del draw, units
    checks = {"zero_at_certainty": 1e-9, "unbounded": 300.0, "never_negative": 0.0}
    return [
        {"check": check, "gap": gap, "computed": value, "bound": value, "holds": True}
        for check, value in checks.items()
        for gap in (20.0, 40.0, 350.0)
    ]


def exposure(draw: np.random.Generator, units: int) -> list[Row]:
    rows: list[Row] = []
    for phase in ("final", "matched"):
        for attack in ("none", "dirty_label", "clean_label"):
            for regulariser in ("none", "margin"):
                for victim, unit in product(("scratch", "fine-tuned"), range(units)):
                    base = {"none": 0.57, "dirty_label": 0.8, "clean_label": 0.63}[attack]
                    auc = base + 0.02 * (regulariser == "margin") + draw.normal(0, 0.01)
                    row: Row = {
                        "run": f"r{draw.integers(10**9):09d}x",
                        "phase": phase,
                        "unit": f"u{unit:03d}",
                        "partition_seed": unit + 1,
                        "seed": unit + 1,
                        "target_class": unit % 10,
                        "victim": victim,
                        "attack": attack,
                        "budget": 0 if attack == "none" else 20,
                        "architecture": "mlp",
                        "regulariser": regulariser,
                        "weight": 0.0 if regulariser == "none" else 1.0,
                        "epochs": 150,
                        "member_accuracy": 1.0,
                        "test_accuracy": float(0.94 + draw.normal(0, 0.005)),
                        "target_accuracy": 0.9,
                        "other_accuracy": 0.95,
                        "auc": float(0.57 + draw.normal(0, 0.01)),
                        "target_auc": float(auc),
                        "other_auc": 0.57,
                        "ties": 0.001,
                    }
                    rates = {f"tpr_at_{rate}": float(rate ** (1.2 - auc)) for rate in FALSE_POSITIVE_RATES}
                    rows.append(row | rates)
    return rows


TARGETED = (
    *(("frozen", budget, 0.0, "none") for budget in (1, 5)),
    *(
        ("end-to-end", budget, watermark, regulariser)
        for budget, watermark in ((1, 0.0), (20, 0.0), (20, 0.3))
        for regulariser in ("none", "margin")
    ),
)


def targeted(draw: np.random.Generator, units: int) -> list[Row]:
    def rate(level: float) -> float:
        return float(np.clip(level + draw.normal(0, 0.05), 0, 1))

    return [
        {
            "run": f"r{draw.integers(10**9):09d}x",
            "phase": "attacked",
            "unit": f"u{unit:03d}",
            "partition_seed": unit + 1,
            "seed": unit + 1,
            "base_class": unit % 10,
            "target_class": (unit + 1) % 10,
            "victim": victim,
            "budget": budget,
            "watermark": watermark,
            "regulariser": regulariser,
            "weight": 0.0 if regulariser == "none" else 1.0,
            "architecture": "mlp",
            "target_asr": float(draw.random() < 0.4 + 0.02 * budget),
            "placebo_asr": rate(0.1),
            "poison_as_target_rate": rate(0.8),
            "base_as_target_rate": rate(0.1),
            "poison_as_base_rate": rate(0.9),
            "nearer_target_rate": rate(0.95),
            "nearer_base_rate": rate(0.7),
            "collapsed_rate": rate(0.6 - 0.3 * (regulariser == "margin")),
            "feature_ratio": rate(0.3),
            "input_ratio": rate(0.4),
            "clean_accuracy": rate(0.94),
            "placebo_accuracy": rate(0.95),
        }
        for victim, budget, watermark, regulariser in TARGETED
        for unit in range(units)
    ]


EXPERIMENTS = (
    poison_statistics,
    trigger_by_model,
    regularisers,
    tuning,
    sources,
    transparency,
    poison_rate,
    membership_metric,
    exposure,
    targeted,
)


def write_evidence(root: Path, experiment: str, rows: list[Row]) -> None:
    """Rows as the experiment's evidence of profile ``digits``."""
    write_table(root / "reports" / "digits" / "evidence" / f"{experiment}.csv", table(rows))


def as_plain(text: str) -> str:
    """A report's text with plain hyphens and spaces, none of which fill up cells."""
    return re.sub(" +", " ", text.replace("\u00a0", " ").replace("\u2212", "-"))
