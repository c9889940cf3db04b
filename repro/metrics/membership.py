"""Membership exposure: M_mem of desanctis 2.3 (Song and Mittal 2021's modified entropy), its AUC and its ROC.

A member of the training set tends to score *lower* than an image that was never trained on. Everything here
is vectorised over leading dimensions (a fleet's models) and exact: no binning, no clipped confidences.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def membership_metric(logits: Tensor, labels: Tensor) -> Tensor:
    """M_mem of every image under its true label, in nats: float64 (..., n), in [0, infinity).

    `logits` float (..., n, C) with C >= 2, `labels` int64 (..., n). ValueError if a logit is not finite.

    With a_i = logsumexp over j != i of z_j, minus z_i, the confidence f_i is sigmoid(-a_i) and its complement
    sigmoid(a_i), so that

        M = sigmoid(a_y) softplus(a_y) + sum over i != y of sigmoid(-a_i) softplus(-a_i).

    1 - f is never computed, so M keeps full relative precision up to a logit gap of about 350, whereas f itself rounds
    to 1 from a gap of 37 on. From about 370 on, certainty in the true label gives exactly 0.
    """
    if not logits.isfinite().all():
        raise ValueError("M_mem needs finite logits: the model that gave these has diverged")
    z = logits.double()
    nothing = z.new_full((*z.shape[:-1], 1), -torch.inf)
    before = torch.cat((nothing, z.logcumsumexp(-1)[..., :-1]), -1)
    after = torch.cat((z.flip(-1).logcumsumexp(-1)[..., :-1].flip(-1), nothing), -1)
    a = torch.logaddexp(before, after) - z
    is_label = F.one_hot(labels, z.shape[-1]).bool()
    signed = torch.where(is_label, a, -a)
    return (signed.sigmoid() * F.softplus(signed, threshold=40.0)).sum(-1)


def auc(member_scores: Tensor, nonmember_scores: Tensor) -> Tensor:
    """Chance that a random member scores lower than a random non-member, a tie counting half: float64 (...).

    The area under the ROC curve of "low score: member". `member_scores` (..., n) and `nonmember_scores` (..., m), n and
    m >= 1, same leading dimensions. Raises ValueError for an empty set or a score that is NaN.
    """
    below, tied = _pairs(member_scores, nonmember_scores)
    return (below + tied / 2).double()


def ties(member_scores: Tensor, nonmember_scores: Tensor) -> Tensor:
    """Share of (member, non-member) pairs with equal scores, in [0, 1]: float64 (...). Otherwise like `auc`."""
    return _pairs(member_scores, nonmember_scores)[1]


def roc_tpr(member_scores: Tensor, nonmember_scores: Tensor, fprs: list[float]) -> Tensor:
    """True-positive rate at each allowed false-positive rate: float64 (..., len(fprs)).

    The largest share of members that a threshold "score <= t: member" can find while the share of non-members mistaken
    for members is at most the allowed rate. Thresholds are not interpolated, so a rate below 1/m allows no false
    positive at all. Rates in [0, 1], else ValueError. Otherwise like `auc`.
    """
    member_scores, nonmember_scores = _checked(member_scores, nonmember_scores)
    n, m = member_scores.shape[-1], nonmember_scores.shape[-1]
    reachable = torch.arange(m + 1, dtype=torch.float64, device=nonmember_scores.device) / m
    wanted = torch.tensor(fprs, dtype=torch.float64, device=nonmember_scores.device)
    if not ((wanted >= 0) & (wanted <= 1)).all():
        raise ValueError(f"false-positive rates are in [0, 1], not {fprs}")
    allowed = torch.searchsorted(reachable, wanted, right=True) - 1
    ordered = torch.cat(
        (
            nonmember_scores.sort(-1).values,
            nonmember_scores.new_full((*nonmember_scores.shape[:-1], 1), torch.inf),
        ),
        -1,
    )
    first_refused = ordered[..., allowed]
    found = torch.searchsorted(member_scores.sort(-1).values, first_refused)
    return torch.where(allowed == m, 1.0, found.double() / n)


def _pairs(member_scores: Tensor, nonmember_scores: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of all n m pairs in which the member is strictly below, and in which both are equal: float64."""
    member_scores, nonmember_scores = _checked(member_scores, nonmember_scores)
    n, m = member_scores.shape[-1], nonmember_scores.shape[-1]
    ordered = nonmember_scores.sort(-1).values
    at_or_below = torch.searchsorted(ordered, member_scores, right=True).sum(-1)
    below = torch.searchsorted(ordered, member_scores).sum(-1)
    return (n * m - at_or_below).double() / (n * m), (at_or_below - below).double() / (n * m)


def _checked(member_scores: Tensor, nonmember_scores: Tensor) -> tuple[Tensor, Tensor]:
    """Both as contiguous tensors, which searchsorted needs."""
    for name, scores in (("member", member_scores), ("non-member", nonmember_scores)):
        if scores.shape[-1] == 0:
            raise ValueError(f"no {name} scores: a ROC curve needs members and non-members")
        if scores.isnan().any():
            raise ValueError(f"NaN among the {name} scores")
    return member_scores.contiguous(), nonmember_scores.contiguous()
