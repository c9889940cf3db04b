"""Margin-based contrastive loss with a learnt boundary beta (desanctis 3.1; Wu et al. 2017)."""

from typing import Any

import torch
from torch import Tensor

from repro.losses import Batch
from repro.losses import terms as losses

# Wu et al.'s values, for representations on the unit sphere.
BETA = 1.2
OPTIONS: dict[str, Any] = {"alpha": 0.2}


def learned(members: int) -> dict[str, Tensor]:
    """The boundary between positive and negative pairs, one per model."""
    return {"beta": torch.full((members,), BETA)}


def loss(batch: Batch, weight: Tensor, alpha: float) -> Tensor:
    """Training loss (K,)."""
    term = losses.margin(batch.hidden, batch.labels, alpha, batch.parameters["defence.beta"])
    return losses.cross_entropy(batch.logits, batch.labels) + weight * term
