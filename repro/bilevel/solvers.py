"""Attacks as solvers of the bi-level problem (desanctis 2.1): by hypergradient, by labels, by feature collision."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from repro.attacks.feature_collision import collide
from repro.bilevel import Samples
from repro.bilevel.problem import Problem, Slope


@dataclass(frozen=True)
class GradientDescent:
    """Moves the poisons' images down the hypergradient, within [0, 1]; their labels stay.

    At first, a problem's pixel with the steepest slope moves by ``step``, the others in proportion. A step that does
    not lower a problem's objective is undone and halved. With ``radius``, no pixel moves further than that from its
    start: a clean-label attack if the start carries true labels.
    """

    iterations: int
    step: float
    radius: float | None = None

    def solve(self, problem: Problem, start: Samples) -> Samples:
        """Poisons whose objective is no higher than the start's."""
        reach = 1.0 if self.radius is None else self.radius
        low, high = (start.images - reach).clamp_min(0), (start.images + reach).clamp_max(1)
        poison, now = start, problem.gradient(start)
        steps = torch.full_like(now.value, self.step)
        for _ in range(self.iterations):
            steepest = now.gradient.flatten(1).abs().amax(1).clamp_min(torch.finfo(steps.dtype).tiny)
            change = _per_problem(steps / steepest, now.gradient) * now.gradient
            moved = replace(poison, images=(poison.images - change).clamp(low, high))
            there = problem.gradient(moved, now.theta)
            better = there.value < now.value
            poison = replace(poison, images=_chosen(better, moved.images, poison.images))
            now = Slope(*(_chosen(better, new, old) for new, old in zip(there, now, strict=True)))
            steps = torch.where(better, steps, steps / 2)
        return poison


@dataclass(frozen=True)
class LabelFlip:
    """Dirty-label poisoning: images stay fixed, each poison in turn takes the label that lowers the objective most."""

    classes: int

    def solve(self, problem: Problem, start: Samples) -> Samples:
        """Poisons whose objective is no higher than the start's; trains ``classes`` times per poison."""
        poison, value = start, problem.value(start)
        for p in range(start.labels.shape[1]):
            for label in range(self.classes):
                labels = poison.labels.clone()
                labels[:, p] = label
                there = problem.value(replace(poison, labels=labels))
                better = there < value
                poison = replace(poison, labels=_chosen(better, labels, poison.labels))
                value = torch.where(better, there, value)
        return poison


@dataclass(frozen=True)
class FeatureCollision:
    """Clean-label poisoning by `repro.attacks.feature_collision` (desanctis 2.4, eq. 1).

    Poison p of P collides with target p mod T in ``features`` (K, n, c, h, w) -> (K, n, D), those of a model that the
    attacker knows. It never trains the inner model, so nothing forces the objective down: that it falls, where poisons
    carry the label that targets should be classified as, is the attack's claim. For a linear inner model the last layer
    before the softmax is the input itself: then ``features`` flattens, and eq. 1 blends base into target.
    """

    features: Callable[[Tensor], Tensor]
    beta: float
    step: float
    iterations: int

    def solve(self, problem: Problem, start: Samples) -> Samples:
        """Poisons near the start in pixels and near the objective's targets in features; images (K, P, c, h, w)."""
        targets = problem.objective.inputs
        paired = targets[:, torch.arange(start.images.shape[1], device=targets.device) % targets.shape[1]]
        crafted = collide(
            self.features,
            start.images,
            paired,
            beta=self.beta,
            step=self.step,
            iterations=self.iterations,
        )
        return replace(start, images=crafted)


def _per_problem(values: Tensor, like: Tensor) -> Tensor:
    """A tensor (K,) reshaped so that it broadcasts over (K, ...)."""
    return values.view(-1, *[1] * (like.ndim - 1))


def _chosen(better: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(_per_problem(better, new), new, old)
