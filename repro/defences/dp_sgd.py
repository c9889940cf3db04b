"""DP-SGD: clipped per-example gradients, and noise (desanctis 5.1; Abadi et al. 2016; Chen et al. 2022).

Its weight is the noise multiplier, 0 for clipping alone; ``clip`` is the largest norm of an example's gradient.
"""

from typing import Any

from torch import Tensor

from repro.errors import ReproError
from repro.losses import Batch
from repro.training import private

OPTIONS: dict[str, Any] = {"clip": 1.0}
DELTA = 1e-4  # several times smaller than 1 / number of samples, at the sizes of membership exposure
train = private.train


def epsilon(noise_multiplier: float, samples: int, batch_size: int, epochs: int) -> float:
    """The privacy budget spent after that many epochs on that many samples, at ``DELTA``; infinite without noise."""
    size = min(batch_size, samples)
    return private.epsilon(noise_multiplier, size / samples, epochs * (samples // size), DELTA)


def loss(batch: Batch, weight: Tensor, clip: float) -> Tensor:
    """Always raises ReproError: a batch's loss does not give its examples' own gradients."""
    raise ReproError(
        "defence dp_sgd: needs the gradients of single examples, so it trains the models of experiments on membership "
        "exposure only, and has no loss for those on backdoors"
    )
