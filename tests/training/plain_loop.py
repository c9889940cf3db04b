"""The oracle of the fleet: one model of PyTorch's own modules, trained by the loop anyone would write.

Channels first, ``torch.optim.Adam`` as it comes, tensors and no DataLoader. Only the random streams are the project's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.models import Block, Convolution
from repro.seeds import stream
from repro.training.recipe import Recipe
from repro.training.stack import Stack

Samples = tuple[Tensor, Tensor]
"""Images (n, c, h, w), centred, and their labels (n,)."""


class PlainModel(nn.Module):
    """The blocks as layers, and the linear head."""

    def __init__(self, blocks: Sequence[Block], shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, height, width = shape
        flat = False
        for block in blocks:
            if isinstance(block, Convolution):
                layers.append(
                    nn.Conv2d(channels, block.channels, 3, block.stride, padding=1, bias=not block.normalised)
                )
                if block.normalised:
                    layers.append(nn.BatchNorm2d(block.channels))
                channels = block.channels
                height, width = -(-height // block.stride), -(-width // block.stride)
            else:
                if not flat:
                    layers.append(nn.Flatten())
                layers.append(nn.Linear(channels if flat else channels * height * width, block.features))
                flat, channels = True, block.features
            layers.append(nn.ReLU())
        if not flat:
            layers.append(nn.Flatten())
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(channels if flat else channels * height * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images))
        return logits


def alone(stack: Stack, member: int) -> PlainModel:
    """A copy of one model of a stack, its weights in PyTorch's layout."""
    model = PlainModel(stack.blocks, stack.shape, stack.classes)
    state = {name: tensor[member].clone() for name, tensor in stack.state().items()}
    model.to(state["head.weight"].dtype)
    layers = iter(layer for layer in model.body if not isinstance(layer, nn.ReLU | nn.Flatten))
    size: tuple[int, int, int] | None = (stack.shape[1], stack.shape[2], stack.shape[0])  # h, w, c
    with torch.no_grad():
        for position, block in enumerate(stack.blocks):
            layer, weight = next(layers), state[f"{position}.weight"]
            if isinstance(block, Convolution):
                assert size is not None
                layer.weight.copy_(weight.view(3, 3, size[2], block.channels).permute(3, 2, 0, 1))
                size = (-(-size[0] // block.stride), -(-size[1] // block.stride), block.channels)
                if block.normalised:
                    layer = next(layers)
                    layer.weight.copy_(state[f"{position}.scale"].flatten())
                    layer.running_mean.copy_(state[f"{position}.running_mean"].flatten())
                    layer.running_var.copy_(state[f"{position}.running_var"].flatten())
                layer.bias.copy_(state[f"{position}.{'shift' if block.normalised else 'bias'}"].flatten())
            else:
                layer.weight.copy_(_channels_first(weight, size).T)
                layer.bias.copy_(state[f"{position}.bias"].flatten())
                size = None
        model.head.weight.copy_(_channels_first(state["head.weight"], size).T)
        model.head.bias.copy_(state["head.bias"].flatten())
    return model


def _channels_first(weight: Tensor, size: tuple[int, int, int] | None) -> Tensor:
    """Rows (inputs, outputs) of what was flattened as (h, w, c), as if it were flattened as (c, h, w)."""
    if size is None:
        return weight
    return weight.view(*size, -1).permute(2, 0, 1, 3).reshape(weight.shape)


Loss = Callable[[PlainModel, Tensor, Tensor, Tensor], Tensor]
"""Of a model, a batch's hidden representation (B, D), labels (B,) and uniform numbers (B, draws)."""


def cross_entropy(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
    return F.cross_entropy(model.head(hidden), labels)


@dataclass
class Trained:
    """How a training went: the loss of every step, how many epochs it took."""

    losses: list[float]
    epochs: int


def train_alone(
    model: PlainModel,
    training: Samples,
    recipe: Recipe,
    seed: int,
    loss: Loss = cross_entropy,
    *,
    draws: int = 0,
    own: Sequence[nn.Parameter] = (),
    validation: Samples | None = None,
    purpose: str = "training",
    after_epoch: Callable[[int], None] | None = None,
) -> Trained:
    """Train a model in place; ``own`` are a defence's parameters, trained along."""
    images, labels = training
    order_stream, draw_stream = stream(seed, f"{purpose}-order"), stream(seed, f"{purpose}-defence")
    optimiser = torch.optim.Adam([*model.parameters(), *own], lr=recipe.learning_rate)
    size = min(recipe.batch_size, len(labels))
    losses: list[float] = []
    accuracies: list[float] = []
    for epoch in range(1, recipe.epochs + 1):
        model.train()
        order = torch.randperm(len(labels), generator=order_stream)
        steps = len(labels) // size
        numbers = torch.rand(steps, size, draws, generator=draw_stream).to(images.dtype)
        for step in range(steps):
            batch = order[step * size : (step + 1) * size]
            value = loss(model, model.body(images[batch]), labels[batch], numbers[step])
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            losses.append(value.item())
        if after_epoch is not None:
            after_epoch(epoch)
        if recipe.patience is not None:
            assert validation is not None
            accuracies.append(accuracy(model, validation))
            best_epoch = 1 + accuracies.index(max(accuracies))
            if epoch - best_epoch >= recipe.patience:
                return Trained(losses, epoch)
    return Trained(losses, recipe.epochs)


@torch.no_grad()
def logits_alone(model: PlainModel, images: Tensor) -> Tensor:
    model.eval()
    logits: Tensor = model(images)
    return logits


def accuracy(model: PlainModel, samples: Samples) -> float:
    images, labels = samples
    return (logits_alone(model, images).argmax(1) == labels).double().mean().item()


def largest_difference(one: PlainModel, other: PlainModel) -> float:
    """Over all parameters and running statistics, relative to the largest of each tensor."""
    others = other.state_dict()
    differences = [
        ((tensor - others[name]).abs().max() / others[name].abs().max().clamp_min(1e-3)).item()
        for name, tensor in one.state_dict().items()
        if tensor.is_floating_point()
    ]
    return max(differences)
