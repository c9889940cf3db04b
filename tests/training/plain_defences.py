"""The training loss of every defence, written out slowly for one model, with no part in the project's own losses."""

from typing import Any

import torch
import torch.nn.functional as F
from plain_loop import Loss, PlainModel, cross_entropy
from torch import Tensor, nn

OPTIONS: dict[str, dict[str, Any]] = {
    "contrastive": {"margin": 3.0},
    "snnl": {"temperature": 5.0},
    "snnl_printed": {"temperature": 5.0},
    "margin": {"alpha": 0.2},
}
START_OF_BETA = 1.2


def pairwise(hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Distances (pairs,) of all i < j, and whether the two share a label."""
    i, j = torch.triu_indices(len(hidden), len(hidden), 1)
    return (hidden[i] - hidden[j]).norm(dim=1), labels[i] == labels[j]


def slow_squeezing(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
    return model.head(hidden).norm(dim=1).mean()


def slow_contrastive(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
    distances, alike = pairwise(hidden, labels)
    n, c = model.head.out_features, OPTIONS["contrastive"]["margin"]
    return torch.where(alike, distances / n, (n - 1) / n * (c - distances).clamp_min(0)).mean()


def slow_neighbour(hidden: Tensor, labels: Tensor, same: bool) -> Tensor:
    terms = []
    for i in range(len(hidden)):
        others = [j for j in range(len(hidden)) if j != i]
        nearness = torch.exp(-(hidden[others] - hidden[i]).square().sum(1) / OPTIONS["snnl"]["temperature"])
        chosen = (labels[others] == labels[i]) == same
        if chosen.any():
            terms.append(-torch.log(nearness[chosen].sum() / nearness.sum()))
    return torch.stack(terms).mean()


def slow_snnl(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
    return slow_neighbour(hidden, labels, same=True)


def slow_snnl_printed(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
    return slow_neighbour(hidden, labels, same=False)


def slow_mixup(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
    gamma, partner = draws[:, :1], draws[:, 1].argsort()
    targets = F.one_hot(labels, model.head.out_features).to(hidden.dtype)
    mixed = (1 - gamma) * hidden[partner] + gamma * hidden
    return F.cross_entropy(model.head(mixed), (1 - gamma) * targets[partner] + gamma * targets)


def slow_margin(beta: nn.Parameter) -> Loss:
    def loss(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        distances, alike = pairwise(F.normalize(hidden, dim=1), labels)
        alpha = OPTIONS["margin"]["alpha"]
        positive = (alpha + distances - beta).clamp_min(0)[alike]
        negative = (alpha - distances + beta).clamp_min(0)[~alike]
        return (positive.mean() + negative.mean()) / 2

    return loss


TERMS: dict[str, Loss] = {
    "logit_squeezing": slow_squeezing,
    "manifold_mixup": slow_mixup,
    "contrastive": slow_contrastive,
    "snnl": slow_snnl,
    "snnl_printed": slow_snnl_printed,
}
DEFENCES = ["none", *TERMS, "margin"]


def slow_loss(defence: str, weight: float, beta: nn.Parameter) -> Loss:
    """A defence's whole training loss, written out for one model."""
    if defence == "none":
        return cross_entropy
    term = slow_margin(beta) if defence == "margin" else TERMS[defence]
    plain = 1 - weight if defence == "manifold_mixup" else 1.0

    def loss(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        own = cross_entropy(model, hidden, labels, draws)
        return plain * own + weight * term(model, hidden, labels, draws)

    return loss
