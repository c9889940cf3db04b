"""Contrastive loss on the last hidden representations (truong2020 2.3, eqs. 4-5)."""

from typing import Any

from torch import Tensor

from repro.losses import Batch
from repro.losses import terms as losses

OPTIONS: dict[str, Any] = {"margin": 10.0}


def loss(batch: Batch, weight: Tensor, margin: float) -> Tensor:
    """Training loss (K,); ``margin`` is the paper's c, in units of the hidden representation."""
    term = losses.contrastive(batch.hidden, batch.labels, margin, batch.classes)
    return losses.cross_entropy(batch.logits, batch.labels) + weight * term
