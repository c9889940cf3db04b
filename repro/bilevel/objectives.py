"""What an attacker wants: the samples D_target and the adversarial objective A (desanctis 2.1).

The document's three objectives are all the cross-entropy L of target inputs against some labels, to be either raised or
lowered. They differ only in these inputs, labels and signs.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


@dataclass(frozen=True, eq=False)
class Objective:
    """A = ``sign`` L(f(x), label), ``sign`` 1 or -1, of targets: ``inputs`` (K, T, ...), ``labels`` int64 (K, T)."""

    inputs: Tensor
    labels: Tensor
    sign: int

    def value(self, logits: Tensor) -> Tensor:
        """The sum of A over D_target, (K,), from the inputs' logits (K, T, classes)."""
        losses = cross_entropy(logits.flatten(0, 1), self.labels.flatten(), reduction="none")
        return self.sign * losses.view(self.labels.shape).sum(1)

    def success(self, logits: Tensor) -> Tensor:
        """Share (K,) of the targets classified as the attacker wants: as their label, or as any other class."""
        read = logits.argmax(-1) == self.labels
        return (read if self.sign > 0 else ~read).double().mean(1)


def accuracy_degradation(images: Tensor, labels: Tensor) -> Objective:
    """A = -L(f(x), y) on all test samples: ``images`` (K, T, ...), their true ``labels`` (K, T)."""
    return Objective(images, labels, -1)


def targeted_misclassification(images: Tensor, target_class: Tensor) -> Objective:
    """A = L(f(x), t) on chosen samples: ``images`` (K, T, ...), ``target_class`` int64 (K,)."""
    return Objective(images, target_class[:, None].expand(images.shape[:2]), 1)


def backdoor(images: Tensor, trigger: Tensor, mask: Tensor, alpha: float, target_class: Tensor) -> Objective:
    """A = L(f(x + delta), t), + being `stamped`: ``images`` (K, T, c, h, w) without trigger, ``target_class`` (K,)."""
    return targeted_misclassification(stamped(images, trigger, mask, alpha), target_class)


def stamped(images: Tensor, trigger: Tensor, mask: Tensor, alpha: float) -> Tensor:
    """((1 - alpha) x + alpha t) (1 - m) + x m, clipped to [0, 1] (truong2020 eq. 7): `repro.triggers.blend` on tensors.

    ``trigger`` and ``mask`` broadcast to the images; the mask is 1 where a pixel is left alone. ``alpha`` in [0, 1].
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha {alpha} outside [0, 1]")
    return torch.where(mask == 1, images, ((1 - alpha) * images + alpha * trigger).clamp(0, 1))
