"""Train a fleet: K models at once, each with its own data, order, initialisation, weight and stopping time.

All models share one pool of images; what a model trains on is a row of indices into the pool, and a row of labels,
so that poisoning copies no dataset. A model that stops leaves the stack. Its result is that of the same model trained
alone, up to rounding (tests/training/test_fleet.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from repro.losses import Batch
from repro.seeds import stream
from repro.training.recipe import Recipe
from repro.training.stack import Stack

CENTRE = 0.5  # images in [0, 1] are shifted to be centred around zero

Observer = Callable[[int, Tensor, Stack], None]
"""Receives an epoch, the positions (K',) of the models still in training, and their stack."""


@dataclass(frozen=True)
class At:
    """An observer of some ``epochs`` only: no stack is assembled for it after other epochs."""

    epochs: tuple[int, ...]
    see: Observer

    def __call__(self, epoch: int, members: Tensor, stack: Stack) -> None:
        """Look at the models still in training after an epoch."""
        self.see(epoch, members, stack)


def due(observe: Observer | None, epoch: int) -> bool:
    """Whether an observer wants to see an epoch: all of them, if it has no ``epochs``."""
    return observe is not None and epoch in getattr(observe, "epochs", (epoch,))


@dataclass(frozen=True)
class Split:
    """Samples of K models: ``indices`` (K, n) into the pool and ``labels`` (K, n)."""

    indices: Tensor
    labels: Tensor

    def of(self, members: Tensor) -> "Split":
        """The rows of some models."""
        return Split(self.indices[members], self.labels[members])


@dataclass(frozen=True)
class Regularisation:
    """A defence's piece, the models' weights (K,) and the piece's options."""

    piece: ModuleType
    weights: Tensor
    options: dict[str, Any]


def pool_of(images: Tensor) -> Tensor:
    """The pool of images (n, c, h, w) in [0, 1] in the engine's layout: (n, h, w, c), centred."""
    return (images.permute(0, 2, 3, 1) - CENTRE).contiguous()


def train(
    stack: Stack,
    pool: Tensor,
    training: Split,
    validation: Split | None,
    recipe: Recipe,
    seeds: Sequence[int],
    regularisation: Regularisation,
    purpose: str = "training",
    observe: Observer | None = None,
) -> tuple[Stack, list[int]]:
    """Train every model; returns the trained stack and how many epochs each took.

    ``purpose`` names the random streams, so that retraining draws new numbers. ``observe`` is called after each epoch.
    Early stopping needs ``validation``.
    """
    if recipe.patience is not None and validation is None:
        raise ValueError("early stopping needs a validation split")
    run = _Progress(stack, seeds, regularisation, recipe, purpose)
    for epoch in range(1, recipe.epochs + 1):
        run.epoch(pool, training)
        if observe is not None and due(observe, epoch):
            observe(epoch, run.active, run.stack)
        finished = torch.full((len(run.active),), epoch == recipe.epochs)
        if recipe.patience is not None and validation is not None:
            part = validation.of(run.active)
            correct = (predict(run.stack, pool, part.indices) == part.labels).sum(1).cpu()
            finished |= run.stale(correct) >= recipe.patience
        run.retire(finished, epoch)
        if not len(run.active):
            break
    return Stack(stack.blocks, stack.shape, stack.classes, run.result), run.epochs


class _Progress:
    """The models still in training: their stack, optimiser, random streams and best accuracies."""

    def __init__(
        self,
        stack: Stack,
        seeds: Sequence[int],
        regularisation: Regularisation,
        recipe: Recipe,
        purpose: str,
    ) -> None:
        state = stack.state()
        device = state["head.weight"].device
        own = getattr(regularisation.piece, "learned", None)
        learned: dict[str, Tensor] = own(stack.members) if own else {}
        self.result = {name: torch.empty_like(tensor) for name, tensor in state.items()}
        self.stack = Stack(
            stack.blocks,
            stack.shape,
            stack.classes,
            state | {f"defence.{name}": tensor.to(device) for name, tensor in learned.items()},
        )
        self.regularisation, self.recipe = regularisation, recipe
        self.weights = regularisation.weights.to(device)
        self.active = torch.arange(stack.members)
        self.epochs = [0] * stack.members
        self.best = torch.full((stack.members,), -1)
        self.since = torch.zeros(stack.members, dtype=torch.long)
        self.orders = [stream(seed, f"{purpose}-order") for seed in seeds]
        self.noises = [stream(seed, f"{purpose}-defence") for seed in seeds]
        self.optimiser = self._adam()

    def _adam(self) -> torch.optim.Adam:
        # The fused update is one pass over memory, and its bias corrections are in float64.
        return torch.optim.Adam(self.stack.parameters.values(), lr=self.recipe.learning_rate, fused=True)

    def epoch(self, pool: Tensor, training: Split) -> None:
        """One pass of every active model over its own training samples."""
        part = training.of(self.active.to(training.indices.device))
        n = part.indices.shape[1]
        size = min(self.recipe.batch_size, n)
        steps = n // size
        order = torch.stack([torch.randperm(n, generator=g) for g in self.orders])[:, : steps * size]
        order = order.to(part.indices.device)
        indices, labels = part.indices.gather(1, order), part.labels.gather(1, order)
        count = getattr(self.regularisation.piece, "DRAWS", 0)
        draws = torch.stack([torch.rand(steps, size, count, generator=g) for g in self.noises]).to(
            pool.device
        )
        for step in range(steps):
            batch = slice(step * size, (step + 1) * size)
            self._step(pool[indices[:, batch]], labels[:, batch], draws[:, step])

    def _step(self, images: Tensor, labels: Tensor, draws: Tensor) -> None:
        hidden = self.stack.hidden(images, training=True)
        batch = Batch(hidden, self.stack.logits(hidden), labels, draws, self.stack.parameters)
        loss = self.regularisation.piece.loss(batch, self.weights, **self.regularisation.options)
        self.optimiser.zero_grad()
        # Models share no parameter, so the gradient of the sum is each model's own.
        loss.sum().backward()
        self.optimiser.step()

    def stale(self, correct: Tensor) -> Tensor:
        """Epochs since each active model's validation accuracy last improved, including ``correct`` (K',)."""
        better = correct > self.best
        self.best = torch.where(better, correct, self.best)
        self.since = torch.where(better, 0, self.since + 1)
        return self.since

    def retire(self, finished: Tensor, epoch: int) -> None:
        """Keep the results of finished models and remove them from the stack."""
        if not bool(finished.any()):
            return
        state = self.stack.state()
        leaving, staying = finished.nonzero().flatten(), (~finished).nonzero().flatten()
        for name, result in self.result.items():
            result[self.active[leaving]] = state[name][leaving]
        for member in self.active[leaving].tolist():
            self.epochs[member] = epoch
        self.active, self.best, self.since = self.active[staying], self.best[staying], self.since[staying]
        self.orders = [self.orders[i] for i in staying.tolist()]
        self.noises = [self.noises[i] for i in staying.tolist()]
        self.weights = self.weights[staying]
        moments = [self.optimiser.state[p] for p in self.stack.parameters.values()]
        self.stack = Stack(
            self.stack.blocks,
            self.stack.shape,
            self.stack.classes,
            {name: tensor[staying] for name, tensor in state.items()},
        )
        self.optimiser = self._adam()
        for parameter, kept in zip(self.stack.parameters.values(), moments, strict=True):
            if kept:
                self.optimiser.state[parameter] = {
                    "step": kept["step"],
                    "exp_avg": kept["exp_avg"][staying],
                    "exp_avg_sq": kept["exp_avg_sq"][staying],
                }


@torch.no_grad()
def logits_of(stack: Stack, pool: Tensor, indices: Tensor, batch: int = 512) -> Tensor:
    """Logits (K, n, classes) of each model on its own samples, ``indices`` (K, n) into the pool."""
    parts = [
        stack.logits(stack.hidden(pool[part], training=False)) for part in torch.split(indices, batch, dim=1)
    ]
    return torch.cat(parts, dim=1)


def predict(stack: Stack, pool: Tensor, indices: Tensor) -> Tensor:
    """Predicted classes (K, n) of each model on its own samples."""
    return logits_of(stack, pool, indices).argmax(-1)
