"""K models of one architecture as one set of stacked tensors, the first dimension counting the models."""

from collections.abc import Sequence
from math import prod, sqrt

import torch
from torch import Tensor

from repro.models import Block, Convolution
from repro.seeds import stream
from repro.training.operations import KERNEL, convolve, normalise

MOMENTUM = 0.1
EPSILON = 1e-5


def _uniform(shape: tuple[int, ...], fan_in: int, generator: torch.Generator) -> Tensor:
    """PyTorch's default initialisation of linear and convolutional layers: U(-1, 1) / sqrt(fan-in)."""
    return (torch.rand(shape, generator=generator) * 2 - 1) / sqrt(fan_in)


class Stack:
    """Parameters and running statistics of K models, and their forward pass.

    ``parameters`` and ``buffers`` map names to tensors (K, ...). Weights are (K, inputs, outputs); a convolution's
    inputs are its 3x3 patch ordered (row, column, channel), and what is flattened is ordered (row, column, channel).
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        shape: tuple[int, int, int],
        classes: int,
        state: dict[str, Tensor],
    ) -> None:
        self.blocks, self.shape, self.classes = tuple(blocks), shape, classes
        self.parameters = {
            n: t.detach().clone().requires_grad_() for n, t in state.items() if "running" not in n
        }
        self.buffers = {n: t.detach().clone() for n, t in state.items() if "running" in n}

    @classmethod
    def initialised(
        cls, blocks: Sequence[Block], shape: tuple[int, int, int], classes: int, seeds: Sequence[int]
    ) -> "Stack":
        """K new models, each drawn from its own seed's ``initialisation`` stream."""
        members = [_initial(blocks, shape, classes, seed) for seed in seeds]
        return cls(blocks, shape, classes, {n: torch.stack([m[n] for m in members]) for n in members[0]})

    @property
    def members(self) -> int:
        """K, the number of models."""
        return self.parameters["head.weight"].shape[0]

    def state(self) -> dict[str, Tensor]:
        """All tensors by name, detached."""
        return {n: t.detach() for n, t in (self.parameters | self.buffers).items()}

    def to(self, device: torch.device) -> "Stack":
        """A copy on a device."""
        return Stack(
            self.blocks, self.shape, self.classes, {n: t.to(device) for n, t in self.state().items()}
        )

    def hidden(self, images: Tensor, training: bool) -> Tensor:
        """Final hidden representation (K, B, D) of images (K, B, H, W, C); training updates running statistics."""
        x = images
        for position, block in enumerate(self.blocks):
            weight = self.parameters[f"{position}.weight"]
            if isinstance(block, Convolution):
                x = convolve(x, weight, block.stride)
                if block.normalised:
                    x = self._normalised(x, position, training)
                else:
                    x = x + self.parameters[f"{position}.bias"].unsqueeze(2).unsqueeze(2)
            else:
                x = torch.baddbmm(self.parameters[f"{position}.bias"], x.flatten(2), weight)
            x = torch.relu(x)
        return x.flatten(2)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (K, B, classes) of hidden representations (K, B, D)."""
        return torch.baddbmm(self.parameters["head.bias"], hidden, self.parameters["head.weight"])

    def _normalised(self, x: Tensor, position: int, training: bool) -> Tensor:
        k, c = x.shape[0], x.shape[-1]
        scale, shift = self.parameters[f"{position}.scale"], self.parameters[f"{position}.shift"]
        mean, variance = self.buffers[f"{position}.running_mean"], self.buffers[f"{position}.running_var"]
        rows = x.reshape(k, -1, c)
        if training:
            rows, batch_mean, batch_variance = normalise(rows, scale, shift, EPSILON)
            count = rows.shape[1]
            mean.lerp_(batch_mean, MOMENTUM)
            variance.lerp_(batch_variance * (count / (count - 1)), MOMENTUM)
        else:
            factor = scale * (variance + EPSILON).rsqrt()
            rows = torch.addcmul(shift - mean * factor, rows, factor)
        return rows.view(x.shape)


def _initial(
    blocks: Sequence[Block], shape: tuple[int, int, int], classes: int, seed: int
) -> dict[str, Tensor]:
    generator = stream(seed, "initialisation")
    channels, height, width = shape
    state: dict[str, Tensor] = {}
    size = (height, width, channels)
    for position, block in enumerate(blocks):
        if isinstance(block, Convolution):
            fan_in = KERNEL * KERNEL * size[2]
            size = ((size[0] - 1) // block.stride + 1, (size[1] - 1) // block.stride + 1, block.channels)
            outputs = block.channels
        else:
            fan_in, outputs, size = prod(size), block.features, (1, 1, block.features)
        state[f"{position}.weight"] = _uniform((fan_in, outputs), fan_in, generator)
        if isinstance(block, Convolution) and block.normalised:
            state[f"{position}.scale"], state[f"{position}.shift"] = (
                torch.ones(1, outputs),
                torch.zeros(1, outputs),
            )
            state[f"{position}.running_mean"] = torch.zeros(1, outputs)
            state[f"{position}.running_var"] = torch.ones(1, outputs)
        else:
            state[f"{position}.bias"] = _uniform((1, outputs), fan_in, generator)
    fan_in = prod(size)
    state["head.weight"] = _uniform((fan_in, classes), fan_in, generator)
    state["head.bias"] = _uniform((1, classes), fan_in, generator)
    return state
