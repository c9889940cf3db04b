"""Small models of blocks, kept as one stack: trained one by one on a CPU, and all at once on any other device."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from repro.errors import ReproError
from repro.training import fleet
from repro.training import train as blocks
from repro.training.fleet import Regularisation, Split
from repro.training.recipe import Recipe
from repro.training.stack import Stack

OPTIONS: dict[str, Any] = {}

logits_of = blocks.logits_of


def pool_of(images: Tensor, device: torch.device) -> Tensor:
    """The pool (n, h, w, c), centred around zero."""
    return fleet.pool_of(images).to(device)


def fresh(
    piece: ModuleType,
    shape: tuple[int, int, int],
    classes: int,
    seeds: Sequence[int],
    pretrained: bool,
    device: torch.device,
) -> Stack:
    """A stack of K models, each drawn from its own seed; there are no published weights for these architectures."""
    if pretrained:
        raise ReproError(
            f"{piece.__name__.rpartition('.')[2]}: there are no published weights; pretrained: false"
        )
    return Stack.initialised(piece.blocks(shape, classes), shape, classes, seeds).to(device)


def restored(
    piece: ModuleType,
    shape: tuple[int, int, int],
    classes: int,
    weights: dict[str, Tensor],
    device: torch.device,
) -> Stack:
    """The stack that ``state`` was taken from."""
    return Stack(piece.blocks(shape, classes), shape, classes, weights).to(device)


def train(
    models: Stack,
    pool: Tensor,
    training: Split,
    validation: Split | None,
    recipe: Recipe,
    seeds: Sequence[int],
    regularisation: Regularisation,
    purpose: str = "training",
) -> tuple[Stack, list[int]]:
    """Train every model (``repro.training.train``)."""
    return blocks.train(models, pool, training, validation, recipe, seeds, regularisation, purpose)


def state(models: Stack) -> dict[str, Tensor]:
    """Stacked tensors by name."""
    return {name: tensor.cpu().contiguous() for name, tensor in models.state().items()}
