"""Losses over pairs and triplets, the alternatives in desanctis' comparative study (2.6, 3.1, 4.2).

Every function takes tensors stacked over K models and returns (K,) losses, the k-th depending on the k-th model alone:
hidden float (K, B, D), labels int64 (K, B), as in `repro.losses.terms`, whose margin loss is the one the study
proposes. All of them first scale h to unit length, as that one does, so that a margin or temperature means the same for
every architecture: distances lie in [0, 2], similarities in [-1, 1].

A loss on distances has an inner function, `<name>_of`, that takes a matrix of distances (K, B, B) and the labels. Which
entries it sums over is defined once, in `pairs` and `kinds`, which `terms` also counts. A kind of pair that a batch
lacks adds nothing. No distance, row of zeros or empty set gives a non-finite gradient.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from repro.losses.terms import Scalar, _alike, _distances, _shares, _unit

# Wu et al. 2017, section 4: smaller distances are replaced by the first (which caps a negative's weight), and negatives
# beyond the second are never drawn, since with a boundary of 1.2 and a margin of 0.2 they cost nothing.
NEAREST = 0.5
FARTHEST = 1.4


def kinds(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which ordered pairs (anchor, other) are positive and which negative, bool (K, B, B) each."""
    alike = _alike(labels)
    itself = torch.eye(labels.shape[1], dtype=torch.bool, device=labels.device)
    return alike & ~itself, ~alike


def pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """The same for unordered pairs: those whose first image comes first in the batch."""
    positive, negative = kinds(labels)
    return positive.triu(1), negative.triu(1)


def terms(loss: str, labels: Tensor) -> Tensor:
    """How many summands a loss has for these labels, int64 (K,).

    `loss`: ``base_contrastive`` or ``margin`` (unordered pairs), ``triplet`` (anchor, positive and negative) or
    ``margin_sampled`` (one positive and one negative per anchor, if there are any). ValueError for other names.
    """
    if loss in ("base_contrastive", "margin"):
        positive, negative = pairs(labels)
        return (positive | negative).sum((1, 2))
    positive, negative = kinds(labels)
    if loss == "triplet":
        return _triplets(positive, negative)
    if loss == "margin_sampled":
        return positive.any(2).sum(1) + negative.any(2).sum(1)
    raise ValueError(f"the terms of {loss!r} are not counted")


def base_contrastive(hidden: Tensor, labels: Tensor, alpha: Scalar) -> Tensor:
    """The base contrastive loss of desanctis 3.1 on unit-length h: (K,); `alpha` > 0, 2 is the largest distance."""
    return base_contrastive_of(_distances(_unit(hidden)), labels, alpha)


def base_contrastive_of(distances: Tensor, labels: Tensor, alpha: Scalar) -> Tensor:
    """y D^2 + (1 - y) [`alpha` - D]_+^2, half the mean over positive pairs plus half that over negative ones: (K,).

    desanctis states the cost of a pair and not how pairs are combined. A plain mean is dominated by negatives, C - 1
    for each positive; with two half means, a weight means the same as for `losses.margin`, with which this loss is
    compared.
    """
    positive, negative = pairs(labels)
    costs = torch.where(positive, distances, (_over(alpha, distances) - distances).relu()).square()
    return _balanced(costs, positive, negative)


def margin_of(distances: Tensor, labels: Tensor, alpha: Scalar, beta: Scalar) -> Tensor:
    """`losses.margin` as a function of distances and over unordered pairs, the same means: (K,)."""
    positive, negative = pairs(labels)
    return _balanced(_margin_costs(distances, positive, alpha, beta), positive, negative)


def margin_sampled(hidden: Tensor, labels: Tensor, alpha: Scalar, beta: Scalar, draws: Tensor) -> Tensor:
    """The margin loss on pairs drawn as Wu et al. 2017 (section 4) draw them, of unit-length h: (K,).

    `draws` (K, B, 2), uniform in [0, 1): for each image as the anchor, one positive is drawn uniformly and one negative
    by its distance. The paper draws for every positive pair; here an anchor's one draw represents all of its positives,
    so that B anchors cost 2 B terms and each kind of pair has the same weight as in `losses.margin`.
    """
    return margin_sampled_of(_distances(_unit(hidden)), labels, alpha, beta, draws, hidden.shape[2])


def margin_sampled_of(
    distances: Tensor, labels: Tensor, alpha: Scalar, beta: Scalar, draws: Tensor, width: int
) -> Tensor:
    """Half the mean cost over the anchors with a positive, plus half that over those with a negative: (K,).

    The drawing depends on the distances, in `width` dimensions, but no gradient passes through it.
    """
    positive, negative = kinds(labels)
    partner = _drawn(positive.to(distances.dtype), draws[..., 0])
    opponent = _drawn(negative_weights(distances.detach(), negative, width), draws[..., 1])
    chosen = distances.take_along_dim(torch.stack((partner, opponent), 2), 2)
    attracts = torch.arange(2, device=distances.device) == 0
    there = torch.stack((positive.any(2), negative.any(2)), 2)
    costs = _margin_costs(chosen, attracts, alpha, beta)
    means = (costs * there).sum(1) / there.sum(1).clamp_min(1)
    return means.sum(1) / 2


def negative_weights(distances: Tensor, negative: Tensor, width: int) -> Tensor:
    """The weights in proportion to which negatives are drawn, (K, B, B): 1 / q(D), at least 0 and at most 1.

    q is the density of distances between points spread evenly on the unit sphere in `width` dimensions. An anchor with
    no negative within `FARTHEST` draws uniformly from all of its negatives.
    """
    near = distances.clamp(NEAREST, FARTHEST)
    log_density = (width - 2) * near.log() + (width - 3) / 2 * torch.log1p(-near.square() / 4)
    candidates = negative & (distances < FARTHEST)
    rarity = (-log_density).masked_fill(~candidates, -torch.inf)
    highest = rarity.amax(2, keepdim=True)
    none_near = highest == -torch.inf
    weights = (rarity - highest.masked_fill(none_near, 0)).exp()
    return torch.where(none_near, negative.to(distances.dtype), weights)


def triplet(hidden: Tensor, labels: Tensor, margin: Scalar) -> Tensor:
    """The margin triplet loss of unit-length h over all triplets of the batch (desanctis 2.6): (K,)."""
    return triplet_of(_distances(_unit(hidden)), labels, margin)


def triplet_of(distances: Tensor, labels: Tensor, margin: Scalar) -> Tensor:
    """Mean of [D_ap - D_an + `margin`]_+ over all anchors a, positives p and negatives n; 0 if there are none: (K,).

    `terms` counts the triplets, as the definition sums over them. Here an anchor's negatives are sorted: for a
    positive those within D_ap + `margin` come first, and their sum is a difference of running sums.
    """
    positive, negative = kinds(labels)
    limits = distances + _over(margin, distances)
    far = distances.masked_fill(~negative, torch.inf).sort(2).values
    within = torch.searchsorted(far.detach(), limits.detach())
    sums = F.pad(far.masked_fill(far.isinf(), 0).cumsum(2), (1, 0))
    costs = (within * limits - sums.take_along_dim(within, 2)) * positive
    return costs.sum((1, 2)) / _triplets(positive, negative).clamp_min(1)


def nt_xent(hidden: Tensor, labels: Tensor, temperature: Scalar) -> Tensor:
    """Normalised-temperature cross entropy, labels in place of SimCLR's augmented views (desanctis 2.6): (K,).

    For an anchor and a positive, minus the log of the chance of that positive among itself and the anchor's
    negatives, each weighted by exp(cosine / `temperature`); the mean over all ordered positive pairs, or 0.
    """
    positive, negative = kinds(labels)
    scaled = _cosines(hidden) / _over(temperature, hidden)
    lowest = torch.finfo(hidden.dtype).min
    against = scaled.masked_fill(~negative, lowest).logsumexp(2, keepdim=True)
    return -(F.logsigmoid(scaled - against) * _shares(positive.to(hidden.dtype))).sum((1, 2))


def nt_logistic(hidden: Tensor, labels: Tensor, temperature: Scalar) -> Tensor:
    """SimCLR's NT-Logistic (Chen et al. 2020, Table 2) with labels in place of views (desanctis 2.6): (K,).

    A pair of cosine s costs -log sigmoid(s / `temperature`) when positive and -log sigmoid(-s / `temperature`) when
    negative. The two kinds have equal weight, as in `base_contrastive_of`.
    """
    positive, negative = pairs(labels)
    scaled = _cosines(hidden) / _over(temperature, hidden)
    return _balanced(-F.logsigmoid(torch.where(positive, scaled, -scaled)), positive, negative)


def _margin_costs(distances: Tensor, positive: Tensor, alpha: Scalar, beta: Scalar) -> Tensor:
    beyond = distances - _over(beta, distances)
    return (_over(alpha, distances) + torch.where(positive, beyond, -beyond)).relu()


def _balanced(costs: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Half the mean cost (K, B, B) of the positive pairs plus half that of the negative ones: (K,)."""
    weights = _shares(positive.to(costs.dtype)) + _shares(negative.to(costs.dtype))
    return (costs * weights).sum((1, 2)) / 2


def _triplets(positive: Tensor, negative: Tensor) -> Tensor:
    return (positive.sum(2) * negative.sum(2)).sum(1)


def _cosines(hidden: Tensor) -> Tensor:
    unit = _unit(hidden)
    return unit @ unit.mT


def _drawn(weights: Tensor, uniform: Tensor) -> Tensor:
    """One index per row, int64 (K, B), drawn in proportion to the weights (K, B, B); 0 where all are 0."""
    cumulative = weights.cumsum(2)
    total = cumulative[:, :, -1:]
    # A product that rounds up to the total would point past the last entry.
    below = 1 - torch.finfo(weights.dtype).eps
    target = (uniform.to(weights.dtype).unsqueeze(2) * total).minimum(total * below)
    return (cumulative > target).int().argmax(2)


def _over(value: Scalar, like: Tensor) -> Scalar:
    """The value so that it broadcasts over (K, B, ...): a plain number stays one, and nothing is sent to the device."""
    return value.to(like.dtype).reshape(-1, 1, 1) if isinstance(value, Tensor) else value
