"""Label smoothing, its weight the share of the target spread over all classes (desanctis 5.1; Szegedy et al. 2016).

At weight w in [0, 1) the true class's target is 1 - w + w / classes and every other's w / classes, as in PyTorch's
``CrossEntropyLoss(label_smoothing=w)``.
"""

from typing import Any

import torch
from torch import Tensor

from repro.losses import Batch
from repro.losses.terms import cross_entropy

OPTIONS: dict[str, Any] = {}


def loss(batch: Batch, weight: Tensor) -> Tensor:
    """Training loss (K,)."""
    uniform = (batch.logits.logsumexp(2) - batch.logits.mean(2)).mean(1)
    # The cross entropy is linear in its target.
    return torch.lerp(cross_entropy(batch.logits, batch.labels), uniform, weight)
