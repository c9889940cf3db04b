"""Soft nearest neighbour loss as eq. 6 prints it: different-label pairs in the numerator (truong2020 2.3)."""

from typing import Any

from torch import Tensor

from repro.losses import Batch
from repro.losses.terms import cross_entropy, soft_nearest_neighbour_printed

OPTIONS: dict[str, Any] = {"temperature": 100.0}


def loss(batch: Batch, weight: Tensor, temperature: float) -> Tensor:
    """Training loss (K,); the temperature is in squared units of the hidden representation."""
    term = soft_nearest_neighbour_printed(batch.hidden, batch.labels, temperature)
    return cross_entropy(batch.logits, batch.labels) + weight * term
