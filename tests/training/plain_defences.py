"""The training loss of every defence, written out slowly for one model, with no part in the project's own losses."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from plain_loop import Loss, PlainModel, cross_entropy
from torch import Tensor, nn

from repro.seeds import stream

OPTIONS: dict[str, dict[str, Any]] = {
    "contrastive": {"margin": 3.0},
    "snnl": {"temperature": 5.0},
    "snnl_printed": {"temperature": 5.0},
    "margin": {"alpha": 0.2},
    "base_contrastive": {"alpha": 0.7},
    "triplet": {"margin": 0.3},
    "nt_xent": {"temperature": 0.4},
    "nt_logistic": {"temperature": 0.4},
    "margin_sampled": {"alpha": 0.2},
    "crl": {
        "bound": 0.1,
        "ceiling": 0.9,
        "centre_weight": 0.5,
        "centre_level": 0.35,
        "centre_bound": 1.0,
        "centre_ceiling": 0.8,
    },
}
DRAWS = {"manifold_mixup": 2, "margin_sampled": 2, "crl": 1}
"""How many uniform numbers per sample."""
BOUNDED = ("margin", "margin_sampled")
"""Those with a boundary beta, trained along."""
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


def slow_base_contrastive(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
    distances, alike = pairwise(F.normalize(hidden, dim=1), labels)
    repelled = (OPTIONS["base_contrastive"]["alpha"] - distances[~alike]).clamp_min(0)
    return (distances[alike].square().mean() + repelled.square().mean()) / 2


def positives_and_negatives(labels: Tensor, anchor: int) -> tuple[list[int], list[int]]:
    others = [j for j in range(len(labels)) if j != anchor]
    positives = [j for j in others if labels[j] == labels[anchor]]
    return positives, [j for j in others if labels[j] != labels[anchor]]


def slow_triplet(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
    unit = F.normalize(hidden, dim=1)
    costs = []
    for i in range(len(labels)):
        positives, negatives = positives_and_negatives(labels, i)
        far = (unit[negatives] - unit[i]).norm(dim=1)
        for j in positives:
            near = (unit[j] - unit[i]).norm()
            costs.append((near - far + OPTIONS["triplet"]["margin"]).clamp_min(0))
    return torch.cat(costs).mean()


def slow_nt_xent(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
    unit = F.normalize(hidden, dim=1)
    costs = []
    for i in range(len(labels)):
        positives, negatives = positives_and_negatives(labels, i)
        weights = torch.exp(unit @ unit[i] / OPTIONS["nt_xent"]["temperature"])
        costs += [-torch.log(weights[j] / (weights[j] + weights[negatives].sum())) for j in positives]
    return torch.stack(costs).mean()


def slow_nt_logistic(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
    i, j = torch.triu_indices(len(hidden), len(hidden), 1)
    scaled = F.cosine_similarity(hidden[i], hidden[j]) / OPTIONS["nt_logistic"]["temperature"]
    alike = labels[i] == labels[j]
    attracted, repelled = torch.sigmoid(scaled[alike]), torch.sigmoid(-scaled[~alike])
    return -(attracted.log().mean() + repelled.log().mean()) / 2


def rarity(distance: float, width: int) -> float:
    """How rare a distance is between points spread evenly on the sphere, taken as 0.5 at least; 0 from 1.4."""
    near = max(distance, 0.5)
    density = near ** (width - 2) * (1 - near**2 / 4) ** ((width - 3) / 2)
    return 1 / density if distance < 1.4 else 0.0


def drawn(candidates: list[int], weights: list[float], uniform: float) -> int:
    """The first candidate at which the weights' running share exceeds the uniform number."""
    running = 0.0
    for candidate, weight in zip(candidates, weights, strict=True):
        running += weight
        if running > uniform * sum(weights):
            return candidate
    raise AssertionError("a uniform number of 1 or more")


def slow_margin_sampled(beta: nn.Parameter) -> Loss:
    def loss(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        alpha = OPTIONS["margin_sampled"]["alpha"]
        unit = F.normalize(hidden, dim=1)
        apart = torch.cdist(unit.detach(), unit.detach(), compute_mode="donot_use_mm_for_euclid_dist")
        near, far = [], []
        for i in range(len(labels)):
            positives, negatives = positives_and_negatives(labels, i)
            if positives:
                j = drawn(positives, [1.0] * len(positives), float(draws[i, 0]))
                near.append((alpha + (unit[i] - unit[j]).norm() - beta).clamp_min(0))
            if negatives:
                weights = [rarity(float(apart[i, k]), hidden.shape[1]) for k in negatives]
                k = drawn(negatives, weights if any(weights) else [1.0] * len(weights), float(draws[i, 1]))
                far.append((alpha - (unit[i] - unit[k]).norm() + beta).clamp_min(0))
        return sum(torch.stack(costs).mean() for costs in (near, far) if costs) / 2

    return loss


def slow_decay(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).square().sum() / 2


def slow_smoothing(weight: float) -> Loss:
    def loss(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        return F.cross_entropy(model.head(hidden), labels, label_smoothing=weight)

    return loss


def slow_crl(level: float) -> Loss:
    """Relaxed cross entropy and relaxed centre loss, the phases in plain branches."""
    o = OPTIONS["crl"]

    def loss(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        logits = model.head(hidden)
        classes, rows = logits.shape[1], torch.arange(len(labels))
        confidence = torch.softmax(logits, 1)[rows, labels]
        bounded = logits / (1 + o["bound"] * logits.norm(dim=1, keepdim=True))
        centres = torch.randn(classes, hidden.shape[1], generator=stream(0, "crl-centres")).to(hidden.dtype)
        centres = centres / (1 + o["centre_bound"] * centres.norm(dim=1, keepdim=True))
        h = hidden / (1 + o["centre_bound"] * hidden.norm(dim=1, keepdim=True))
        entropy = F.cross_entropy(bounded, labels)
        own = confidence.clamp_max(o["ceiling"])
        targets = ((1 - own) / (classes - 1)).unsqueeze(1).repeat(1, classes)
        targets[rows, labels] = own
        distance = (h - centres[labels]).square().sum(1) / 2
        force = confidence.clamp_max(o["centre_ceiling"])
        pulled = force * distance + (1 - force) * h.square().sum(1) / 2
        parts = [
            (entropy, level, F.cross_entropy(bounded, targets)),
            (distance.mean(), o["centre_level"], pulled.mean()),
        ]
        relaxed = []
        for mean, threshold, flattened in parts:
            if mean > threshold:
                relaxed.append(mean - threshold if draws[0, 0] < 0.5 else mean)
            else:
                relaxed.append(threshold - mean if draws[0, 0] < 0.5 else flattened)
        return relaxed[0] + o["centre_weight"] * relaxed[1]

    return loss


TERMS: dict[str, Loss] = {
    "logit_squeezing": slow_squeezing,
    "manifold_mixup": slow_mixup,
    "contrastive": slow_contrastive,
    "snnl": slow_snnl,
    "snnl_printed": slow_snnl_printed,
    "base_contrastive": slow_base_contrastive,
    "triplet": slow_triplet,
    "nt_xent": slow_nt_xent,
    "nt_logistic": slow_nt_logistic,
    "weight_decay": slow_decay,
}
WHOLE: dict[str, Callable[[float], Loss]] = {"label_smoothing": slow_smoothing, "crl": slow_crl}
"""Those whose weight is no factor of a term: the whole loss, of the weight."""
DEFENCES = ["none", *TERMS, *WHOLE, *BOUNDED]


def slow_loss(defence: str, weight: float, beta: nn.Parameter) -> Loss:
    """A defence's whole training loss, written out for one model."""
    if defence == "none":
        return cross_entropy
    if defence in WHOLE:
        return WHOLE[defence](weight)
    learning = {"margin": slow_margin, "margin_sampled": slow_margin_sampled}
    term = learning[defence](beta) if defence in BOUNDED else TERMS[defence]
    plain = 1 - weight if defence == "manifold_mixup" else 1.0

    def loss(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        own = cross_entropy(model, hidden, labels, draws)
        return plain * own + weight * term(model, hidden, labels, draws)

    return loss
