"""Losses of a training step, of many models at once: what they are given; their terms, and those over pairs."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """What a defence sees of one training step of K models with B samples each.

    ``hidden`` (K, B, D), ``logits`` (K, B, classes), ``labels`` (K, B), ``draws`` (K, B, DRAWS) uniform in [0, 1),
    ``parameters``: the stack's (``head.weight`` (K, D, classes), ``head.bias`` (K, 1, classes), the defence's own).
    """

    hidden: Tensor
    logits: Tensor
    labels: Tensor
    draws: Tensor
    parameters: dict[str, Tensor]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.logits.shape[-1]
