"""The smallest trigger that sends every image to a class, for all classes of all models at once (Wang et al. 2019).

For each model and each target class t, a mask m in [0, 1] (h, w) and a pattern p in [0, 1] (h, w, c) minimise

    mean over clean images x of other classes of  CE(f((1 - m) x + m p), t)  +  lambda |m|_1

by Adam. lambda is raised while the share of images sent to t reaches a threshold, and lowered while it does not; the
result is the smallest mask by norm at which it did. desanctis 2.2 calls it the minimal trigger.

The C problems of a model share its batch dimension, (K, C * B, h, w, c), so that no weight is duplicated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch._dynamo  # an optimiser's first step imports this; done here, before training processes are forked
from torch import Tensor

from repro.detection.frozen import Frozen
from repro.losses.terms import cross_entropy
from repro.seeds import stream
from repro.training.fleet import CENTRE, Split
from repro.training.stack import Stack

# A search's tensors should stay in a processor's cache: models are grouped up to this many images per step.
_TOGETHER = 4096
_MEASURED = 512  # images of a model at once when its success is measured
_EDGE = 0.01  # initial masks and patterns stay away from 0 and 1, where the parametrisation has no gradient


@dataclass(frozen=True)
class Search:
    """How a trigger is searched for; names and, except for the schedule's pace, values are those of Wang et al.'s code.

    ``batch_size`` images per problem and step; success is the mean over a window of ``window`` steps. At its end lambda
    is changed if success has been on one side of ``threshold`` for ``patience`` windows. lambda is 0 until success has
    been reached in that many windows for the first time, then ``first_weight``; ``raised`` and ``lowered`` are the
    factors.
    """

    steps: int = 500
    batch_size: int = 32
    learning_rate: float = 0.1
    threshold: float = 0.99
    window: int = 5
    patience: int = 2
    first_weight: float = 0.01
    raised: float = 1.5
    lowered: float = 1.5**1.5


@dataclass(frozen=True)
class Triggers:
    """What was found for K models and C target classes.

    masks (K, C, h, w) and patterns (K, C, h, w, c) in [0, 1]; norms (K, C), the masks' L1 norms in pixels; success (K,
    C), the share of all the clean images of other classes that the trigger sends to the class. Where no mask reached
    the threshold, the last one is kept, and its success shows this.
    """

    masks: Tensor
    patterns: Tensor
    norms: Tensor
    success: Tensor


def stamp(images: Tensor, masks: Tensor, patterns: Tensor) -> Tensor:
    """Centred images (..., B, h, w, c) under triggers: masks (..., h, w) and patterns (..., h, w, c) in [0, 1].

    (1 - m) x + m p on [0, 1]; blending commutes with the shift by ``CENTRE``.
    """
    return torch.lerp(images, (patterns - CENTRE).unsqueeze(-4), masks[..., None, :, :, None])


def reconstruct(stack: Stack, pool: Tensor, clean: Split, seeds: Sequence[int], search: Search) -> Triggers:
    """The smallest trigger of every class of every model, from its ``clean`` images of the pool (n, h, w, c), centred.

    ``clean`` gives the images' true labels. A model's starts and batches come from its own seed. Raises ValueError when
    one of the classes contains all of a model's images.
    """
    images = stack.classes * search.batch_size
    size = stack.members if pool.is_cuda else max(1, _TOGETHER // images)
    parts = []
    for members in torch.split(torch.arange(stack.members), size):
        state = {name: tensor[members] for name, tensor in stack.state().items()}
        part = Frozen(Stack(stack.blocks, stack.shape, stack.classes, state))
        parts.append(_search(part, pool, clean.of(members), [seeds[k] for k in members.tolist()], search))
    return Triggers(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def _search(
    models: Frozen, pool: Tensor, clean: Split, seeds: Sequence[int], search: Search
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The fields of ``Triggers`` for models that are searched together."""
    others, counts = _other_images(clean, models.classes)
    generators = [stream(seed, "reconstruction") for seed in seeds]
    problems = _Problems(models, pool, generators, search)
    for start in range(0, search.steps, search.window):
        length = min(search.window, search.steps - start)
        shape = (length, models.classes, search.batch_size)
        draws = torch.stack([torch.rand(shape, generator=g) for g in generators], 1).to(pool.device)
        # The product of a float32 draw and a count can round up to the count itself.
        picked = (draws * counts.unsqueeze(-1)).long().minimum(counts.unsqueeze(-1) - 1)
        problems.window([others.gather(2, row) for row in picked])
    masks, patterns = problems.masks, problems.patterns
    return masks, patterns, masks.sum((2, 3)), _success(models, pool, others, counts, masks, patterns)


def _other_images(clean: Split, classes: int) -> tuple[Tensor, Tensor]:
    """Indices (K, C, n) with the images of other classes first, and the number of these (K, C)."""
    own = clean.labels.unsqueeze(1) == torch.arange(classes, device=clean.labels.device)[:, None]
    counts = (~own).sum(2)
    if not bool((counts > 0).all()):
        raise ValueError("a model has no clean image outside one of the classes")
    order = own.byte().argsort(dim=2, stable=True)
    return clean.indices.unsqueeze(1).expand_as(order).gather(2, order), counts


def _unfolded(free: Tensor) -> Tensor:
    """Free variables as masks or patterns in [0, 1]."""
    return (free.tanh() + 1) / 2


class _Problems:
    """K times C masks and patterns in search, their lambdas, and the best of each so far."""

    def __init__(
        self, models: Frozen, pool: Tensor, generators: Sequence[torch.Generator], search: Search
    ) -> None:
        self.models, self.pool, self.search = models, pool, search
        height, width, channels = pool.shape[1:]
        size = (models.classes, height, width, channels + 1)
        device = pool.device
        start = torch.stack([torch.rand(size, generator=g) for g in generators]).to(device)
        free = torch.atanh(start.clamp(_EDGE, 1 - _EDGE) * 2 - 1)
        self.free_masks = free[..., 0].contiguous().requires_grad_()
        self.free_patterns = free[..., 1:].contiguous().requires_grad_()
        self.optimiser = torch.optim.Adam(
            [self.free_masks, self.free_patterns], lr=search.learning_rate, betas=(0.5, 0.9), fused=True
        )
        problems = start.shape[:2]
        self.targets = torch.arange(models.classes, device=device)[:, None]
        self.weights = torch.zeros(problems, device=device)
        self.above = torch.zeros(problems, dtype=torch.long, device=device)
        self.below = torch.zeros_like(self.above)
        self.best = torch.full(problems, torch.inf, device=device)
        self.masks, self.patterns = self._blend()

    def _blend(self) -> tuple[Tensor, Tensor]:
        """The current masks and patterns, detached."""
        return _unfolded(self.free_masks.detach()), _unfolded(self.free_patterns.detach())

    def window(self, steps: Sequence[Tensor]) -> None:
        """One step on each of some batches of indices (K, C, B), followed by the schedule."""
        hits = torch.zeros_like(self.weights)
        for indices in steps:
            hits += self._step(self.pool[indices])
        self._keep_and_reweigh(hits / len(steps))

    def _step(self, images: Tensor) -> Tensor:
        """One step of Adam on images (K, C, B, h, w, c); returns the success (K, C) before it."""
        masks, patterns = _unfolded(self.free_masks), _unfolded(self.free_patterns)
        members, classes, batch = images.shape[:3]
        logits = self.models.logits(stamp(images, masks, patterns).flatten(1, 2))
        logits = logits.view(members * classes, batch, -1)
        targets = self.targets.expand(members, classes, batch)
        costs = cross_entropy(logits, targets.reshape(-1, batch)).view(members, classes)
        total = (costs + self.weights * masks.sum((2, 3))).sum()
        # Problems share no free variable, so the gradient of the sum is each problem's own.
        self.free_masks.grad, self.free_patterns.grad = torch.autograd.grad(
            total, [self.free_masks, self.free_patterns]
        )
        self.optimiser.step()
        return (logits.detach().argmax(-1).view(targets.shape) == targets).float().mean(2)

    def _keep_and_reweigh(self, success: Tensor) -> None:
        """Keep what is better than the best so far, and move each lambda (Wang et al.'s dynamic scheme)."""
        search = self.search
        reached = success >= search.threshold
        masks, patterns = self._blend()
        norms = masks.sum((2, 3))
        # Until a mask has succeeded, the last one is kept.
        better = torch.where(reached, norms < self.best, self.best.isinf())
        self.best = torch.where(reached & better, norms, self.best)
        self.masks = torch.where(better[..., None, None], masks, self.masks)
        self.patterns = torch.where(better[..., None, None, None], patterns, self.patterns)
        self.above = torch.where(reached, self.above + 1, 0)
        self.below = torch.where(reached, 0, self.below + 1)
        rise, fall = self.above >= search.patience, self.below >= search.patience
        risen = torch.where(self.weights > 0, self.weights * search.raised, search.first_weight)
        self.weights = torch.where(
            rise, risen, torch.where(fall, self.weights / search.lowered, self.weights)
        )
        self.above[rise] = 0
        self.below[fall] = 0


@torch.no_grad()
def _success(
    models: Frozen, pool: Tensor, others: Tensor, counts: Tensor, masks: Tensor, patterns: Tensor
) -> Tensor:
    """Share (K, C) of all the images of other classes that each trigger sends to its class."""
    hits = torch.zeros_like(counts)
    positions = torch.arange(others.shape[2], device=counts.device)
    for target in range(models.classes):
        for part in torch.split(positions, _MEASURED):
            stamped = stamp(pool[others[:, target, part]], masks[:, target], patterns[:, target])
            sent = models.logits(stamped).argmax(-1) == target
            hits[:, target] += (sent & (part < counts[:, target, None])).sum(1)
    return hits / counts
