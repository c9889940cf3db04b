"""Logit squeezing: cross entropy plus the weighted norm of the logits (truong2020 2.3)."""

from typing import Any

from torch import Tensor

from repro.losses import Batch
from repro.losses.terms import cross_entropy, logit_squeezing

OPTIONS: dict[str, Any] = {}


def loss(batch: Batch, weight: Tensor) -> Tensor:
    """Training loss (K,)."""
    return cross_entropy(batch.logits, batch.labels) + weight * logit_squeezing(batch.logits)
