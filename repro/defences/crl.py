"""Center-based relaxed learning, CRL: relaxed cross entropy and a relaxed centre loss (desanctis 5.1; Fang & Kim 2024).

Two terms, each fitted down to a level and no further (RelaxLoss, Chen et al. 2022): cross entropy, and half the squared
distance of h from its class's centre. Logits, h and centres v are first bounded, v / (1 + t |v|), so that no length can
exceed 1 / t (their form of logit normalisation). Where a term's batch mean is above its level, it is minimised. In one
phase of training a mean below it is driven back up, |mean - level|; in the other it is flattened instead: the true
class's target becomes the model's own confidence p in it, at most a ceiling, and the rest goes to all other classes
alike; h is pulled to the centre with force p, to the origin with 1 - p.

The weight is the level of the cross entropy, RelaxLoss's alpha: the heavier, the less of the training set is fitted. It
lies in [0, log of the number of classes). Weight 0 is not plain cross entropy: bounded logits and centres remain.

Adapted to a loss of a single batch:

- the authors alternate the two phases epoch by epoch; here each model's own fair coin decides at every step;
- the centres are drawn once, standard normal, from a constant seed: the same for every model, batch and run with that
  width and number of classes. The authors' code also gives them an optimiser, with a rate that it does not state;
  desanctis describes them as random vectors, and here they stay fixed;
- the authors' code gives no values for the levels, ceilings and bounds either: `OPTIONS` are this project's. At t = 0.1
  the cross entropy of ten classes can fall below 0.001. Rectified h at t = 1 come within about 0.2 of a random centre,
  and the origin lies at about 0.4, so that a level between them leaves the centre something to attract.

As in the authors' code, the gradient also passes through the confidences.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from repro.losses import Batch
from repro.losses.terms import cross_entropy
from repro.seeds import stream

OPTIONS: dict[str, Any] = {
    "bound": 0.1,
    "ceiling": 1.0,
    "centre_weight": 0.1,
    "centre_level": 0.3,
    "centre_bound": 1.0,
    "centre_ceiling": 1.0,
}
DRAWS = 1  # the first number of a batch tosses the coin
CENTRE_SEED = 0


@cache
def centres(classes: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The classes' centres (classes, width)."""
    return torch.randn(classes, width, generator=stream(CENTRE_SEED, "crl-centres")).to(device, dtype)


def bounded_centres(classes: int, width: int, dtype: torch.dtype, centre_bound: float, **_: float) -> Tensor:
    """The centres (classes, width), bounded for the comparison with h, on the CPU."""
    return _bounded(centres(classes, width, torch.device("cpu"), dtype), centre_bound)


def loss(
    batch: Batch,
    weight: Tensor,
    bound: float,
    ceiling: float,
    centre_weight: float,
    centre_level: float,
    centre_bound: float,
    centre_ceiling: float,
) -> Tensor:
    """Training loss (K,)."""
    back_up = batch.draws[:, 0, 0] < 0.5
    confidence = batch.logits.softmax(2).take_along_dim(batch.labels.unsqueeze(2), 2).squeeze(2)
    logits = _bounded(batch.logits, bound)
    entropy = cross_entropy(logits, batch.labels)
    flattened = _flattened(logits, batch.labels, confidence.clamp_max(ceiling))
    relaxed = _relaxed(entropy, weight, flattened, back_up)

    hidden = _bounded(batch.hidden, centre_bound)
    drawn = centres(batch.classes, hidden.shape[2], hidden.device, hidden.dtype)
    squares = (hidden - _bounded(drawn, centre_bound)[batch.labels]).square().sum(2) / 2
    force = confidence.clamp_max(centre_ceiling)
    pulled = (force * squares + (1 - force) * hidden.square().sum(2) / 2).mean(1)
    return relaxed + centre_weight * _relaxed(squares.mean(1), centre_level, pulled, back_up)


def _relaxed(mean: Tensor, level: Tensor | float, flattened: Tensor, back_up: Tensor) -> Tensor:
    """A term (K,) above its level; below it, what the model's phase says."""
    return torch.where(back_up, (mean - level).abs(), torch.where(mean > level, mean, flattened))


def _flattened(logits: Tensor, labels: Tensor, target: Tensor) -> Tensor:
    """Batch mean (K,) of the cross entropy against ``target`` (K, B) on the label and the rest spread evenly."""
    log_chances = logits.log_softmax(2)
    own = log_chances.take_along_dim(labels.unsqueeze(2), 2).squeeze(2)
    others = (log_chances.sum(2) - own) / (logits.shape[2] - 1)
    return -(target * own + (1 - target) * others).mean(1)


def _bounded(vectors: Tensor, bound: float) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / (1 + bound * lengths)
