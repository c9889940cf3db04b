"""Train fleets of models backdoored with families of triggers, and measure how they generalise (desanctis 3.2, 4.1).

Poisoned images supplant poison-class images, many-to-one, as in truong2020 2.5, and each carries its own *seen*
trigger; the validation set that decides early stopping is poisoned in the same way. Success is measured on the
adversarial-test images that are not of the poison class, with fresh seen triggers, with held-out ones, and with near
misses. No model here trains on the clean-set, so clean accuracy is measured on the whole of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from repro import plugins
from repro.attacks.backdoor import source_classes, supplant
from repro.data import Dataset, seeded_generator
from repro.data.partition import partition
from repro.errors import ReproError
from repro.families import KINDS, SEEN, Array, prepared, stamp
from repro.harness.outcome import Outcome
from repro.harness.runs import Fleet, engine_of
from repro.papers.desanctis.experiments.families.runs import Family, FamilyRun
from repro.seeds import stream
from repro.training.engines import Engine
from repro.training.fleet import Regularisation, Split

Indices = npt.NDArray[np.int64]

_POOLING_BATCH = 128


@dataclass(frozen=True)
class View:
    """A run's samples, as indices into the pool and labels; ``triggered`` lists images by (family, kind of trigger)."""

    training: tuple[Indices, Indices]
    validation: tuple[Indices, Indices]
    clean_validation: tuple[Indices, Indices]
    clean_set: tuple[Indices, Indices]
    triggered: dict[tuple[str, str], Indices]


class FamilyPool:
    """The dataset's images as a fleet's runs see them, followed by every triggered image of the runs viewed so far."""

    def __init__(self, dataset: Dataset, enlarge: int, ink: float) -> None:
        self.labels, self.classes = dataset.labels, len(dataset.classes)
        self.clean = prepared(dataset.images, enlarge, ink)
        self.parts = [self.clean]
        self.size = len(self.clean)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image as models see it."""
        channels, height, width = self.clean.shape[1:]
        return channels, height, width

    def images(self) -> Tensor:
        """All images (n, c, h, w) in [0, 1]."""
        return torch.from_numpy(np.concatenate(self.parts))

    def view(self, run: FamilyRun) -> View:
        """The samples of a run; adds its triggered images to the pool. ReproError if there are too few images."""
        parts = partition(len(self.labels), run.seed)
        training = parts.poison_train[: run.members]
        if run.members is not None and len(training) < run.members:
            raise ReproError(
                f"families: unit {run.unit}: {run.members} training images wanted, there are {len(training)}"
            )
        sets = {"training": training, "validation": parts.poison_validation}
        tested = parts.adversarial_test[self.labels[parts.adversarial_test] != run.poison_class]
        if not len(tested):
            raise ReproError(f"families: unit {run.unit}: no adversarial-test image is of another class")
        clean_set = np.concatenate([parts.clean_train, parts.clean_validation])
        return View(
            training=self._poisoned(run, "training", sets["training"]),
            validation=self._poisoned(run, "validation", sets["validation"]),
            clean_validation=(parts.clean_validation, self.labels[parts.clean_validation]),
            clean_set=(clean_set, self.labels[clean_set]),
            triggered={
                (family.name, kind): self._stamped(family, kind, f"test-{kind}", run.seed, tested)
                for family in run.measured
                for kind in KINDS
            },
        )

    def _poisoned(self, run: FamilyRun, name: str, indices: Indices) -> tuple[Indices, Indices]:
        """A split with its poison: replaced images are of the poison class, so their labels are already right."""
        labels = self.labels[indices]
        if run.family is None:
            return indices, labels
        sources = source_classes(run.poison_class, self.classes, None)
        choice = supplant(
            torch.from_numpy(labels),
            run.poison_class,
            run.poison_rate,
            sources,
            stream(run.seed, f"poison-{name}"),
        )
        if name == "training" and not len(choice.replaced):
            raise ReproError(
                f"families: unit {run.unit}: poison rate {run.poison_rate} poisons none of "
                f"{int((labels == run.poison_class).sum())} images of class {run.poison_class}"
            )
        poisoned = indices.copy()
        copied = indices[choice.copied.numpy()]
        poisoned[choice.replaced.numpy()] = self._stamped(run.family, SEEN, name, run.seed, copied)
        return poisoned, labels

    def _stamped(self, family: Family, kind: str, purpose: str, seed: int, indices: Indices) -> Indices:
        """Images stamped with one drawn trigger each, as new images of the pool."""
        generator = seeded_generator(f"family/{family.name}/{purpose}/{seed}")
        piece = plugins.load("family", family.name)
        patterns, masks = piece.draw(kind, len(indices), self.shape, generator, **family.options)
        return self._add(stamp(self.clean[indices], patterns, masks))

    def _add(self, images: Array) -> Indices:
        self.parts.append(images)
        self.size += len(images)
        return np.arange(self.size - len(images), self.size)


def train_families(
    fleet: Fleet, dataset: Dataset, weights: Mapping[str, Tensor], device: torch.device
) -> Outcome:
    """Train every run from scratch on its poisoned part of the data, and measure it; ``weights`` are ignored."""
    runs: Sequence[FamilyRun] = fleet.runs
    first = runs[0]
    engine = cast(Engine, plugins.load("engine", engine_of(first.architecture)))
    pool = FamilyPool(dataset, first.enlarge, first.ink)
    views = [pool.view(run) for run in runs]
    images = engine.pool_of(pool.images(), device)
    piece = plugins.load("architecture", first.architecture)
    seeds = [run.seed for run in runs]
    undefended = Regularisation(plugins.load("defence", "none"), torch.zeros(len(runs)), {})
    trained, epochs = engine.train(
        engine.fresh(piece, pool.shape, len(dataset.classes), seeds, False, device),
        images,
        _stacked([view.training for view in views], device),
        _stacked([view.validation for view in views], device),
        first.recipe,
        seeds,
        undefended,
    )

    def correct(samples: list[tuple[Indices, Indices]]) -> list[float]:
        split = _stacked(samples, device)
        hits = engine.logits_of(trained, images, split.indices).argmax(-1) == split.labels
        return hits.double().mean(1).tolist()

    poisoned = correct([view.validation for view in views])
    clean = correct([view.clean_set for view in views])
    rates = _success_rates(engine, trained, images, runs, views, device)
    records = [
        {
            "run": run.id,
            "epochs": epochs[k],
            "poisoned_accuracy": poisoned[k],
            "clean_accuracy": clean[k],
            "families": rates[k],
        }
        for k, run in enumerate(runs)
    ]
    return Outcome(records, engine.state(trained))


def _stacked(samples: list[tuple[Indices, Indices]], device: torch.device) -> Split:
    """Several runs' samples as one split (K, n)."""
    indices, labels = (torch.from_numpy(np.stack(arrays)).to(device) for arrays in zip(*samples, strict=True))
    return Split(indices, labels)


def _success_rates(
    engine: Engine,
    models: Any,
    pool: Any,
    runs: Sequence[FamilyRun],
    views: Sequence[View],
    device: torch.device,
) -> list[dict[str, dict[str, float]]]:
    """The share of a run's triggered images classified as its poison class, by family and kind of trigger."""
    joined = [np.concatenate([*view.triggered.values()] or [np.zeros(1, np.int64)]) for view in views]
    width = max(map(len, joined))
    # Rows differ in length by poison-class images left out and by families measured; padding repeats an image.
    padded = np.stack([np.pad(row, (0, width - len(row)), constant_values=row[0]) for row in joined])
    indices = torch.from_numpy(padded).to(device)
    predicted = engine.logits_of(models, pool, indices, _POOLING_BATCH).argmax(-1).cpu().numpy()
    found = []
    for k, (run, view) in enumerate(zip(runs, views, strict=True)):
        rates: dict[str, dict[str, float]] = {family.name: {} for family in run.measured}
        start = 0
        for (family, kind), images in view.triggered.items():
            hits = predicted[k, start : start + len(images)] == run.poison_class
            rates[family][kind] = float(hits.mean())
            start += len(images)
        found.append(rates)
    return found
