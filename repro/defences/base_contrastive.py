"""Base contrastive loss with a constant margin alpha between classes (desanctis 3.1)."""

from typing import Any

from torch import Tensor

from repro.losses import Batch
from repro.losses.pairs import base_contrastive
from repro.losses.terms import cross_entropy

# Orthogonal unit-length representations lie the root of 2 apart; rectified ones are never further apart.
OPTIONS: dict[str, Any] = {"alpha": 1.0}


def loss(batch: Batch, weight: Tensor, alpha: float) -> Tensor:
    """Training loss (K,)."""
    term = base_contrastive(batch.hidden, batch.labels, alpha)
    return cross_entropy(batch.logits, batch.labels) + weight * term
