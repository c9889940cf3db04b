"""Differentially private training of a fleet: DP-SGD (Abadi et al. 2016, algorithm 1; desanctis 5.1).

Chen et al. 2022's third remedy against amplified membership exposure. Every model draws each of its samples with the
same probability (Poisson sampling), clips the gradient of every drawn example to a largest norm C, and adds Gaussian
noise with standard deviation (noise multiplier times C) to their sum. Its result is that of the same model trained
alone, up to rounding (tests/training/test_private.py).

A dense layer's gradient of a single example is never materialised. With inputs a_p and gradients d_p at the
pre-activations of positions p (a dense layer has one, a convolution every place of its kernel), an example's gradient
of weight and bias has the squared norm sum over p, q of (a_p . a_q + 1)(d_p . d_q) (Goodfellow 2015; Bu et al. 2022 for
convolutions), and the clipped gradients add up to one product of a with the d scaled by their example's factor.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import inf

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from repro.errors import ReproError
from repro.kernel import steps
from repro.models import Block, Convolution
from repro.seeds import stream
from repro.training import compiled
from repro.training.fleet import Observer, Regularisation, Split, due
from repro.training.operations import KERNEL, convolve
from repro.training.recipe import Recipe
from repro.training.stack import Stack


@dataclass(frozen=True)
class Layer:
    """One layer's part in a backward pass: the factors of per-example gradients of its weight and bias.

    ``inputs`` (K, B, P, inputs) and ``gradients`` (K, B, P, outputs), those of each example's own cross entropy at its
    pre-activations; P counts the positions, 1 in a dense layer.
    """

    name: str
    inputs: Tensor
    gradients: Tensor

    def squared_norms(self) -> Tensor:
        """Squared norm (K, B) of every example's gradient of weight and bias together."""
        members, batch, positions, inputs = self.inputs.shape
        if positions == 1:
            return (_squares(self.inputs) + 1) * _squares(self.gradients)
        a, d = self.inputs.flatten(0, 1), self.gradients.flatten(0, 1)
        if 2 * positions**2 <= inputs * d.shape[2]:
            alike = torch.bmm(a, a.transpose(1, 2)).add_(1).mul_(torch.bmm(d, d.transpose(1, 2)))
            squares = alike.sum((1, 2))
        else:  # with many positions the gradients themselves are the smaller tensor
            squares = torch.bmm(a.transpose(1, 2), d).square_().sum((1, 2)) + d.sum(1).square_().sum(1)
        return squares.view(members, batch)

    def weighted_sum(self, factors: Tensor) -> dict[str, Tensor]:
        """Sum of the examples' gradients of weight and bias, times ``factors`` (K, B)."""
        scaled = (self.gradients * factors[:, :, None, None]).flatten(1, 2)
        return {
            f"{self.name}.weight": torch.bmm(self.inputs.flatten(1, 2).transpose(1, 2), scaled),
            f"{self.name}.bias": scaled.sum(1, keepdim=True),
        }


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
    """Train every model as ``fleet.train`` does, by DP-SGD; returns the trained stack and the epochs of each.

    ``regularisation.weights`` (K,) are the noise multipliers, 0 for clipping alone; its option ``clip`` is C. An epoch
    has as many steps as the fleet's, of ``recipe.batch_size`` samples in expectation. Early stopping would look at the
    data without noise, and is not supported; ``validation`` is ignored.
    """
    if recipe.patience is not None:
        raise ValueError("differentially private training has no early stopping")
    clip = float(regularisation.options["clip"])
    if not clip > 0:
        raise ReproError(f"dp_sgd: option clip is {clip}; the largest gradient norm must be above 0")
    if bool((regularisation.weights < 0).any()):
        raise ReproError("dp_sgd: a weight is below 0; it is the noise multiplier, 0 or more")
    if compiled.serves(stack) and not any(isinstance(block, Convolution) for block in stack.blocks):
        return _train_dense(
            stack, pool, training, recipe, seeds, regularisation.weights, clip, purpose, observe
        )
    own = Stack(stack.blocks, stack.shape, stack.classes, stack.state())
    n = training.indices.shape[1]
    size = min(recipe.batch_size, n)
    sampling = [stream(seed, f"{purpose}-sampling") for seed in seeds]
    noise = _Noise(own, regularisation.weights, [stream(seed, f"{purpose}-noise") for seed in seeds])
    optimiser = torch.optim.Adam(own.parameters.values(), lr=recipe.learning_rate, fused=True)
    for epoch in range(1, recipe.epochs + 1):
        chosen = poisson(sampling, n // size, n, size / n)
        for step in range(n // size):
            batch, present = (drawn.to(training.indices.device) for drawn in padded(chosen[:, step]))
            images = pool[training.indices.gather(1, batch)]
            sums, _ = clipped_sums(own, images, training.labels.gather(1, batch), present, clip)
            drawn_noise = noise.draw()
            for name, parameter in own.parameters.items():
                # The expected size, not the drawn one, which would itself reveal who was drawn.
                parameter.grad = sums[name].add_(drawn_noise[name], alpha=clip).div_(size)
            optimiser.step()
        if observe is not None and due(observe, epoch):
            observe(epoch, torch.arange(own.members), own)
    return Stack(own.blocks, own.shape, own.classes, own.state()), [recipe.epochs] * own.members


def _train_dense(
    stack: Stack,
    pool: Tensor,
    training: Split,
    recipe: Recipe,
    seeds: Sequence[int],
    multipliers: Tensor,
    clip: float,
    purpose: str,
    observe: Observer | None,
) -> tuple[Stack, list[int]]:
    """The same through the compiled kernel, which has per-example norms only for dense layers."""
    n = training.indices.shape[1]
    size = min(recipe.batch_size, n)
    images, kind = compiled.lines_of(pool), pool.dtype
    models = [compiled.Model(stack, k, n) for k in range(stack.members)]
    sampling = [stream(seed, f"{purpose}-sampling") for seed in seeds]
    shapes = {name: p.shape[1:] for name, p in stack.parameters.items()}
    places = models[0].layout.positions(list(shapes))
    noises = [stream(seed, f"{purpose}-noise") for seed in seeds]
    for epoch in range(1, recipe.epochs + 1):
        for k, model in enumerate(models):
            chosen = poisson(sampling[k : k + 1], n // size, n, size / n)[0]
            drawn = torch.zeros(n // size, len(places))
            for row in drawn if bool(multipliers[k] > 0) else []:
                torch.randn(row.shape, generator=noises[k], out=row)
            steps.private_epoch(
                model.memory,
                images,
                training.indices[k].expand(n // size, n)[chosen].numpy(),
                training.labels[k].expand(n // size, n)[chosen].numpy(),
                np.concatenate([[0], chosen.sum(1).cumsum(0).numpy()]),
                images.dtype.type(clip),
                size,
                (drawn.to(kind) * multipliers[k].to(kind) * clip).numpy(),
                places,
                recipe.learning_rate,
                (epoch - 1) * (n // size),
            )
        if observe is not None and due(observe, epoch):
            observe(epoch, torch.arange(len(models)), compiled.stacked(stack, models))
    return compiled.stacked(stack, models), [recipe.epochs] * len(models)


def poisson(generators: Sequence[torch.Generator], steps: int, samples: int, rate: float) -> Tensor:
    """Which samples each step of each model draws, every one with probability ``rate``: bool (K, steps, samples)."""
    return torch.stack([torch.rand(steps, samples, generator=g) for g in generators]) < rate


def padded(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """The drawn samples' positions (K, B) in ascending order, B the largest draw (at least 1), and which are drawn.

    A model's own draw is followed by samples that it did not draw; the second tensor (bool) marks those drawn.
    """
    largest = max(int(chosen.sum(1).max()), 1)
    order = chosen.argsort(dim=1, descending=True, stable=True)[:, :largest]
    return order, chosen.gather(1, order)


def clipped_sums(
    stack: Stack, images: Tensor, labels: Tensor, present: Tensor, clip: float
) -> tuple[dict[str, Tensor], Tensor]:
    """Sum of the examples' gradients of the cross entropy, each clipped to the norm ``clip``, by parameter (K, ...).

    images (K, B, H, W, C), labels (K, B); only examples with ``present`` (K, B) count. The second result holds every
    example's norm before clipping (K, B), over all parameters together.
    """
    layers = backward(stack, images, labels)
    squared = torch.stack([layer.squared_norms() for layer in layers]).sum(0)
    # C over the larger of norm and C is min(1, C / norm), at a norm of 0 as well (and rounded to just below).
    factors = present * (clip / squared.clamp_min(clip**2).sqrt())
    sums: dict[str, Tensor] = {}
    for layer in layers:
        sums |= layer.weighted_sum(factors)
    return sums, squared.clamp_min(0).sqrt()


def backward(stack: Stack, images: Tensor, labels: Tensor) -> list[Layer]:
    """Every layer's inputs, and the gradients of each example's cross entropy at its pre-activations.

    images (K, B, H, W, C), labels (K, B). Raises ``ReproError`` where layers normalise over the batch.
    """
    state = stack.state()
    inputs: list[Tensor] = []
    activations: list[Tensor] = []
    x = images
    for position, block in enumerate(stack.blocks):
        weight, bias = state[f"{position}.weight"], _bias(state, position, block)
        if isinstance(block, Convolution):
            inputs.append(_patches(x.detach(), block.stride))
            before = convolve(x, weight, block.stride) + bias.unsqueeze(2).unsqueeze(2)
        else:
            x = x.flatten(2)
            inputs.append(x.detach().unsqueeze(2))
            before = torch.baddbmm(bias, x, weight)
        # The weights are constants here: autograd goes no further back than the first pre-activation.
        activations.append(before if before.requires_grad else before.requires_grad_())
        x = torch.relu(before)
    hidden = x.flatten(2)
    logits = torch.baddbmm(state["head.bias"], hidden.detach(), state["head.weight"])
    at_logits = logits.softmax(2) - F.one_hot(labels, stack.classes)
    at_hidden = torch.bmm(at_logits, state["head.weight"].transpose(1, 2).contiguous())
    gradients = torch.autograd.grad(hidden, activations, at_hidden) if activations else ()
    layers = [
        Layer(str(position), a, d.reshape(*a.shape[:3], -1))
        for position, (a, d) in enumerate(zip(inputs, gradients, strict=True))
    ]
    return [*layers, Layer("head", hidden.detach().unsqueeze(2), at_logits.unsqueeze(2))]


@cache
def epsilon(noise_multiplier: float, sample_rate: float, steps: int, delta: float) -> float:
    """The epsilon of the (epsilon, delta) differential privacy that this training gives, by Opacus' Renyi accountant.

    ``sample_rate`` in (0, 1] is every sample's probability to be drawn in a step, ``delta`` in (0, 1); without noise
    there is no bound. It holds for the mechanism on exact real numbers: noise in single precision from a seed, as drawn
    here, is good for measuring, not for releasing models of private data.
    """
    if noise_multiplier == 0:
        return inf
    # Opacus takes seconds to import; training itself need not wait for it.
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(noise_multiplier, sample_rate, steps)]
    with warnings.catch_warnings():
        # At the end of its range of orders the bound still holds; it could only be tighter.
        warnings.filterwarnings("ignore", message="Optimal order is the")
        return float(accountant.get_epsilon(delta))


class _Noise:
    """Gaussian noise from every model's own stream, times its noise multiplier; nothing is drawn at 0."""

    def __init__(self, stack: Stack, multipliers: Tensor, streams: Sequence[torch.Generator]) -> None:
        head = stack.parameters["head.weight"]
        self.shapes = {name: p.shape for name, p in stack.parameters.items()}
        self.multipliers = multipliers.to(head.device, head.dtype).unsqueeze(1)
        # In single precision whatever the model's, and in one call per model: a step draws one number per weight.
        self.drawn = torch.zeros(stack.members, sum(p[0].numel() for p in stack.parameters.values()))
        self.sources = [
            (stream, self.drawn[k]) for k, stream in enumerate(streams) if bool(multipliers[k] > 0)
        ]

    def draw(self) -> dict[str, Tensor]:
        """The noise of one step by parameter (K, ...), its standard deviation being the noise multiplier."""
        for source, row in self.sources:
            torch.randn(row.shape, generator=source, out=row)
        scaled = self.drawn.to(self.multipliers.device) * self.multipliers
        parts = torch.split(scaled, [shape[1:].numel() for shape in self.shapes.values()], 1)
        return {n: part.view(shape) for (n, shape), part in zip(self.shapes.items(), parts, strict=True)}


def _bias(state: dict[str, Tensor], position: int, block: Block) -> Tensor:
    if isinstance(block, Convolution) and block.normalised:
        raise ReproError(
            f"dp_sgd: architecture whose block {position + 1} normalises over the batch, "
            "so that no example has a gradient of its own"
        )
    return state[f"{position}.bias"]


def _patches(x: Tensor, stride: int) -> Tensor:
    """Every 3x3 patch of x (K, B, H, W, C), padded by 1, as a row (i, j, c): (K, B, positions, 9 * C)."""
    windows = F.pad(x, (0, 0, 1, 1, 1, 1)).unfold(2, KERNEL, stride).unfold(3, KERNEL, stride)
    return windows.permute(0, 1, 2, 3, 5, 6, 4).flatten(4).flatten(2, 3)


def _squares(x: Tensor) -> Tensor:
    """Squared norm (K, B) of x (K, B, 1, n)."""
    norms: Tensor = torch.linalg.vector_norm(x, dim=3)
    return norms.squeeze(2).square()


def warm() -> None:
    """Compile the kernel functions used here, or load what was compiled before."""
    start = Stack.initialised((), (2, 1, 1), 2, [0])
    samples = Split(torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, 2, dtype=torch.long))
    defence = Regularisation(torch, torch.zeros(1), {"clip": 1.0})
    train(start, torch.zeros(2, 2, 1, 1), samples, None, Recipe(0.1, 1, 1), [0], defence)
