"""Uses of a reconstructed trigger: pruning, unlearning and a proactive filter (desanctis 2.2; Wang et al. VI).

All three use the one trigger that was found for each model's suspected class. Hidden units are those of the last hidden
representation; how strongly a unit is *related* to the trigger is how much more active it is, on average, with the
trigger than without it. K models, D hidden units, images (K, B, h, w, c) centred.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from repro import plugins
from repro.detection.reconstruct import stamp
from repro.seeds import stream
from repro.training.fleet import Regularisation, Split
from repro.training.recipe import Recipe
from repro.training.stack import Stack
from repro.training.train import train

STAMPED_SHARE = 0.2  # Wang et al. VI.C


@torch.no_grad()
def related_units(stack: Stack, images: Tensor, triggered: Tensor, units: int) -> Tensor:
    """The ``units`` hidden units (K, units) that ``triggered`` images activate most beyond ``images``, most first.

    Raises ValueError for more units than there are, or a negative number.
    """
    hidden = stack.hidden(images, training=False)
    if not 0 <= units <= hidden.shape[2]:
        raise ValueError(f"{units} units of {hidden.shape[2]}")
    rise = stack.hidden(triggered, training=False).mean(1) - hidden.mean(1)
    return rise.topk(units, dim=1).indices


def prune(stack: Stack, images: Tensor, triggered: Tensor, units: int) -> Stack:
    """A copy without the outgoing weights of each model's ``units`` units most related to the trigger (VI.B)."""
    rows = related_units(stack, images, triggered, units)
    state = {name: tensor.clone() for name, tensor in stack.state().items()}
    head = state["head.weight"]
    head.scatter_(1, rows.unsqueeze(2).expand(-1, -1, head.shape[2]), 0)
    return Stack(stack.blocks, stack.shape, stack.classes, state)


def unlearn(
    stack: Stack,
    pool: Tensor,
    clean: Split,
    masks: Tensor,
    patterns: Tensor,
    recipe: Recipe,
    seeds: Sequence[int],
    share: float = STAMPED_SHARE,
) -> Stack:
    """Continue training on ``clean`` images, a ``share`` of them stamped with the trigger but truly labelled (VI.C).

    ``masks`` (K, h, w) and ``patterns`` (K, h, w, c) in [0, 1]. round(share * n) images per model are stamped, drawn
    from its own seed; the others stay as they are. ``recipe`` must not stop early: there is no validation split.
    """
    larger, training = stamped_split(pool, clean, masks, patterns, seeds, share)
    undefended = Regularisation(plugins.load("defence", "none"), torch.zeros(stack.members), {})
    trained, _ = train(stack, larger, training, None, recipe, seeds, undefended, purpose="unlearning")
    return trained


def stamped_split(
    pool: Tensor, clean: Split, masks: Tensor, patterns: Tensor, seeds: Sequence[int], share: float
) -> tuple[Tensor, Split]:
    """The pool followed by the models' stamped images, and the training set that ``unlearn`` uses.

    Raises ValueError for a share outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share {share} outside [0, 1]")
    members, n = clean.indices.shape
    count = round(share * n)
    chosen = torch.stack(
        [torch.randperm(n, generator=stream(seed, "unlearning-stamped"))[:count] for seed in seeds]
    ).to(clean.indices.device)
    stamped = stamp(pool[clean.indices.gather(1, chosen)], masks, patterns)
    places = len(pool) + torch.arange(members * count, device=chosen.device).view(members, count)
    indices = clean.indices.scatter(1, chosen, places)
    return torch.cat([pool, stamped.flatten(0, 1)]), Split(indices, clean.labels)


@dataclass(frozen=True)
class Filter:
    """Flags an image whose mean activation over ``units`` (K, u) exceeds its model's entry of ``thresholds`` (K,)."""

    units: Tensor
    thresholds: Tensor

    def flags(self, stack: Stack, images: Tensor) -> Tensor:
        """Which images are flagged, bool (K, B)."""
        return profile(stack, images, self.units) > self.thresholds.unsqueeze(1)


def proactive_filter(
    stack: Stack, images: Tensor, triggered: Tensor, units: int, false_positives: float
) -> Filter:
    """The filter (VI.A) that flags as many of these clean ``images`` as a share ``false_positives`` allows.

    Raises ValueError for zero units, or a share outside [0, 1).
    """
    if units < 1 or not 0 <= false_positives < 1:
        raise ValueError(f"{units} units at a false positive rate of {false_positives}")
    related = related_units(stack, images, triggered, units)
    ordered = profile(stack, images, related).sort(1, descending=True).values
    # Flagged is what lies strictly above this rank's value: at most that share of the images, fewer with ties.
    return Filter(related, ordered[:, int(false_positives * ordered.shape[1])])


@torch.no_grad()
def profile(stack: Stack, images: Tensor, units: Tensor) -> Tensor:
    """Mean activation (K, B) of each image over some hidden units (K, u)."""
    hidden = stack.hidden(images, training=False)
    return hidden.gather(2, units.unsqueeze(1).expand(-1, hidden.shape[1], -1)).mean(2)
