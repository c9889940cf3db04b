"""Margin triplet loss over all triplets of a batch (desanctis 2.6, 4.2; Schroff et al. 2015)."""

from typing import Any

from torch import Tensor

from repro.losses import Batch
from repro.losses import pairs as pair_losses
from repro.losses.terms import cross_entropy

OPTIONS: dict[str, Any] = {"margin": 0.2}


def loss(batch: Batch, weight: Tensor, margin: float) -> Tensor:
    """Training loss (K,)."""
    term = pair_losses.triplet(batch.hidden, batch.labels, margin)
    return cross_entropy(batch.logits, batch.labels) + weight * term
