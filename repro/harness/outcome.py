"""What training a fleet leaves behind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Outcome:
    """One record per run, in the fleet's order, and the fleet's weights by name, (K, ...) each."""

    records: list[dict[str, Any]]
    weights: Mapping[str, Tensor] = field(default_factory=dict)
