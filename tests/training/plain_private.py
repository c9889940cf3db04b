"""Private training of a fleet, and its oracles: one model's examples one by one, and Opacus' own optimiser."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from plain_loop import PlainModel, Samples, alone
from side_by_side import SEEDS, Setting
from torch import Tensor

from repro import plugins
from repro.seeds import stream
from repro.training.fleet import Regularisation
from repro.training.private import train
from repro.training.recipe import Recipe
from repro.training.stack import Stack

CLIP = 0.7
MULTIPLIERS = [0.0, 0.5, 1.0, 2.0]
RECIPE = Recipe(learning_rate=0.01, batch_size=32, epochs=2)


def privately(
    s: Setting,
    stack: Stack,
    recipe: Recipe = RECIPE,
    *,
    multipliers: Sequence[float] = MULTIPLIERS,
    seeds: Sequence[int] = SEEDS,
    clip: float = CLIP,
    **others: Any,
) -> tuple[Stack, list[int]]:
    piece = plugins.load("defence", "dp_sgd")
    regularisation = Regularisation(piece, torch.tensor(multipliers), {"clip": clip})
    return train(stack, s.pool, s.training, None, recipe, seeds, regularisation, **others)


def clipped_one_by_one(
    model: PlainModel, images: Tensor, labels: Tensor, clip: float
) -> tuple[list[Tensor], list[float]]:
    """Sum of the examples' clipped gradients by parameter, and the norm of each before it was clipped."""
    sums = [torch.zeros_like(p) for p in model.parameters()]
    norms = []
    for image, label in zip(images, labels, strict=True):
        loss = F.cross_entropy(model(image.unsqueeze(0)), label.unsqueeze(0))
        own = torch.autograd.grad(loss, list(model.parameters()))
        norm = torch.cat([g.flatten() for g in own]).norm().item()
        factor = 1.0 if norm <= clip else clip / norm
        sums = [total + factor * gradient for total, gradient in zip(sums, own, strict=True)]
        norms.append(norm)
    return sums, norms


def samples_by_step(samples: int, recipe: Recipe, seed: int, purpose: str = "training") -> Iterator[Tensor]:
    """Positions of what each step draws, from the model's own stream."""
    generator = stream(seed, f"{purpose}-sampling")
    size = min(recipe.batch_size, samples)
    for _ in range(recipe.epochs):
        numbers = torch.rand(samples // size, samples, generator=generator)
        for row in numbers:
            yield torch.tensor([i for i, number in enumerate(row.tolist()) if number < size / samples]).long()


def train_one_by_one(
    stack: Stack,
    member: int,
    training: Samples,
    recipe: Recipe,
    seed: int,
    clip: float,
    multiplier: float,
    purpose: str = "training",
) -> PlainModel:
    """One model of a stack trained alone, by the algorithm as it is printed."""
    images, labels = training
    model = alone(stack, member)
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
    generator = stream(seed, f"{purpose}-noise")
    for drawn in samples_by_step(len(labels), recipe, seed, purpose):
        sums, _ = clipped_one_by_one(model, images[drawn], labels[drawn], clip)
        noise = _noise_in_layout_of(stack, generator)
        for parameter, total, own in zip(model.parameters(), sums, noise, strict=True):
            parameter.grad = (total + multiplier * clip * own) / min(recipe.batch_size, len(labels))
        optimiser.step()
    return model


def _noise_in_layout_of(stack: Stack, generator: torch.Generator) -> Sequence[Tensor]:
    """One step's standard normal numbers, drawn for a stack's parameters, as PyTorch lays them out."""
    counts = {name: parameter[0].numel() for name, parameter in stack.parameters.items()}
    numbers = torch.randn(sum(counts.values()), generator=generator).to(stack.parameters["head.bias"].dtype)
    parts = dict(zip(counts, numbers.split(list(counts.values())), strict=True))
    state = {name: parts[name].view_as(p[0]).unsqueeze(0) for name, p in stack.parameters.items()}
    return list(alone(Stack(stack.blocks, stack.shape, stack.classes, state), 0).parameters())


def train_by_opacus(
    model: PlainModel, training: Samples, recipe: Recipe, seed: int, clip: float, multiplier: float
) -> PlainModel:
    """Train a model in place by Opacus, on the samples that the fleet's model draws."""
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    images, labels = training
    private = GradSampleModule(model)
    optimiser = DPOptimizer(
        torch.optim.Adam(model.parameters(), lr=recipe.learning_rate),
        noise_multiplier=multiplier,
        max_grad_norm=clip,
        expected_batch_size=min(recipe.batch_size, len(labels)),
        generator=torch.Generator().manual_seed(seed),
    )
    for drawn in samples_by_step(len(labels), recipe, seed):
        optimiser.zero_grad()
        F.cross_entropy(private(images[drawn]), labels[drawn]).backward()
        optimiser.step()
    return model
