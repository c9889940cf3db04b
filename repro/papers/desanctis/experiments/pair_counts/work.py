"""What losses over pairs cost, counted in summands, and what a shift of all distances does to them (desanctis 3.1)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from repro.data import Dataset
from repro.harness.outcome import Outcome
from repro.harness.runs import Fleet
from repro.losses.pairs import base_contrastive_of, margin_of, terms, triplet_of
from repro.seeds import stream


def measure_fleet(
    fleet: Fleet, dataset: Dataset | None, weights: Mapping[str, Tensor], device: torch.device
) -> Outcome:
    """One record per run: by loss, its summands by number of points and its changes by shift; nothing is trained."""
    return Outcome([_measured(run) for run in fleet.runs])


def _measured(run: Any) -> dict[str, Any]:
    generator = stream(run.seed, "pair-counts")
    batches = [_labels(points, run.classes, generator) for points in run.points]
    return {
        "run": run.id,
        "terms": {loss: [int(terms(loss, labels)) for labels in batches] for loss in run.losses},
        "changes": _changes(run, generator),
    }


def _labels(points: int, classes: int, generator: torch.Generator) -> Tensor:
    """Labels with equally many points of each class, in a random order: (1, points)."""
    return (torch.randperm(points, generator=generator) % classes).unsqueeze(0)


def _changes(run: Any, generator: torch.Generator) -> dict[str, list[float]]:
    """By loss, the absolute change in each draw when one constant is added to every distance, and to beta.

    A draw is a symmetric matrix of distances within [0, 2], a shift within [0.5, 1.5] and a beta within [0.8, 1.6].
    """
    n = run.shifted_points
    labels = torch.cat([_labels(n, run.classes, generator) for _ in range(run.draws)])
    uniform = torch.rand(run.draws, n, n, dtype=torch.float64, generator=generator).triu(1) * 2
    distances = uniform + uniform.mT
    shift, position = torch.rand(2, run.draws, dtype=torch.float64, generator=generator)
    shift, beta = shift + 0.5, 0.8 * (position + 1)
    further = distances + shift.reshape(-1, 1, 1)
    changes = {
        "margin": margin_of(further, labels, run.alpha, beta + shift)
        - margin_of(distances, labels, run.alpha, beta),
        "triplet": triplet_of(further, labels, run.alpha) - triplet_of(distances, labels, run.alpha),
        "base_contrastive": base_contrastive_of(further, labels, run.constant)
        - base_contrastive_of(distances, labels, run.constant),
    }
    return {loss: change.abs().tolist() for loss, change in changes.items()}
