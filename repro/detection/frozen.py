"""A trained stack with fixed weights, for attacks that need only the gradient with respect to its input.

Batch normalisation with running statistics is affine and is folded into the weights. A convolution of a small image is
written out as its matrix: at 8x8 this takes seven times as many multiplications, but no patches are copied back and
forth. Together they halve the time of a search's step.
"""

from math import prod

import torch
from torch import Tensor

from repro.models import Convolution
from repro.training.operations import KERNEL, convolve
from repro.training.stack import EPSILON, Stack

# Up to this size a convolution's matrix takes at most 8 times as many multiplications.
_DENSE_PIXELS = 8 * KERNEL * KERNEL


class Frozen:
    """K models of images (h, w, c) without gradients of their weights; the stack's own logits up to float rounding."""

    def __init__(self, stack: Stack) -> None:
        channels, height, width = stack.shape
        self.members, self.classes = stack.members, stack.classes
        state = stack.state()
        size = (height, width, channels)
        self._layers: list[tuple[Tensor, Tensor, int, tuple[int, ...]]] = []
        for position, block in enumerate(stack.blocks):
            weight, bias = _affine(state, position)
            stride = 0
            if isinstance(block, Convolution):
                stride, rows, columns = block.stride, -(-size[0] // block.stride), -(-size[1] // block.stride)
                if size[0] * size[1] <= _DENSE_PIXELS:
                    weight, bias, stride = _matrix(weight, size, stride), bias.repeat(1, 1, rows * columns), 0
                after = (rows, columns, block.channels)
            else:
                after = (1, 1, block.features)
            self._layers.append((weight, bias, stride, size))
            size = after
        self._layers.append((state["head.weight"], state["head.bias"], 0, size))

    def logits(self, images: Tensor) -> Tensor:
        """Logits (K, B, classes) of images (K, B, h, w, c), centred."""
        x = images
        for position, (weight, bias, stride, size) in enumerate(self._layers):
            if position:
                x = torch.relu(x)
            if stride:
                x = convolve(x.reshape(*x.shape[:2], *size), weight, stride) + bias[:, :, None, None]
            else:
                x = torch.baddbmm(bias, x.reshape(*x.shape[:2], -1), weight)
        return x


def _affine(state: dict[str, Tensor], position: int) -> tuple[Tensor, Tensor]:
    """A block's weight (K, inputs, outputs) and bias (K, 1, outputs), its normalisation folded in."""
    weight = state[f"{position}.weight"]
    if f"{position}.bias" in state:
        return weight, state[f"{position}.bias"]
    variance, mean = state[f"{position}.running_var"], state[f"{position}.running_mean"]
    factor = state[f"{position}.scale"] * (variance + EPSILON).rsqrt()
    return weight * factor, state[f"{position}.shift"] - mean * factor


def _matrix(weight: Tensor, size: tuple[int, int, int], stride: int) -> Tensor:
    """The convolution of images of ``size`` (h, w, c) as matrices (K, h * w * c, outputs)."""
    inputs = prod(size)
    units = torch.eye(inputs, dtype=weight.dtype, device=weight.device).view(inputs, *size)
    return convolve(units.expand(len(weight), *units.shape), weight, stride).flatten(2)
