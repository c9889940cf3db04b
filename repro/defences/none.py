"""No defence: cross entropy alone."""

from typing import Any

from torch import Tensor

from repro.losses import Batch
from repro.losses.terms import cross_entropy

OPTIONS: dict[str, Any] = {}


def loss(batch: Batch, weight: Tensor) -> Tensor:
    """Cross entropy (K,); the weight is ignored."""
    return cross_entropy(batch.logits, batch.labels)
