"""Train, and retrain, fleets of backdoored and clean models, and measure them (truong2020 section 3)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repro import plugins
from repro.data import Dataset
from repro.runs import Fleet, Run
from repro.training.fleet import Regularisation, Split, logits_of, pool_of, predict, train
from repro.training.outcome import Outcome
from repro.training.poisoning import Pool, View, splits
from repro.training.stack import Stack

_POOLING_BATCH = 128


def train_fleet(
    fleet: Fleet, dataset: Dataset, weights: Mapping[str, Tensor], device: torch.device
) -> Outcome:
    """Train every run on its poison-set from scratch; ``weights`` are not used."""
    pool, views = _prepare(fleet, dataset, device)
    first = fleet.runs[0]
    stack = _fresh(fleet, dataset).to(device)
    trained, epochs = train(
        stack,
        pool,
        _on(splits(views, "training"), device),
        _on(splits(views, "validation"), device),
        first.recipe,
        [run.seed for run in fleet.runs],
        regularisation(fleet.runs),
    )
    return Outcome(_measure(trained, pool, fleet.runs, views, epochs), _to_cpu(trained))


def retrain_fleet(
    fleet: Fleet, dataset: Dataset, weights: Mapping[str, Tensor], device: torch.device
) -> Outcome:
    """Go on from trained ``weights`` on the clean training set, for a fixed number of epochs, undefended."""
    recipe = fleet.runs[0].retraining
    if recipe is None:
        raise ValueError("these runs have no retraining recipe")
    pool, views = _prepare(fleet, dataset, device)
    piece = plugins.load("architecture", fleet.runs[0].architecture)
    shape, classes = dataset.images.shape[1:], len(dataset.classes)
    stack = Stack(piece.blocks(shape, classes), shape, classes, dict(weights)).to(device)
    undefended = Regularisation(plugins.load("defence", "none"), torch.zeros(len(fleet.runs)), {})
    trained, epochs = train(
        stack,
        pool,
        _on(splits(views, "clean_training"), device),
        None,
        recipe,
        [run.seed for run in fleet.runs],
        undefended,
        purpose="retraining",
    )
    return Outcome(_measure(trained, pool, fleet.runs, views, epochs), _to_cpu(trained))


def regularisation(runs: Sequence[Run]) -> Regularisation:
    """The defence that a fleet's runs share, with each run's own weight."""
    defence = runs[0].defence
    weights = torch.tensor([run.defence.weight for run in runs])
    piece = plugins.load("defence", defence.name)
    return Regularisation(piece, weights, piece.OPTIONS | defence.options)


def _fresh(fleet: Fleet, dataset: Dataset) -> Stack:
    piece = plugins.load("architecture", fleet.runs[0].architecture)
    shape, classes = dataset.images.shape[1:], len(dataset.classes)
    return Stack.initialised(piece.blocks(shape, classes), shape, classes, [run.seed for run in fleet.runs])


def _prepare(fleet: Fleet, dataset: Dataset, device: torch.device) -> tuple[Tensor, list[View]]:
    pool = Pool(dataset)
    views = [pool.view(run) for run in fleet.runs]
    return pool_of(pool.images()).to(device), views


def _on(split: Split, device: torch.device) -> Split:
    return Split(split.indices.to(device), split.labels.to(device))


def _to_cpu(stack: Stack) -> dict[str, Tensor]:
    return {name: tensor.cpu().contiguous() for name, tensor in stack.state().items()}


def _accuracies(stack: Stack, pool: Tensor, split: Split) -> list[float]:
    correct = (predict(stack, pool, split.indices) == split.labels).sum(1)
    return [count / split.labels.shape[1] for count in correct.tolist()]


def _measure(
    stack: Stack, pool: Tensor, runs: Sequence[Run], views: Sequence[View], epochs: Sequence[int]
) -> list[dict[str, Any]]:
    """A record a run: accuracies, and the success rate of every attack measured on it."""
    poisoned = _accuracies(stack, pool, _on(splits(views, "validation"), pool.device))
    clean = _accuracies(stack, pool, _on(splits(views, "clean_validation"), pool.device))
    joined = [np.concatenate([s.indices for s in view.successes] or [np.zeros(1, int)]) for view in views]
    width = max(map(len, joined))
    # Rows differ in length by the number of poison-class images left out; padding repeats the first image.
    padded = np.stack([np.pad(row, (0, width - len(row)), constant_values=row[0]) for row in joined])
    predicted = (
        logits_of(stack, pool, torch.from_numpy(padded).to(pool.device), _POOLING_BATCH)
        .argmax(-1)
        .cpu()
        .numpy()
    )
    records = []
    for k, (run, view) in enumerate(zip(runs, views, strict=True)):
        start, attacks = 0, []
        for success in view.successes:
            hits = predicted[k, start : start + len(success.indices)] == success.backdoor.poison_class
            start += len(success.indices)
            own = hits[success.classes == success.backdoor.source_class]
            attacks.append(
                {
                    "asr": float(hits.mean()),
                    "own_source_asr": float(own.mean()) if len(own) else None,
                    "images": len(hits),
                }
            )
        records.append(
            {
                "run": run.id,
                "epochs": epochs[k],
                "poisoned_accuracy": poisoned[k],
                "clean_accuracy": clean[k],
                "attacks": attacks,
            }
        )
    return records
