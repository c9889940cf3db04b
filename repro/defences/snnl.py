"""Soft nearest neighbour loss in Frosst et al.'s form (truong2020 2.3, eq. 6; Frosst et al. 2019, eq. 1)."""

from typing import Any

from torch import Tensor

from repro.losses import Batch
from repro.losses.terms import cross_entropy, soft_nearest_neighbour

# 100 is the temperature at which Frosst et al. start; the weight compensates for the scale it sets.
OPTIONS: dict[str, Any] = {"temperature": 100.0}


def loss(batch: Batch, weight: Tensor, temperature: float) -> Tensor:
    """Training loss (K,); the temperature is in squared units of the hidden representation."""
    term = soft_nearest_neighbour(batch.hidden, batch.labels, temperature)
    return cross_entropy(batch.logits, batch.labels) + weight * term
