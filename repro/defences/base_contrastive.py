"""Base contrastive loss with a constant margin alpha between classes (desanctis 3.1)."""

from typing import Any

from torch import Tensor

from repro.defences import Batch
from repro.training.losses import cross_entropy
from repro.training.pair_losses import base_contrastive

# Orthogonal unit-length representations lie the root of 2 apart; rectified ones are never further apart.
OPTIONS: dict[str, Any] = {"alpha": 1.0}


def loss(batch: Batch, weight: Tensor, alpha: float) -> Tensor:
    """Training loss (K,)."""
    term = base_contrastive(batch.hidden, batch.labels, alpha)
    return cross_entropy(batch.logits, batch.labels) + weight * term
