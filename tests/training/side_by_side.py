"""One training done in three ways: as a fleet, through the compiled kernel, and in the plain loop, on digits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import torch
from plain_defences import BOUNDED, DRAWS, OPTIONS, START_OF_BETA, slow_loss
from plain_loop import PlainModel, Samples, Trained, alone, largest_difference, train_alone
from torch import Tensor, nn

from repro import plugins
from repro.data import load_dataset
from repro.losses import Batch
from repro.training import compiled
from repro.training.fleet import Regularisation, Split, pool_of, train
from repro.training.recipe import Recipe
from repro.training.stack import Stack

RECIPE = Recipe(learning_rate=0.01, batch_size=32, epochs=3)
SEEDS = [11, 12, 13, 14]
WEIGHTS = [0.05, 0.3, 1.0, 0.6]


@dataclass
class Setting:
    """A fleet to be: its pool, its models' own samples, and the numbers it computes in."""

    images: Tensor
    training: Split
    validation: Split
    dtype: torch.dtype

    @property
    def pool(self) -> Tensor:
        return pool_of(self.images).to(self.dtype)

    def alone(self, split: Split, member: int) -> Samples:
        images = (self.images[split.indices[member]] - 0.5).to(self.dtype)
        return images, split.labels[member]

    def stack(self, architecture: str, seeds: Sequence[int] = SEEDS) -> Stack:
        blocks = plugins.load("architecture", architecture).blocks((1, 8, 8), 10)
        drawn = Stack.initialised(blocks, (1, 8, 8), 10, seeds)
        return Stack(blocks, (1, 8, 8), 10, {n: t.to(self.dtype) for n, t in drawn.state().items()})


def setting(members: int = 4, size: int = 140, dtype: torch.dtype = torch.float64) -> Setting:
    """Digits; every model has samples of its own, and a tenth of its labels wrong in its own way."""
    data = load_dataset("digits", Path())
    generator = torch.Generator().manual_seed(0)
    labels = torch.from_numpy(data.labels)
    indices = torch.stack([torch.randperm(len(labels), generator=generator) for _ in range(members)])
    indices = indices[:, : size + 50]
    own = labels[indices]
    wrong = torch.rand(own.shape, generator=generator) < 0.1
    own = torch.where(wrong, torch.randint(0, 10, own.shape, generator=generator), own)
    return Setting(
        torch.from_numpy(data.images),
        Split(indices[:, :size], own[:, :size]),
        Split(indices[:, size:], own[:, size:]),
        dtype,
    )


@dataclass
class Recorder:
    """A defence's piece that looks on: the loss (K',) of every step, and the margin loss's boundary."""

    piece: ModuleType
    dtype: torch.dtype
    losses: list[Tensor] = field(default_factory=list)
    betas: list[Tensor] = field(default_factory=list)

    def as_piece(self) -> ModuleType:
        def loss(batch: Batch, weight: Tensor, **options: Any) -> Tensor:
            value = self.piece.loss(replace(batch, draws=batch.draws.to(self.dtype)), weight, **options)
            self.losses.append(value.detach())
            if "defence.beta" in batch.parameters:
                self.betas.append(batch.parameters["defence.beta"].detach().clone())
            return cast(Tensor, value)

        own = {name: getattr(self.piece, name) for name in ("DRAWS",) if hasattr(self.piece, name)}
        if hasattr(self.piece, "learned"):
            own["learned"] = lambda k: {n: t.to(self.dtype) for n, t in self.piece.learned(k).items()}
        return cast(ModuleType, SimpleNamespace(loss=loss, **own))


@dataclass
class Both:
    """The same training as a fleet, through the kernel, and model by model."""

    stack: Stack
    epochs: list[int]
    recorder: Recorder
    models: list[PlainModel]
    trained: list[Trained]
    betas: list[float]
    compiled: Stack
    compiled_epochs: list[int]

    def differences(self) -> list[float]:
        return [largest_difference(alone(self.stack, k), model) for k, model in enumerate(self.models)]

    def compiled_differences(self) -> list[float]:
        return [largest_difference(alone(self.compiled, k), model) for k, model in enumerate(self.models)]


def in_fleet(
    s: Setting,
    stack: Stack,
    recipe: Recipe = RECIPE,
    defence: str = "none",
    *,
    seeds: Sequence[int] = SEEDS,
    weights: Sequence[float] = WEIGHTS,
    purpose: str = "training",
    observe: Callable[[int, Tensor, Stack], None] | None = None,
) -> tuple[Stack, list[int], Recorder]:
    recorder = Recorder(plugins.load("defence", defence), s.dtype)
    regularisation = Regularisation(
        recorder.as_piece(), torch.tensor(weights, dtype=s.dtype), OPTIONS.get(defence, {})
    )
    validation = s.validation if recipe.patience is not None else None
    trained, epochs = train(
        stack, s.pool, s.training, validation, recipe, seeds, regularisation, purpose, observe
    )
    return trained, epochs, recorder


def through_kernel(
    s: Setting,
    stack: Stack,
    recipe: Recipe = RECIPE,
    defence: str = "none",
    *,
    seeds: Sequence[int] = SEEDS,
    weights: Sequence[float] = WEIGHTS,
    purpose: str = "training",
    observe: Callable[[int, Tensor, Stack], None] | None = None,
    piece: ModuleType | None = None,
) -> tuple[Stack, list[int]]:
    """The same by ``compiled.train``; a ``piece`` of another name than the kernel knows goes through PyTorch."""
    own = piece or plugins.load("defence", defence)
    regularisation = Regularisation(own, torch.tensor(weights, dtype=s.dtype), OPTIONS.get(defence, {}))
    validation = s.validation if recipe.patience is not None else None
    return compiled.train(
        stack, s.pool, s.training, validation, recipe, seeds, regularisation, purpose, observe
    )


def both(
    s: Setting,
    architecture: str,
    recipe: Recipe = RECIPE,
    defence: str = "none",
    *,
    purpose: str = "training",
    seeds: Sequence[int] = SEEDS,
    weights: Sequence[float] = WEIGHTS,
) -> Both:
    stack = s.stack(architecture, seeds)
    result, epochs, recorder = in_fleet(
        s, stack, recipe, defence, seeds=seeds, weights=weights, purpose=purpose
    )
    models = [alone(stack, k) for k in range(len(seeds))]
    betas = [nn.Parameter(torch.tensor(START_OF_BETA).to(s.dtype)) for _ in seeds]
    trained = [
        train_alone(
            model,
            s.alone(s.training, k),
            recipe,
            seeds[k],
            slow_loss(defence, weights[k], betas[k]),
            draws=DRAWS.get(defence, 0),
            own=[betas[k]] if defence in BOUNDED else [],
            validation=s.alone(s.validation, k),
            purpose=purpose,
        )
        for k, model in enumerate(models)
    ]
    by_kernel, its_epochs = through_kernel(
        s, stack, recipe, defence, seeds=seeds, weights=weights, purpose=purpose
    )
    start = [beta.item() for beta in betas]
    return Both(result, epochs, recorder, models, trained, start, by_kernel, its_epochs)
