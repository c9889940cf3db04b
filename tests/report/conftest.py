"""A small project with synthetic evidence of every experiment."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from synthetic_rows import EXPERIMENTS, write_evidence

from repro.claims.catalogue import load_claims

OUTCOMES = ("reproduced", "contradicted", "inconclusive", "reported", "not applicable", "not measured")


def write_verdicts(root: Path) -> None:
    """A verdict of every claim, all six outcomes among them, one with a bar and an asterisk in its reason."""
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
        figure = part | {"name": "a | figure", "kind": "beside", "verdict": None, "turning": None}
        judged.append(
            {
                "id": claim.id,
                "verdict": outcome,
                "estimate": -0.6123 if measured else None,
                "interval": [-0.65, -0.57] if measured else None,
                "level": claim.level,
                "n": 60 if measured or outcome == "reported" else 0,
                "published": claim.published,
                "parts": [part] if measured else [figure] if outcome == "reported" else [],
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
        "data": {"name": "digits", "variant": "scikit-learn", "limit": None, "sha256": "6ebb3d2f"},
    }
    path = root / "reports" / "digits" / "evidence" / f"{experiment}.provenance.json"
    path.write_text(json.dumps(content), encoding="utf-8")


def _make(root: Path, units: int = 4, without: tuple[str, ...] = ()) -> Path:
    (root / "params.yaml").write_text("profile: digits\nseeds: {evidence: 1, tuning: 100001}\n")
    for rows_of in EXPERIMENTS:
        if rows_of.__name__ not in without:
            write_evidence(root, rows_of.__name__, rows_of(np.random.default_rng(7), units))
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
