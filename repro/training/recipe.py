"""How a model is trained: optimiser settings and when to stop."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """Adam at a constant rate, in batches drawn without replacement; an incomplete last batch is dropped.

    With ``patience`` (truong2020 3: 5 epochs without improvement of validation accuracy) training stops early, and the
    weights are those of the epoch in which it stopped, not of the best one; without it, after ``epochs``. ``options``
    are those of the engine that trains the architecture.
    """

    learning_rate: float
    batch_size: int
    epochs: int
    patience: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
