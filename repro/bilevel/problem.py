"""The bi-level problem itself (an objective, an inner model and clean samples) and its solvers (desanctis 2.1)."""

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from repro.bilevel import Samples
from repro.bilevel.inner import Inner
from repro.bilevel.objectives import Objective


class Slope(NamedTuple):
    """A problem evaluated at some poisons: the value (K,), its gradient by their images, and theta*."""

    value: Tensor
    gradient: Tensor
    theta: Tensor


@dataclass(frozen=True, eq=False)
class Problem:
    """Find the poisons that minimise ``objective`` at the optimum of ``inner`` on ``clean`` samples and poisons."""

    objective: Objective
    inner: Inner
    clean: Samples

    def attained(self, theta: Tensor) -> Tensor:
        """The objective's value (K,) at given parameters."""
        return self.objective.value(self.inner.logits(theta, self.objective.inputs))

    @torch.no_grad()
    def value(self, poison: Samples, start: Tensor | None = None) -> Tensor:
        """The objective's value (K,) after training with the poisons (possibly none); ``start`` is a theta nearby."""
        return self.attained(self.inner.fit(poison, self.clean, start))

    def gradient(self, poison: Samples, start: Tensor | None = None) -> Slope:
        """Also the hypergradient, shaped like the poisons' images."""
        images = poison.images.detach().requires_grad_()
        theta = self.inner.fit(replace(poison, images=images), self.clean, start)
        value = self.attained(theta)
        # The problems are independent, so the sum's gradient holds each problem's own.
        (gradient,) = torch.autograd.grad(value.sum(), images)
        return Slope(value.detach(), gradient, theta.detach())


class Solver(Protocol):
    """An attack: how poisons are found."""

    def solve(self, problem: Problem, start: Samples) -> Samples:
        """Poisons for each of the K problems, as many as in ``start``, whose images are in [0, 1]."""
