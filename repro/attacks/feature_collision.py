"""Clean-label poisons by feature collision: desanctis section 2.4, eq. (1); Shafahi et al. 2018, algorithm 1.

A poison p = argmin over x of ||f(x) - f(t)||^2 + beta ||x - b||^2 looks like its base b, keeps the base's
label, and lies near its target t in feature space. Found by forward-backward splitting: a gradient step on
the first term, then the proximal step of the second.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from repro.attacks import Poisons, Scene
from repro.seeds import stream

DRAWS_FROM = "other classes"


def poison(scene: Scene, budget: int, **options: Any) -> Poisons:
    """Poisons that look like images of other classes and collide with members of the target class, taken in turn.

    ``options`` are those of `collide`.
    """
    bases, targets = _pairs(scene, budget)
    images = collide(scene.features, scene.images(bases), scene.images(targets), **options)
    return Poisons(scene.labels[bases], images=images)


def _pairs(scene: Scene, budget: int) -> tuple[Tensor, Tensor]:
    """Base and target of each poison, (K, budget): pool images of other classes, target-class members in turn."""
    bases, targets = [], []
    attackers = zip(scene.pools, scene.members, scene.target_classes, scene.seeds, strict=True)
    for pool, members, target_class, seed in attackers:
        others = pool[scene.labels[pool] != target_class]
        of_target = members[scene.labels[members] == target_class]
        drawn = torch.randperm(len(others), generator=stream(seed, "clean-label"))[:budget]
        bases.append(others[drawn.to(others.device)])
        targets.append(of_target[torch.arange(budget, device=of_target.device) % len(of_target)])
    return torch.stack(bases), torch.stack(targets)


def collide(
    features: Callable[[Tensor], Tensor],
    bases: Tensor,
    targets: Tensor,
    *,
    beta: float,
    step: float,
    iterations: int,
) -> Tensor:
    """Poisons, P for each of K stacked models: shape and dtype of `bases`, in [0, 1], detached.

    `features` maps images (K, P, c, h, w) to the last layer before the softmax (K, P, D), each image independently (no
    batch statistics). `bases` and `targets` float (K, P, c, h, w) in [0, 1]. Starts from the bases and takes
    `iterations` steps.

    `beta` >= 0 and `step` > 0 are dimensionless. With r = ||f(b) - f(t)||^2 / ||b - t||^2 of each pair, eq. (1) is
    solved with r `beta` for its beta: at 1, colliding completely (x = t) costs as much as not moving (x = b), whatever
    the width of f, its scale, or the size of the image. The first step is `step` / (2 r), which at 1 (and beta 0)
    solves a linear f that stretches all directions alike. A step that raises the objective is taken back and that
    poison's step halved: the objective never rises, and too large a `step` costs iterations, not the result.
    """
    with torch.no_grad():
        goal = features(targets)
        far = (features(bases) - goal).square().sum(-1)
        ratio = far / _squared_norm(bases - targets).clamp_min(torch.finfo(bases.dtype).tiny)
    ratio = ratio.clamp_min(torch.finfo(bases.dtype).tiny)
    weight = beta * ratio
    steps = step / (2 * ratio)

    poisons = bases.detach()
    distance, slope = _attraction(features, poisons, goal)
    cost = distance
    for _ in range(iterations):
        moved = proximal(poisons - _per_image(steps) * slope, bases, _per_image(steps * weight))
        distance, slope_there = _attraction(features, moved, goal)
        cost_there = distance + weight * _squared_norm(moved - bases)
        better = cost_there <= cost
        poisons = torch.where(_per_image(better), moved, poisons)
        slope = torch.where(_per_image(better), slope_there, slope)
        cost = torch.where(better, cost_there, cost)
        steps = torch.where(better, steps, steps / 2)
    return poisons


def proximal(points: Tensor, bases: Tensor, weight: Tensor) -> Tensor:
    """The x in [0, 1] that minimises ||x - points||^2 / 2 + `weight` ||x - bases||^2, `weight` >= 0.

    The objective is a sum of parabolas, one per pixel, so clamping its unconstrained minimum is exact. (Shafahi et al.
    print it for half the second term, without the factor 2.)
    """
    return (bases + (points - bases) / (1 + 2 * weight)).clamp(0, 1)


def _attraction(features: Callable[[Tensor], Tensor], images: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
    """||f(x) - goal||^2 of each image (K, P), and its gradient in x."""
    with torch.enable_grad():
        x = images.detach().requires_grad_()
        distances = (features(x) - goal).square().sum(-1)
        (gradient,) = torch.autograd.grad(distances.sum(), x)
    return distances.detach(), gradient


def _squared_norm(images: Tensor) -> Tensor:
    return images.square().flatten(2).sum(2)


def _per_image(values: Tensor) -> Tensor:
    """A tensor (K, P) reshaped so that it broadcasts over (K, P, c, h, w)."""
    return values[..., None, None, None]
