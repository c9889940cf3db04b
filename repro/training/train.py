"""Train and read K models of blocks in the fastest way: one by one on a CPU, stacked on any other device."""

from collections.abc import Sequence

from torch import Tensor

from repro.training import compiled, fleet
from repro.training.fleet import Observer, Regularisation, Split
from repro.training.recipe import Recipe
from repro.training.stack import Stack


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
    """The trained stack and how many epochs each model took (``repro.training.fleet`` says what is what)."""
    how = (stack, pool, training, validation, recipe, seeds, regularisation, purpose, observe)
    return compiled.train(*how) if compiled.serves(stack) else fleet.train(*how)


def logits_of(stack: Stack, pool: Tensor, indices: Tensor, batch: int = 512) -> Tensor:
    """Logits (K, n, classes) of each model on its own images, ``indices`` (K, n) into the pool.

    ``batch`` images of each model at a time, if they are stacked.
    """
    if compiled.serves(stack):
        return compiled.logits_of(stack, pool, indices)
    return fleet.logits_of(stack, pool, indices, batch)


def predict(stack: Stack, pool: Tensor, indices: Tensor) -> Tensor:
    """Predicted classes (K, n) of each model on its own images."""
    return logits_of(stack, pool, indices).argmax(-1)
