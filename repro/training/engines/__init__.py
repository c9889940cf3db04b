"""What trains architectures: one file per engine, named by the architectures that need it.

An architecture's piece may define ``ENGINE``; the default is ``stacked``. An engine's piece defines ``OPTIONS``, the
recipe options that it understands, with their defaults, and the functions of ``Engine``. K is the number of models;
images are float32 (n, c, h, w) in [0, 1].
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Protocol

import torch
from torch import Tensor

from repro.training.fleet import Regularisation, Split
from repro.training.recipe import Recipe


class Engine(Protocol):
    """The functions of an engine's module; ``models`` is the engine's own representation of K models."""

    OPTIONS: dict[str, Any]

    @staticmethod
    def pool_of(images: Tensor, device: torch.device) -> Any:
        """Images as the engine wants them, on the device."""

    @staticmethod
    def fresh(
        piece: ModuleType,
        shape: tuple[int, int, int],
        classes: int,
        seeds: Sequence[int],
        pretrained: bool,
        device: torch.device,
    ) -> Any:
        """K models before training, drawn from their own seeds or from published weights; never silently the other.

        Raises ReproError when published weights are asked for but not available.
        """

    @staticmethod
    def restored(
        piece: ModuleType,
        shape: tuple[int, int, int],
        classes: int,
        weights: dict[str, Tensor],
        device: torch.device,
    ) -> Any:
        """K models with ``weights`` as returned by ``state``."""

    @staticmethod
    def train(
        models: Any,
        pool: Any,
        training: Split,
        validation: Split | None,
        recipe: Recipe,
        seeds: Sequence[int],
        regularisation: Regularisation,
        purpose: str = "training",
    ) -> tuple[Any, list[int]]:
        """The trained models, and how many epochs each took."""

    @staticmethod
    def logits_of(models: Any, pool: Any, indices: Tensor, batch: int = 512) -> Tensor:
        """Logits (K, n, classes) of each model on its own images, ``indices`` (K, n) into the pool."""

    @staticmethod
    def state(models: Any) -> dict[str, Tensor]:
        """All weights by name, on the CPU, with the models as the first dimension."""
