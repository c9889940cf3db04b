"""No defence: cross entropy alone."""

from typing import Any

from torch import Tensor

from repro.defences import Batch
from repro.training.losses import cross_entropy

OPTIONS: dict[str, Any] = {}


def loss(batch: Batch, weight: Tensor) -> Tensor:
    """Cross entropy (K,); the weight is ignored."""
    return cross_entropy(batch.logits, batch.labels)
