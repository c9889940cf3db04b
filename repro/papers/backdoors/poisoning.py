"""Each run's view of its dataset: the partition, the backdoor's poison, and what success is measured on.

truong2020 section 3: the poison-set's two splits are poisoned; the clean-set never is; every image of the
adversarial-test set carries the trigger, and images of the poison class are left out of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from repro import plugins
from repro.attacks.backdoor import source_classes, supplant
from repro.data import Dataset, seeded_generator
from repro.data.partition import partition
from repro.harness.runs import Backdoor, Run
from repro.seeds import stream
from repro.training.fleet import Split
from repro.triggers import Scene, blend

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Success:
    """The indices of an attack's triggered images in the pool, and each image's class."""

    backdoor: Backdoor
    indices: Indices
    classes: Indices


@dataclass(frozen=True)
class View:
    """A run's samples as indices into the pool, and their labels; ``successes`` has one entry per attack measured."""

    training: tuple[Indices, Indices]
    validation: tuple[Indices, Indices]
    clean_training: tuple[Indices, Indices]
    clean_validation: tuple[Indices, Indices]
    successes: tuple[Success, ...]


class Pool:
    """The dataset's images, followed by every triggered image of the runs viewed so far."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.parts = [dataset.images]
        self.size = len(dataset.images)

    def images(self) -> Tensor:
        """All images (n, c, h, w) in [0, 1]."""
        return torch.from_numpy(np.concatenate(self.parts))

    def _add(self, images: npt.NDArray[np.float32]) -> Indices:
        self.parts.append(images)
        self.size += len(images)
        return np.arange(self.size - len(images), self.size)

    def view(self, run: Run) -> View:
        """The samples of a run; adds its triggered images to the pool."""
        labels = self.dataset.labels
        parts = partition(len(labels), run.partition_seed)
        sets = {
            "training": (parts.poison_train.copy(), labels[parts.poison_train]),
            "validation": (parts.poison_validation.copy(), labels[parts.poison_validation]),
        }
        successes = [
            self._attack(run, backdoor, sets if backdoor is run.backdoor else None)
            for backdoor in (*([run.backdoor] if run.backdoor else []), *run.probes)
        ]
        return View(
            training=sets["training"],
            validation=sets["validation"],
            clean_training=(parts.clean_train, labels[parts.clean_train]),
            clean_validation=(parts.clean_validation, labels[parts.clean_validation]),
            successes=tuple(successes),
        )

    def _attack(
        self, run: Run, backdoor: Backdoor, sets: dict[str, tuple[Indices, Indices]] | None
    ) -> Success:
        """Stamp the adversarial-test images and, if ``sets`` are given, poison these in place."""
        images, labels = self.dataset.images, self.dataset.labels
        parts = partition(len(labels), run.partition_seed)
        tested = parts.adversarial_test[labels[parts.adversarial_test] != backdoor.poison_class]
        sources = source_classes(backdoor.poison_class, len(self.dataset.classes), backdoor.source_class)
        chosen = {
            name: supplant(
                torch.from_numpy(labels_of),
                backdoor.poison_class,
                backdoor.poison_rate,
                sources,
                stream(run.seed, f"poison-{name}"),
            )
            for name, (_, labels_of) in (sets or {}).items()
        }
        copied = [(sets or {})[name][0][choice.copied.numpy()] for name, choice in chosen.items()]
        generator = seeded_generator(f"trigger/{run.seed}")
        scene = Scene(
            images=images[np.concatenate([tested, *copied])],
            training=images[parts.poison_train],
            outside=images[generator.choice(parts.clean_validation)],
            generator=generator,
        )
        piece = plugins.load("trigger", backdoor.trigger.name)
        trigger, mask = piece.pattern(scene, **backdoor.trigger.options)
        stamped = self._add(blend(scene.images, trigger, mask, backdoor.trigger.alpha))
        position = len(tested)
        for name, choice in chosen.items():
            # Replaced images are of the poison class, so their labels are already right.
            replaced = choice.replaced.numpy()
            (sets or {})[name][0][replaced] = stamped[position : position + len(replaced)]
            position += len(replaced)
        return Success(backdoor, stamped[: len(tested)], labels[tested])


def splits(views: Sequence[View], name: str) -> Split:
    """The named samples of several runs, stacked (K, n)."""
    pairs: list[tuple[Indices, Indices]] = [getattr(view, name) for view in views]
    return Split(*(torch.from_numpy(np.stack(arrays)) for arrays in zip(*pairs, strict=True)))
