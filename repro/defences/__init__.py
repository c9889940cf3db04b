"""Defences in training: one file each, a loss on the last hidden representation or the logits.

A piece defines

- ``OPTIONS``: its own hyper-parameters and their defaults;
- ``loss(batch, weight, **options)``: the whole training loss (K,) of a batch; ``weight`` (K,) is the models' own;
- optionally ``DRAWS``: how many uniform numbers it needs for every sample of a batch;
- optionally ``learned(members)``: parameters of its own, by name, trained along with the models;
- optionally ``train``: its own training in place of ``fleet.train``, with the same signature, for defences that a loss
  of a whole batch cannot express.
"""

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
