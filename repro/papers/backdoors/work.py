"""Train, and retrain, fleets of backdoored and clean models, and measure them (truong2020 section 3)."""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from repro import plugins
from repro.data import Dataset
from repro.harness.outcome import Outcome
from repro.harness.runs import Fleet, Run, engine_of
from repro.papers.backdoors.poisoning import Pool, View, splits
from repro.training.engines import Engine
from repro.training.fleet import Regularisation, Split

_POOLING_BATCH = 128


def train_fleet(
    fleet: Fleet, dataset: Dataset, weights: Mapping[str, Tensor], device: torch.device
) -> Outcome:
    """Train every run on its poison-set from scratch; ``weights`` are ignored."""
    engine, piece = _pieces(fleet)
    pool, views = _prepare(engine, fleet, dataset, device)
    first = fleet.runs[0]
    seeds = [run.seed for run in fleet.runs]
    trained, epochs = engine.train(
        engine.fresh(piece, dataset.images.shape[1:], len(dataset.classes), seeds, first.pretrained, device),
        pool,
        _on(splits(views, "training"), device),
        _on(splits(views, "validation"), device),
        first.recipe,
        seeds,
        regularisation(fleet.runs),
    )
    return Outcome(_measure(engine, trained, pool, fleet.runs, views, epochs, device), engine.state(trained))


def retrain_fleet(
    fleet: Fleet, dataset: Dataset, weights: Mapping[str, Tensor], device: torch.device
) -> Outcome:
    """Continue from trained ``weights`` on the clean training set, for a fixed number of epochs, undefended."""
    recipe = fleet.runs[0].retraining
    if recipe is None:
        raise ValueError("these runs have no retraining recipe")
    engine, piece = _pieces(fleet)
    pool, views = _prepare(engine, fleet, dataset, device)
    undefended = Regularisation(plugins.load("defence", "none"), torch.zeros(len(fleet.runs)), {})
    trained, epochs = engine.train(
        engine.restored(piece, dataset.images.shape[1:], len(dataset.classes), dict(weights), device),
        pool,
        _on(splits(views, "clean_training"), device),
        None,
        recipe,
        [run.seed for run in fleet.runs],
        undefended,
        purpose="retraining",
    )
    return Outcome(_measure(engine, trained, pool, fleet.runs, views, epochs, device), engine.state(trained))


def regularisation(runs: Sequence[Run]) -> Regularisation:
    """The defence that a fleet's runs share, with each run's own weight."""
    defence = runs[0].defence
    weights = torch.tensor([run.defence.weight for run in runs])
    piece = plugins.load("defence", defence.name)
    return Regularisation(piece, weights, piece.OPTIONS | defence.options)


def _pieces(fleet: Fleet) -> tuple[Engine, ModuleType]:
    """The engine of a fleet's architecture, and the architecture."""
    name = fleet.runs[0].architecture
    return cast(Engine, plugins.load("engine", engine_of(name))), plugins.load("architecture", name)


def _prepare(engine: Engine, fleet: Fleet, dataset: Dataset, device: torch.device) -> tuple[Any, list[View]]:
    pool = Pool(dataset)
    views = [pool.view(run) for run in fleet.runs]
    return engine.pool_of(pool.images(), device), views


def _on(split: Split, device: torch.device) -> Split:
    return Split(split.indices.to(device), split.labels.to(device))


def _accuracies(engine: Engine, models: Any, pool: Any, split: Split) -> list[float]:
    correct = (engine.logits_of(models, pool, split.indices).argmax(-1) == split.labels).sum(1)
    return [count / split.labels.shape[1] for count in correct.tolist()]


def _measure(
    engine: Engine,
    models: Any,
    pool: Any,
    runs: Sequence[Run],
    views: Sequence[View],
    epochs: Sequence[int],
    device: torch.device,
) -> list[dict[str, Any]]:
    """One record per run: accuracies, and the success rate of every attack measured on it."""
    poisoned = _accuracies(engine, models, pool, _on(splits(views, "validation"), device))
    clean = _accuracies(engine, models, pool, _on(splits(views, "clean_validation"), device))
    joined = [np.concatenate([s.indices for s in view.successes] or [np.zeros(1, int)]) for view in views]
    width = max(map(len, joined))
    # Rows differ in length, as poison-class images are left out; padding repeats the first image.
    padded = np.stack([np.pad(row, (0, width - len(row)), constant_values=row[0]) for row in joined])
    predicted = (
        engine.logits_of(models, pool, torch.from_numpy(padded).to(device), _POOLING_BATCH)
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
