"""Weight decay: half the squared norm of all of a model's parameters added to its loss (desanctis 5.1).

It is L2 regularisation, which Adam scales as part of the gradient, and not AdamW's decoupled decay. Biases
and batch norm's scales are decayed too, as PyTorch's optimisers do by default.
"""

from typing import Any

from torch import Tensor

from repro.errors import ReproError
from repro.losses import Batch
from repro.losses.terms import cross_entropy

OPTIONS: dict[str, Any] = {}


def loss(batch: Batch, weight: Tensor) -> Tensor:
    """Training loss (K,). Raises ReproError where the engine shows a defence only the head's parameters."""
    own = {n: p for n, p in batch.parameters.items() if not n.startswith("defence.")}
    if all(name.startswith("head.") for name in own):
        raise ReproError(
            "defence weight_decay: for architectures of the engine stacked; "
            "the engine network has a training option weight_decay"
        )
    squares = sum((p.square().flatten(1).sum(1) for p in own.values()), start=weight.new_zeros(()))
    return cross_entropy(batch.logits, batch.labels) + weight / 2 * squares
