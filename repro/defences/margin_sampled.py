"""Margin-based contrastive loss on pairs sampled by distance, two per image (desanctis 3.1; Wu et al. 2017)."""

from typing import Any

import torch
from torch import Tensor

from repro.losses import Batch
from repro.losses import pairs as pair_losses
from repro.losses.terms import cross_entropy

# The same as for the defence `margin`, which sums over all pairs of a batch.
BETA = 1.2
OPTIONS: dict[str, Any] = {"alpha": 0.2}
DRAWS = 2  # which positive of an image, and which negative


def learned(members: int) -> dict[str, Tensor]:
    """The boundary between positive and negative pairs, one per model."""
    return {"beta": torch.full((members,), BETA)}


def loss(batch: Batch, weight: Tensor, alpha: float) -> Tensor:
    """Training loss (K,)."""
    beta = batch.parameters["defence.beta"]
    term = pair_losses.margin_sampled(batch.hidden, batch.labels, alpha, beta, batch.draws)
    return cross_entropy(batch.logits, batch.labels) + weight * term
