"""Losses of a fleet: cross entropy, truong2020 2.3's regularisers (eqs. 1-6), desanctis 3.1's margin loss.

Every function takes tensors stacked over K models and returns (K,) losses, the k-th depending on the k-th model alone.
B is the batch, D the width of the last hidden representation h(x), C the number of classes: hidden float (K, B, D),
logits float (K, B, C), labels int64 (K, B). Results have the input's dtype; no distance, norm or empty set of pairs
gives a non-finite gradient.

Loss terms over pairs are computed from squared distances from one Gram matrix per model. A pair whose squared distance
is below that product's rounding error counts as coinciding: distance 0, gradient 0. They need the full precision of
their dtype: call them outside autocast and with TF32 off.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Scalar = float | Tensor
"""One number for the whole fleet, or a tensor (K,) with one per model."""


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Batch mean of the cross entropy of `logits` (K, B, C) against `labels` (K, B): (K,)."""
    own = logits.take_along_dim(labels.unsqueeze(2), 2).squeeze(2)
    return (logits.logsumexp(2) - own).mean(1)


def logit_squeezing(logits: Tensor) -> Tensor:
    """Batch mean of the L2 norm of each image's logits (truong2020 2.3): (K,)."""
    norms: Tensor = torch.linalg.vector_norm(logits, dim=2)
    return norms.mean(1)


def mixup(logits: Tensor, labels: Tensor, gamma: Tensor, partner: Tensor) -> Tensor:
    """Manifold mixup at the last hidden representation (truong2020 eqs. 1-3): (K,), the mean over the batch.

    Image i of model k is mixed with image `partner[k, i]` of the same batch, at weight `gamma[k, i]` in
    [0, 1] for itself (the paper: uniform). `gamma` float (K, B), `partner` int64 (K, B).

    The classifier on h is affine before its softmax, so mixing the hidden states and applying it (eq. 2) is the same as
    mixing their logits; and the cross entropy is linear in its target (eq. 3). Hence neither h nor the classifier's
    weights are needed, nor a second pass through it.
    """
    weight = gamma.unsqueeze(2)
    others = logits.take_along_dim(partner.unsqueeze(2), 1)
    mixed = torch.lerp(others, logits, weight)
    targets = torch.stack((labels.take_along_dim(partner, 1), labels), 2)
    other, own = mixed.take_along_dim(targets, 2).unbind(2)
    return (mixed.logsumexp(2) - torch.lerp(other, own, gamma)).mean(1)


def contrastive(hidden: Tensor, labels: Tensor, margin: Scalar, classes: int) -> Tensor:
    """Contrastive regularisation (truong2020 eqs. 4-5), the mean over all ordered pairs i != j: (K,).

    `margin` is the paper's c > 0, the distance beyond which different classes stop repelling each other;
    `classes` its n >= 2. A batch of one has no pairs and costs 0.
    """
    alike = _alike(labels)
    slope = torch.where(alike, 1.0, 1.0 - classes).to(hidden.dtype) / classes
    reach = _each(margin, hidden) * ~alike
    terms = (
        slope * (_distances(hidden) - reach)
    ).relu()  # an image with itself: same label at distance 0, no term
    batch = labels.shape[1]
    return terms.sum((1, 2)) / max(batch * (batch - 1), 1)


def soft_nearest_neighbour(hidden: Tensor, labels: Tensor, temperature: Scalar) -> Tensor:
    """Soft nearest neighbour loss in its source's form (Frosst et al. 2019; truong2020's [14]): (K,).

    Minus the log of the chance that image i's neighbour, drawn with weight exp(-distance^2 / `temperature`), has image
    i's label; the mean over the images that share their label with another one in the batch, or 0. `temperature` > 0,
    in squared units of h.
    """
    return _neighbour_loss(hidden, labels, temperature, same=True)


def soft_nearest_neighbour_printed(hidden: Tensor, labels: Tensor, temperature: Scalar) -> Tensor:
    """The same loss as truong2020's eq. (6) prints it, its numerator over pairs of *different* labels: (K,).

    Minimising it draws the classes together, the opposite of what its text says; it is kept to test the claim on both
    forms. The print's denominator, over k != j with j bound elsewhere, is read as k != i, and the batch mean that it
    omits is taken (over the images that have one with another label in the batch, or 0).
    """
    return _neighbour_loss(hidden, labels, temperature, same=False)


def margin(hidden: Tensor, labels: Tensor, alpha: Scalar, beta: Tensor, normalised: bool = True) -> Tensor:
    """Margin-based contrastive loss (desanctis 3.1 and 4.2; Wu et al. 2017): (K,).

    A pair costs (`alpha` + y (distance - `beta`))_+, y = 1 for one label, -1 for two. The loss is half the mean over
    all positive pairs plus half the mean over all negative ones: the average under a sampler that draws equal numbers
    of both, as Wu et al. do; a plain mean would be dominated by negatives, C - 1 for each positive. A kind without
    pairs in the batch adds nothing. `beta` (K,) is learnable: the gradient reaches it.

    With `normalised`, h is first scaled to unit length: desanctis gives no constants, and Wu et al.'s (alpha 0.2, beta
    from 1.2) are stated for distances within [0, 2]; with an unscaled h, the same alpha would mean a different margin
    for every architecture and epoch. Without it, the distances are those of eq. (1).
    """
    distances = _distances(_unit(hidden) if normalised else hidden)
    positive = _alike(labels).to(hidden.dtype)
    negative = 1 - positive
    sign = positive - negative
    costs = (_each(alpha, hidden) + sign * (distances - _each(beta, hidden))).relu()
    positive.diagonal(dim1=1, dim2=2).zero_()
    weights = _shares(positive) + _shares(negative)
    return (costs * weights).sum((1, 2)) / 2


def _neighbour_loss(hidden: Tensor, labels: Tensor, temperature: Scalar, *, same: bool) -> Tensor:
    """Mean over anchors of log(sum over all others) - log(sum over those whose label agrees or differs, as asked)."""
    itself = torch.eye(labels.shape[1], dtype=torch.bool, device=labels.device)
    alike = _alike(labels)
    outside = (~alike if same else alike) | itself
    lowest = torch.finfo(hidden.dtype).min
    weights = _squared_distances(hidden) / -_each(temperature, hidden)
    chosen = weights.masked_fill(outside, lowest)
    largest, nearest = chosen.detach().max(2, keepdim=True)
    # log(sum over all) - log(sum over the chosen) is the gap between the two log-softmaxes at any chosen entry; at the
    # largest entry neither underflows.
    among_chosen = F.log_softmax(chosen, dim=2).take_along_dim(nearest, 2).squeeze(2)
    among_all = (
        F.log_softmax(weights.masked_fill(itself, lowest), dim=2).take_along_dim(nearest, 2).squeeze(2)
    )
    has_partner = largest.squeeze(2) > lowest
    costs = (among_chosen - among_all) * has_partner
    return costs.sum(1) / has_partner.sum(1).clamp_min(1)


def _each(value: Scalar, like: Tensor) -> Tensor:
    """The value as a tensor that broadcasts over (K, B, B)."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device).reshape(-1, 1, 1)


def _alike(labels: Tensor) -> Tensor:
    return labels.unsqueeze(2) == labels.unsqueeze(1)


def _shares(pairs: Tensor) -> Tensor:
    """Each model's 0s and 1s (K, B, B) scaled to a sum of 1, or left 0."""
    return pairs / pairs.sum((1, 2), keepdim=True).clamp_min(1)


def _unit(hidden: Tensor) -> Tensor:
    """Rows at unit length; a row shorter than a millionth has no direction and becomes 0, with gradient 0."""
    squares = hidden.square().sum(2, keepdim=True)
    return hidden * torch.where(squares > 1e-12, squares.clamp_min(1e-12).rsqrt(), 0)


def _distances(hidden: Tensor) -> Tensor:
    """Euclidean distances (K, B, B); 0 is the root of the smallest normal float, with gradient 0."""
    return _squared_distances(hidden).clamp_min(torch.finfo(hidden.dtype).tiny).sqrt()


def _squared_distances(hidden: Tensor) -> Tensor:
    squared: Tensor = _SquaredDistances.apply(hidden)  # type: ignore[no-untyped-call]
    return squared


class _SquaredDistances(torch.autograd.Function):
    """Squared distances (K, B, B) of the rows of (K, B, D): one matrix product forward and one backward.

    Rows are centred first, which does not change distances and reduces cancellation in the Gram matrix.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor) -> Tensor:
        """Squared distances; those explained by rounding alone (up to 4.5 eps measured, for B up to 128) become 0."""
        centred = hidden - hidden.mean(1, keepdim=True)
        ctx.save_for_backward(centred)
        norms = centred.square().sum(2)
        sums = norms.unsqueeze(2) + norms.unsqueeze(1)
        squared = torch.baddbmm(sums, centred, centred.mT, alpha=-2)
        rounding = 16 * torch.finfo(hidden.dtype).eps
        return squared.masked_fill_(squared <= sums.mul_(rounding), 0)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Tensor:
        """With W the upstream gradient plus its transpose, row i's gradient is 2 sum_j W_ij (h_i - h_j)."""
        (centred,) = ctx.saved_tensors
        both = upstream[0] + upstream[0].mT
        own = both.sum(2, keepdim=True) * centred
        return torch.baddbmm(own, both, centred, beta=2, alpha=-2)
