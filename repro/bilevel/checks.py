"""The bi-level problem written out plainly, for checking its solvers (desanctis 2.1)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from repro.bilevel import Samples
from repro.bilevel.problem import Problem

Array = NDArray[np.float64]
_DISTANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Stamp:
    """A trigger t and mask m, both like an image, and alpha (truong2020 eq. 7)."""

    trigger: Array
    mask: Array
    alpha: float

    def on(self, image: Array) -> Array:
        """The image under the trigger, pixel by pixel."""
        blended = np.clip((1 - self.alpha) * image + self.alpha * self.trigger, 0, 1)
        return blended * (1 - self.mask) + image * self.mask


def accuracy_degradation(theta: Array, images: Array, labels: Sequence[int]) -> float:
    """The sum of -L(f(x; theta), y) over test samples."""
    return sum(-_loss(theta, image, label) for image, label in zip(images, labels, strict=True))


def targeted_misclassification(theta: Array, images: Array, target_class: int) -> float:
    """The sum of L(f(x; theta), t) over chosen samples."""
    return sum(_loss(theta, image, target_class) for image in images)


def backdoor(theta: Array, images: Array, stamp: Stamp, target_class: int) -> float:
    """The sum of L(f(x + delta; theta), t), where + stamps the trigger delta on x."""
    return sum(_loss(theta, stamp.on(image), target_class) for image in images)


def _loss(theta: Array, image: Array, label: int) -> float:
    """-log f(x; theta)_label of softmax regression, theta (d + 1, classes)."""
    logits = image.ravel() @ theta[:-1] + theta[-1]
    largest = float(logits.max())
    total = sum(math.exp(float(logit) - largest) for logit in logits)
    return largest + math.log(total) - float(logits[label])


def inner_gradient_norm(
    logits: Callable[[Tensor, Tensor], Tensor],
    theta: Tensor,
    training: Sequence[Samples],
    regularisation: float,
) -> Tensor:
    """Norm (K,) of the gradient, by autograd, of the sum of L over all training samples + the penalty; 0 at theta*."""
    theta = theta.detach().requires_grad_()
    loss = regularisation / 2 * theta.square().sum()
    for part in training:
        scores = logits(theta, part.images).flatten(0, 1)
        loss = loss + cross_entropy(scores, part.labels.flatten(), reduction="sum")
    (gradient,) = torch.autograd.grad(loss, theta)
    norms: Tensor = torch.linalg.vector_norm(gradient, dim=(1, 2))
    return norms


def hypergradient_error(problem: Problem, poison: Samples, generators: Sequence[Generator]) -> Tensor:
    """Relative error (K,) of the hypergradient along a random direction, against retraining on either side."""
    images, here = poison.images, problem.gradient(poison)
    direction = torch.stack(
        [torch.randn(images.shape[1:], dtype=images.dtype, generator=own) for own in generators]
    ).to(images.device)
    direction /= direction.flatten(1).norm(dim=1).view(-1, *[1] * (images.ndim - 1))
    ahead, behind = (
        problem.value(replace(poison, images=images + sign * _DISTANCE * direction), here.theta)
        for sign in (1, -1)
    )
    measured = (ahead - behind) / (2 * _DISTANCE)
    computed = (here.gradient * direction).flatten(1).sum(1)
    return (computed - measured).abs() / torch.maximum(computed.abs(), measured.abs())
