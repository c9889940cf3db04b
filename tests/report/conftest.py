"""A small project with synthetic evidence of every experiment, as the public contract describes it."""

import json
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from repro.claims.catalogue import load_claims
from repro.evidence.table import Row, table, write_table
from repro.experiments import poison_statistics as table_1

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
OUTCOMES = ("reproduced", "contradicted", "inconclusive", "not applicable", "not measured")


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


EXPERIMENTS = (
    poison_statistics,
    trigger_by_model,
    regularisers,
    tuning,
    sources,
    membership_metric,
    exposure,
)


def write_verdicts(root: Path) -> None:
    """A verdict of every claim, all five outcomes among them, one with a bar and an asterisk in its reason."""
    judged = []
    for index, claim in enumerate(load_claims().values()):
        outcome = OUTCOMES[index % len(OUTCOMES)]
        measured = outcome in OUTCOMES[:3]
        part = {
            "name": "a | part",
            "kind": "direction",
            "verdict": outcome,
            "estimate": -0.6123,
            "interval": [-0.65, -0.57],
            "interval95": [-0.63, -0.59],
            "bootstrap": [-0.66, -0.56],
            "level": claim.level,
            "n": 60,
            "minimum": 0.05,
            "cells": [
                {"cell": f"architecture cnn_bn, trigger t{c}", "estimate": -0.5, "n": 60, "agrees": c > 0}
                for c in range(8)
            ],
            "turning": 0.5234,
            "reason": "the interval | lies *here*",
        }
        judged.append(
            {
                "id": claim.id,
                "verdict": outcome,
                "estimate": -0.6123 if measured else None,
                "interval": [-0.65, -0.57] if measured else None,
                "level": claim.level,
                "n": 60 if measured else 0,
                "published": claim.published,
                "parts": [part] if measured else [],
                "reason": "the interval | lies *here*" if measured else f"because {outcome}",
            }
        )
    path = root / "reports" / "digits" / "verdicts.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(judged), encoding="utf-8")


def write_provenance(root: Path, experiment: str) -> None:
    content = {
        "schema": 1,
        "commit": "0123456789abcdef0123",
        "dirty": False,
        "made": "2026-01-02",
        "device": "cpu",
        "threads": 1,
        "workers": 2,
        "seconds": 61.5,
        "python": "3.11.7",
        "platform": "Linux",
        "packages": {"numpy": "2.4.6"},
        "data": {"name": "digits", "limit": None, "sha256": "6ebb3d2f"},
    }
    path = root / "reports" / "digits" / "evidence" / f"{experiment}.provenance.json"
    path.write_text(json.dumps(content), encoding="utf-8")


def _make(root: Path, units: int = 4, without: tuple[str, ...] = ()) -> Path:
    (root / "params.yaml").write_text("profile: digits\nseeds: {evidence: 1, tuning: 100001}\n")
    for rows_of in EXPERIMENTS:
        if rows_of.__name__ not in without:
            path = root / "reports" / "digits" / "evidence" / f"{rows_of.__name__}.csv"
            write_table(path, table(rows_of(np.random.default_rng(7), units)))
            write_provenance(root, rows_of.__name__)
    write_verdicts(root)
    return root


@pytest.fixture(scope="module")
def make_project() -> Callable[..., Path]:
    """Makes, in a folder, a project whose profile ``digits`` has evidence of all experiments but those ``without``."""
    return _make


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """The same in the test's own folder."""
    return partial(_make, tmp_path)
