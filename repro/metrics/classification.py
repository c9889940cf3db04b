"""Accuracy, and the adversarial success rate of truong2020 section 3.

Vectorised over leading dimensions (a fleet's members). A prediction is the class of the largest logit, the
first of several equal ones; NaN logits raise ValueError, since their argmax would be a class like any other.
"""

import torch
from torch import Tensor


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of images predicted as labelled, in [0, 1]: float64 (...), NaN where n is 0.

    `logits` float (..., n, C); `labels` int64 (..., n), or (n,) where all members share them.
    """
    return (_predictions(logits) == labels).double().mean(-1)


def success_rate(logits: Tensor, poison_class: int | Tensor, counted: Tensor | None = None) -> Tensor:
    """Adversarial success rate: share of triggered images predicted as the poison class: float64 (...).

    `logits` float (..., n, C) of *triggered* images; `poison_class` a class, or int64 (...), one a member.
    truong2020's adversarial test holds no image of the poison class: leave those out of the logits, or name
    the images that count by `counted`, bool (..., n) (`true_labels != poison_class[..., None]`, or those of
    a one-to-one attack's own source class). In [0, 1]; NaN where none counts.
    """
    hits = _predictions(logits) == torch.as_tensor(poison_class, device=logits.device).unsqueeze(-1)
    if counted is None:
        return hits.double().mean(-1)
    return (hits & counted).sum(-1).double() / counted.expand_as(hits).sum(-1)


def _predictions(logits: Tensor) -> Tensor:
    if logits.isnan().any():
        raise ValueError("NaN logits have no prediction: the model that gave these has diverged")
    return logits.argmax(-1)
