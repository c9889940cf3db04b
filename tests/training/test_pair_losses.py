"""Losses over pairs and triplets: against double loops, against pytorch-metric-learning, and at their edges."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning import losses as published
from pytorch_metric_learning.miners import DistanceWeightedMiner, distance_weighted_miner
from pytorch_metric_learning.reducers import DoNothingReducer, MeanReducer
from torch import Tensor, nn

from repro.losses import pairs as pair_losses
from repro.losses import terms as losses

ALPHA, BETA, MARGIN, CONSTANT, TEMPERATURE = 0.2, 1.2, 0.3, 0.9, 0.4

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Of hidden (K, B, D), labels (K, B) and draws (K, B, 2)."""

LOSSES: dict[str, Loss] = {
    "base_contrastive": lambda h, y, u: pair_losses.base_contrastive(h, y, CONSTANT),
    "triplet": lambda h, y, u: pair_losses.triplet(h, y, MARGIN),
    "nt_xent": lambda h, y, u: pair_losses.nt_xent(h, y, TEMPERATURE),
    "nt_logistic": lambda h, y, u: pair_losses.nt_logistic(h, y, TEMPERATURE),
    "margin_sampled": lambda h, y, u: pair_losses.margin_sampled(h, y, ALPHA, BETA, u),
}
COUNTED = ["base_contrastive", "margin", "triplet", "margin_sampled"]

Fleet = tuple[Tensor, Tensor, Tensor]


def fleet(members: int, batch: int, width: int, seed: int, dtype: torch.dtype = torch.float64) -> Fleet:
    g = torch.Generator().manual_seed(seed)
    hidden = torch.randn(members, batch, width, generator=g, dtype=dtype)
    labels = torch.randint(0, 3, (members, batch), generator=g)
    return hidden, labels, torch.rand(members, batch, 2, generator=g, dtype=dtype)


fleets = st.builds(fleet, st.integers(1, 3), st.integers(1, 8), st.integers(2, 6), st.integers(0, 10**6))


def balanced(seed: int, classes: int = 3, each: int = 4, width: int = 5) -> tuple[Tensor, Tensor]:
    """One model's hidden (n, width) and labels (n,), as many of each class."""
    g = torch.Generator().manual_seed(seed)
    hidden = torch.randn(classes * each, width, generator=g, dtype=torch.float64)
    return hidden, torch.randperm(classes * each, generator=g) % classes


def unit(rows: Tensor) -> list[list[float]]:
    return [[x / math.hypot(*row) for x in row] for row in rows.tolist()]


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def others(y: list[int], i: int) -> tuple[list[int], list[int]]:
    rest = [j for j in range(len(y)) if j != i]
    return [j for j in rest if y[j] == y[i]], [j for j in rest if y[j] != y[i]]


def slow(name: str, h: Tensor, labels: Tensor, u: Tensor) -> float:
    """One model's loss and nothing shared with the project but the constants of Wu et al.'s sampling."""
    x, y = unit(h), labels.tolist()
    positive: list[float] = []
    negative: list[float] = []
    for i in range(len(y)):
        alike, different = others(y, i)
        near = {j: math.dist(x[i], x[j]) for j in alike}
        far = {k: math.dist(x[i], x[k]) for k in different}
        scaled = {
            j: math.fsum(a * b for a, b in zip(x[i], x[j], strict=True)) / TEMPERATURE for j in near | far
        }
        if name == "base_contrastive":
            positive += [d**2 for d in near.values()]
            negative += [max(0.0, CONSTANT - d) ** 2 for d in far.values()]
        elif name == "margin":
            positive += [max(0.0, ALPHA + d - BETA) for d in near.values()]
            negative += [max(0.0, ALPHA - d + BETA) for d in far.values()]
        elif name == "triplet":
            positive += [max(0.0, d - e + MARGIN) for d in near.values() for e in far.values()]
        elif name == "nt_xent":
            against = sum(math.exp(scaled[k]) for k in different)
            positive += [-math.log(math.exp(scaled[j]) / (math.exp(scaled[j]) + against)) for j in alike]
        elif name == "nt_logistic":
            positive += [math.log1p(math.exp(-scaled[j])) for j in alike]
            negative += [math.log1p(math.exp(scaled[k])) for k in different]
        elif name == "margin_sampled":
            if alike:
                j = alike[int(float(u[i, 0]) * len(alike))]
                positive.append(max(0.0, ALPHA + near[j] - BETA))
            if different:
                chances = slow_chances(far, len(x[i]))
                running, k = 0.0, different[-1]
                for candidate in different:
                    running += chances[candidate]
                    if running > float(u[i, 1]):
                        k = candidate
                        break
                negative.append(max(0.0, ALPHA - far[k] + BETA))
    if name in ("triplet", "nt_xent"):
        return mean(positive)
    return mean(positive) / 2 + mean(negative) / 2


def slow_chances(far: dict[int, float], width: int) -> dict[int, float]:
    """Of each negative, by its distance: one over the density of its distance on the sphere."""

    def rarity(d: float) -> float:
        near = max(d, 0.5)
        return 1 / (near ** (width - 2) * (1 - near**2 / 4) ** ((width - 3) / 2)) if d < 1.4 else 0.0

    weights = {k: rarity(d) for k, d in far.items()}
    if not any(weights.values()):
        weights = dict.fromkeys(far, 1.0)
    return {k: w / sum(weights.values()) for k, w in weights.items()}


def one(loss: str, hidden: Tensor, labels: Tensor) -> Tensor:
    """A stacked loss of a single model, which draws nothing."""
    return LOSSES[loss](hidden.unsqueeze(0), labels.unsqueeze(0), hidden.new_zeros(0)).squeeze(0)


def same_value_and_slope(
    ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor], at: Tensor
) -> None:
    found = []
    for loss in (ours, theirs):
        h = at.clone().requires_grad_()
        value = loss(h)
        found.append((value.detach(), torch.autograd.grad(value, h)[0]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-11)
    assert (found[0][1] != 0).any()


@pytest.mark.parametrize("name", LOSSES)
@given(fleets)
@settings(deadline=None, max_examples=40)
def test_each_loss_is_its_definition_written_as_loops(name: str, f: Fleet) -> None:
    expected = [slow(name, *member) for member in zip(*f, strict=True)]
    torch.testing.assert_close(
        LOSSES[name](*f), torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-9
    )


@given(fleets)
@settings(deadline=None, max_examples=40)
def test_the_margin_loss_on_distances_is_the_margin_loss(f: Fleet) -> None:
    h, y, _ = f
    rows = [unit(member) for member in h]
    distances = torch.tensor([[[math.dist(a, b) for b in m] for a in m] for m in rows], dtype=h.dtype)
    beta = torch.linspace(0.6, BETA, len(h), dtype=torch.float64)
    expected = losses.margin(h, y, ALPHA, beta)
    torch.testing.assert_close(pair_losses.margin_of(distances, y, ALPHA, beta), expected)
    flat = torch.tensor([slow("margin", *m) for m in zip(*f, strict=True)], dtype=torch.float64)
    torch.testing.assert_close(losses.margin(h, y, ALPHA, h.new_full((len(h),), BETA)), flat)


@pytest.mark.parametrize("seed", range(4))
def test_base_contrastive_is_the_squared_terms_of_pytorch_metric_learnings(seed: int) -> None:
    h, y = balanced(seed)

    def theirs(hidden: Tensor) -> Tensor:
        parts = published.ContrastiveLoss(0, CONSTANT, reducer=DoNothingReducer())(hidden, y)
        means = [parts[kind]["losses"].square().mean() for kind in ("pos_loss", "neg_loss")]
        return (means[0] + means[1]) / 2

    same_value_and_slope(lambda hidden: one("base_contrastive", hidden, y), theirs, h)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["triplet", "nt_xent"])
def test_triplet_and_nt_xent_are_pytorch_metric_learnings(name: str, seed: int) -> None:
    h, y, _ = (tensor[0] for tensor in fleet(1, 12, 5, seed))
    theirs = {
        "triplet": published.TripletMarginLoss(MARGIN, reducer=MeanReducer()),
        "nt_xent": published.NTXentLoss(TEMPERATURE),
    }[name]
    same_value_and_slope(lambda hidden: one(name, hidden, y), lambda hidden: theirs(hidden, y), h)


@pytest.mark.parametrize("seed", range(4))
def test_the_margin_loss_and_its_slopes_in_h_and_beta_are_pytorch_metric_learnings(seed: int) -> None:
    """With as many of each class, a mean over triplets is one over positive pairs plus one over negative pairs."""
    h, y = balanced(seed)
    start = 0.9 + 0.2 * seed
    theirs = published.MarginLoss(ALPHA, beta=start, learn_beta=True, reducer=MeanReducer())
    theirs.beta = nn.Parameter(torch.tensor([start], dtype=torch.float64))
    beta = torch.tensor([start], dtype=torch.float64, requires_grad=True)

    def ours(hidden: Tensor) -> Tensor:
        return losses.margin(hidden.unsqueeze(0), y.unsqueeze(0), ALPHA, beta).squeeze(0)

    same_value_and_slope(ours, lambda hidden: theirs(hidden, y) / 2, h)
    (slope,) = torch.autograd.grad(ours(h), beta)
    (expected,) = torch.autograd.grad(theirs(h, y) / 2, theirs.beta)
    torch.testing.assert_close(slope, expected)
    assert slope != 0


@pytest.mark.parametrize("width", [2, 3, 8])
def test_negatives_are_weighted_as_pytorch_metric_learnings_miner_weighs_them(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    h, y = balanced(3, each=6, width=width)
    seen: list[Tensor] = []

    def indices(labels: Tensor, ref_labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        seen.append(weights)
        return (labels[:0],) * 3

    monkeypatch.setattr(distance_weighted_miner.lmu, "get_random_triplet_indices", indices)
    DistanceWeightedMiner()(h, y)
    distances = losses._distances(losses._unit(h.unsqueeze(0)))
    _, negative = pair_losses.kinds(y.unsqueeze(0))
    weights = pair_losses.negative_weights(distances, negative, width).squeeze(0)
    drawn_by_distance = seen[0].isfinite().all(1)
    assert drawn_by_distance.sum() >= 12
    ours = weights / weights.sum(1, keepdim=True)
    torch.testing.assert_close(ours[drawn_by_distance], seen[0][drawn_by_distance])
    assert ((weights >= 0) & (weights <= 1)).all()


def chosen(distances: Tensor, labels: list[int], draws: Tensor, width: int) -> Tensor:
    """How often each entry of a matrix of distances is drawn, by the slope: with alpha at 10 every hinge is active."""
    repeated = distances.expand(len(draws), -1, -1).clone().requires_grad_()
    y = torch.tensor(labels).expand(len(draws), -1)
    loss = pair_losses.margin_sampled_of(repeated, y, 10.0, BETA, draws, width)
    (slope,) = torch.autograd.grad(loss.sum(), repeated)
    return (slope != 0).double().mean(0)


def test_draws_have_the_chances_of_their_weights() -> None:
    """Over 4,000 evenly spaced uniform numbers, a share is off by at most one of them."""
    h, _, _ = fleet(1, 8, 4, seed=5)
    labels = [0, 0, 0, 1, 1, 2, 2, 2]
    distances = losses._distances(losses._unit(h))
    grid = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    frequency = chosen(distances, labels, grid.reshape(-1, 1, 1).expand(-1, 8, 2), 4)
    for i in range(8):
        alike, different = others(labels, i)
        chances = slow_chances({k: float(distances[0, i, k]) for k in different}, 4)
        for j in range(8):
            expected = 0 if i == j else 1 / len(alike) if j in alike else chances[j]
            assert abs(float(frequency[i, j]) - expected) <= 1 / 4000 + 1e-9
    assert len({round(float(c), 3) for c in frequency.flatten() if 0.01 < c < 0.99}) > 6


def test_with_no_negative_near_all_are_drawn_alike_and_else_no_far_one_is() -> None:
    d = torch.tensor([[[0.0, 0.3, 1.5, 1.9], [0.3, 0.0, 1.39, 1.41], [1.5, 1.39, 0, 1], [1.9, 1.41, 1, 0]]])
    grid = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    frequency = chosen(d.double(), [0, 0, 1, 1], grid.reshape(-1, 1, 1).expand(-1, 4, 2), 4)
    torch.testing.assert_close(frequency[:2, 2:], torch.tensor([[0.5, 0.5], [1.0, 0.0]]).double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_largest_uniform_numbers_draw_a_candidate_too(dtype: torch.dtype) -> None:
    for batch in range(3, 40):
        h, y, _ = fleet(1, batch, 3, seed=batch, dtype=dtype)
        y[0, -2:] = y[0, 0]
        d = losses._distances(losses._unit(h))
        for largest in (1 - 2.0**-24, 1.0):
            taken = chosen(d, y[0].tolist(), torch.full((1, batch, 2), largest, dtype=torch.float64), 3)
            positive, negative = pair_losses.kinds(y)
            assert torch.equal((taken * positive[0]).sum(1) > 0, positive[0].any(1))
            assert torch.equal((taken * negative[0]).sum(1) > 0, negative[0].any(1))


def test_every_anchor_weighs_alike_and_the_drawing_adds_no_slope() -> None:
    """Each kind's slopes add up to a half, evenly over the anchors that have one, and no other entry has any."""
    h, y, u = fleet(1, 9, 4, seed=8)
    distances = losses._distances(losses._unit(h)).requires_grad_()
    (slope,) = torch.autograd.grad(
        pair_losses.margin_sampled_of(distances, y, 10.0, BETA, u, 4).sum(), distances
    )
    positive, negative = pair_losses.kinds(y)
    anchors = [int(kind.any(2).sum()) for kind in (positive, negative)]
    torch.testing.assert_close(slope[positive].sum().item(), 0.5)
    torch.testing.assert_close(slope[negative].sum().item(), -0.5)
    assert set(slope[positive].tolist()) <= {0.0, 0.5 / anchors[0]}
    assert int((slope != 0).sum()) == sum(anchors)
