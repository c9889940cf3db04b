"""Normalised-temperature cross entropy, NT-Xent, of labelled pairs (desanctis 2.6, 4.2; Chen et al. 2020)."""

from typing import Any

from torch import Tensor

from repro.losses import Batch
from repro.losses import pairs as pair_losses
from repro.losses.terms import cross_entropy

OPTIONS: dict[str, Any] = {"temperature": 0.5}


def loss(batch: Batch, weight: Tensor, temperature: float) -> Tensor:
    """Training loss (K,)."""
    term = pair_losses.nt_xent(batch.hidden, batch.labels, temperature)
    return cross_entropy(batch.logits, batch.labels) + weight * term
