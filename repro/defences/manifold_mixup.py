"""Manifold mixup of the last hidden representations (truong2020 2.3, eqs. 1-3).

In the paper the mixed cross entropy replaces the plain one, which is weight 1; a lighter weight w trains on
(1 - w) times the plain cross entropy plus w times the mixed one.
"""

from typing import Any

import torch
from torch import Tensor

from repro.losses import Batch
from repro.losses.terms import cross_entropy, mixup

OPTIONS: dict[str, Any] = {}
DRAWS = 2  # the mixing weight gamma, and a number whose rank pairs the samples


def loss(batch: Batch, weight: Tensor) -> Tensor:
    """Training loss (K,)."""
    gamma, partner = batch.draws[..., 0], batch.draws[..., 1].argsort(-1)
    # The head is affine, so the logits of a mixture are the mixture of the logits.
    mixed = mixup(batch.logits, batch.labels, gamma, partner)
    return torch.lerp(cross_entropy(batch.logits, batch.labels), mixed, weight)
