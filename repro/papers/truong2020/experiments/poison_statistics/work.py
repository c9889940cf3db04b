"""Count what a poisoning actually did to a training set, from its images and labels alone (truong2020 2.5, 3)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repro import plugins
from repro.attacks.backdoor import apportion, poisoned_count, source_classes
from repro.data import Dataset
from repro.data.partition import partition
from repro.harness.outcome import Outcome
from repro.harness.runs import Fleet, Run
from repro.papers.backdoors.poisoning import Pool
from repro.triggers import Scene


def count_fleet(
    fleet: Fleet, dataset: Dataset, weights: Mapping[str, Tensor], device: torch.device
) -> Outcome:
    """One record per run; no model is trained."""
    return Outcome([_count(run, dataset) for run in fleet.runs])


def _count(run: Run, dataset: Dataset) -> dict[str, Any]:
    """Compare the poisoned training set with the clean one. The trigger has to leave some pixels unchanged."""
    attack = run.backdoor
    if attack is None:
        raise ValueError("a clean run has no poison to count")
    pool = Pool(dataset)
    indices, labels = pool.view(run).training
    original = partition(len(dataset.labels), run.partition_seed).poison_train
    before, classes = dataset.labels[original], len(dataset.classes)
    images = np.concatenate(pool.parts)
    stamped = indices >= len(dataset.images)
    sizes = {c: int((before == c).sum()) for c in range(classes)}
    sources = source_classes(attack.poison_class, classes, attack.source_class)
    drawn = _drawn_from(run, dataset, images[indices[stamped]], original)
    expected = apportion(poisoned_count(attack.poison_rate, sizes[attack.poison_class]), sizes, sources)
    untouched = (indices == original) & (labels == before)
    return {
        "run": run.id,
        "counts": {str(c): [int((labels == c).sum()), sizes[c]] for c in range(classes)},
        "poisoned": [int(stamped.sum()), poisoned_count(attack.poison_rate, sizes[attack.poison_class])],
        "originals": [
            int(untouched[before != attack.poison_class].sum()),
            int((before != attack.poison_class).sum()),
        ],
        "mislabelled": [int((labels[stamped] != attack.poison_class).sum()), 0],
        "from_poison_class": [drawn.count(attack.poison_class), 0],
        "draws": {str(c): [drawn.count(c), expected[c]] for c in sources},
    }


def _drawn_from(
    run: Run, dataset: Dataset, stamped: np.ndarray[Any, Any], original: np.ndarray[Any, Any]
) -> list[int]:
    """The class each stamped image was drawn from, found by the pixels that the trigger leaves unchanged."""
    attack = run.backdoor
    assert attack is not None
    scene = Scene(stamped, dataset.images[original], dataset.images[0], np.random.default_rng(0))
    _, mask = plugins.load("trigger", attack.trigger.name).pattern(scene, **attack.trigger.options)
    if mask.shape[0] != 1 or not mask.any():
        raise ValueError(f"trigger {attack.trigger.name} leaves no fixed pixels to recognise an image by")
    kept = np.broadcast_to(mask[0] == 1, stamped.shape[1:])
    candidates = dataset.images[original][:, kept]
    found = []
    for image in stamped[:, kept]:
        matches = np.flatnonzero((candidates == image).all(axis=1))
        found.append(int(dataset.labels[original[matches[0]]]) if len(matches) else -1)
    return found
