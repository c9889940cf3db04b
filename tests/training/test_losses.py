"""Each stacked loss against a double loop over its equation, its gradients, and its degenerate batches."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from repro.losses import terms as losses

ALPHA, BETA, MARGIN, TEMPERATURE, CLASSES = 0.2, 1.2, 3.0, 2.5, 4

Fleet = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""hidden (K, B, D), logits (K, B, C), labels, gamma and partner (K, B)."""


def fleet(members: int, batch: int, width: int, seed: int, dtype: torch.dtype = torch.float64) -> Fleet:
    g = torch.Generator().manual_seed(seed)
    hidden = torch.randn(members, batch, width, generator=g, dtype=dtype)
    logits = 2 * torch.randn(members, batch, CLASSES, generator=g, dtype=dtype)
    labels = torch.randint(0, CLASSES, (members, batch), generator=g)
    gamma = torch.rand(members, batch, generator=g, dtype=dtype)
    return hidden, logits, labels, gamma, torch.rand(members, batch, generator=g).argsort(1)


fleets = st.builds(fleet, st.integers(1, 3), st.integers(1, 7), st.integers(1, 5), st.integers(0, 10**6))


def distance(a: Tensor, b: Tensor) -> float:
    return math.dist(a.tolist(), b.tolist())


def pairs(batch: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(batch) for j in range(batch) if i != j]


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def log_probability(logits: Tensor, label: int) -> float:
    z = logits.tolist()
    return float(z[label] - math.log(sum(math.exp(v) for v in z)))


def slow_contrastive(h: Tensor, y: Tensor) -> float:
    terms = []
    for i, j in pairs(len(h)):
        d = distance(h[i], h[j])
        same = y[i] == y[j]
        terms.append(d / CLASSES if same else (CLASSES - 1) / CLASSES * max(0.0, MARGIN - d))
    return mean(terms)


def slow_neighbour(h: Tensor, y: Tensor, same: bool) -> float:
    terms = []
    for i in range(len(h)):
        weight = {j: math.exp(-(distance(h[i], h[j]) ** 2) / TEMPERATURE) for j in range(len(h)) if j != i}
        chosen = [w for j, w in weight.items() if bool(y[i] == y[j]) == same]
        if chosen:
            terms.append(-math.log(sum(chosen) / sum(weight.values())))
    return mean(terms)


def slow_margin(h: Tensor, y: Tensor, beta: float, normalised: bool) -> float:
    if normalised:
        h = torch.stack([row / math.hypot(*row.tolist()) for row in h])
    positive: list[float] = []
    negative: list[float] = []
    for i, j in pairs(len(h)):
        sign, kind = (1, positive) if y[i] == y[j] else (-1, negative)
        kind.append(max(0.0, ALPHA + sign * (distance(h[i], h[j]) - beta)))
    return mean(positive) / 2 + mean(negative) / 2


def agrees(stacked: Tensor, slow: list[float]) -> None:
    torch.testing.assert_close(stacked, torch.tensor(slow, dtype=torch.float64), rtol=1e-9, atol=1e-9)


@given(fleets)
@settings(deadline=None, max_examples=40)
def test_cross_entropy_and_logit_squeezing_are_their_definitions(f: Fleet) -> None:
    _, z, y, _, _ = f
    ce = [mean([-log_probability(z[k, i], int(y[k, i])) for i in range(z.shape[1])]) for k in range(len(z))]
    agrees(losses.cross_entropy(z, y), ce)
    agrees(losses.logit_squeezing(z), [mean([math.hypot(*row.tolist()) for row in m]) for m in z])


@given(fleets, st.integers(0, 10**6))
@settings(deadline=None, max_examples=40)
def test_mixing_logits_is_mixing_hidden_states_under_an_affine_classifier(f: Fleet, seed: int) -> None:
    h, _, y, gamma, partner = f
    g = torch.Generator().manual_seed(seed)
    weight = torch.randn(len(h), h.shape[2], CLASSES, generator=g, dtype=torch.float64)
    bias = torch.randn(len(h), CLASSES, generator=g, dtype=torch.float64)
    slow = []
    for k in range(len(h)):
        terms = []
        for i in range(h.shape[1]):
            j, share = int(partner[k, i]), float(gamma[k, i])
            mixed = ((1 - share) * h[k, j] + share * h[k, i]) @ weight[k] + bias[k]
            target = [0.0] * CLASSES
            target[int(y[k, j])] += 1 - share
            target[int(y[k, i])] += share
            terms.append(-sum(target[c] * log_probability(mixed, c) for c in range(CLASSES)))
        slow.append(mean(terms))
    logits = torch.baddbmm(bias.unsqueeze(1), h, weight)
    agrees(losses.mixup(logits, y, gamma, partner), slow)


@given(fleets)
@settings(deadline=None, max_examples=40)
def test_contrastive_is_equations_4_and_5_over_all_ordered_pairs(f: Fleet) -> None:
    h, _, y, _, _ = f
    agrees(losses.contrastive(h, y, MARGIN, CLASSES), [slow_contrastive(*m) for m in zip(h, y, strict=True)])


@given(fleets)
@settings(deadline=None, max_examples=40)
def test_neighbour_loss_is_frossts_and_its_printed_form_equation_6(f: Fleet) -> None:
    h, _, y, _, _ = f
    same = [slow_neighbour(*m, same=True) for m in zip(h, y, strict=True)]
    different = [slow_neighbour(*m, same=False) for m in zip(h, y, strict=True)]
    agrees(losses.soft_nearest_neighbour(h, y, TEMPERATURE), same)
    agrees(losses.soft_nearest_neighbour_printed(h, y, TEMPERATURE), different)


@given(fleets, st.booleans())
@settings(deadline=None, max_examples=40)
def test_margin_weighs_positive_and_negative_pairs_equally(f: Fleet, normalised: bool) -> None:
    h, _, y, _, _ = f
    beta = torch.linspace(0.5, BETA, len(h), dtype=torch.float64)
    slow = [slow_margin(h[k], y[k], float(beta[k]), normalised) for k in range(len(h))]
    agrees(losses.margin(h, y, ALPHA, beta, normalised=normalised), slow)


Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

ON_HIDDEN: dict[str, Loss] = {
    "contrastive": lambda h, y, _gamma, _partner: losses.contrastive(h, y, MARGIN, CLASSES),
    "snnl": lambda h, y, _gamma, _partner: losses.soft_nearest_neighbour(h, y, TEMPERATURE),
    "snnl_printed": lambda h, y, _gamma, _partner: losses.soft_nearest_neighbour_printed(h, y, TEMPERATURE),
    "margin": lambda h, y, _gamma, _partner: losses.margin(h, y, ALPHA, h.new_full((len(h),), BETA)),
    "margin_raw": lambda h, y, _gamma, _partner: losses.margin(
        h, y, ALPHA, h.new_full((len(h),), BETA), normalised=False
    ),
}
ON_LOGITS: dict[str, Loss] = {
    "cross_entropy": lambda z, y, _gamma, _partner: losses.cross_entropy(z, y),
    "logit_squeezing": lambda z, _y, _gamma, _partner: losses.logit_squeezing(z),
    "mixup": losses.mixup,
}
ALL = ON_HIDDEN | ON_LOGITS


def inputs(name: str, f: Fleet) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    hidden, logits, labels, gamma, partner = f
    return (hidden if name in ON_HIDDEN else logits), labels, gamma, partner


@pytest.mark.parametrize("name", ALL)
def test_gradient_is_that_of_finite_differences(name: str) -> None:
    x, *rest = inputs(name, fleet(2, 6, 3, seed=5))
    assert torch.autograd.gradcheck(lambda v: ALL[name](v, *rest), (x.requires_grad_(),))


def test_gradient_of_the_learnable_beta_is_that_of_finite_differences() -> None:
    h, _, y, _, _ = fleet(2, 6, 3, seed=5)
    beta = torch.tensor([0.7, 1.2], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda b: losses.margin(h, y, ALPHA, b), (beta,))
    (slope,) = torch.autograd.grad(losses.margin(h, y, ALPHA, beta).sum(), beta)
    assert (slope != 0).all()


@pytest.mark.parametrize("name", ALL)
def test_a_member_neither_feels_nor_moves_the_others(name: str) -> None:
    x, *rest = inputs(name, fleet(3, 6, 4, seed=1))
    x.requires_grad_()
    together = ALL[name](x, *rest)
    (slope,) = torch.autograd.grad(together[1], x)
    assert (slope[0] == 0).all()
    assert (slope[2] == 0).all()
    assert (slope[1] != 0).any()
    alone = ALL[name](x[1:2], *(r[1:2] for r in rest))
    torch.testing.assert_close(together[1:2], alone)


@pytest.mark.parametrize("name", ON_HIDDEN)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_coinciding_images_and_dead_features_give_finite_gradients(
    name: str, dtype: torch.dtype, scale: float
) -> None:
    h, _, y, gamma, partner = fleet(3, 8, 5, seed=2, dtype=dtype)
    h = h.relu() * scale
    h[:, 4:] = h[:, :4]
    h[1] = h[1, 0]
    h.requires_grad_()
    loss = ON_HIDDEN[name](h, y, gamma, partner)
    (slope,) = torch.autograd.grad(loss.sum(), h)
    assert loss.isfinite().all()
    assert slope.isfinite().all()


@pytest.mark.parametrize("name", ON_HIDDEN)
@pytest.mark.parametrize("labels", [[0], [0, 1], [2, 2, 2], [0, 1, 2, 3]])
def test_batches_that_lack_a_kind_of_pair_cost_something_finite(name: str, labels: list[int]) -> None:
    h = fleet(1, len(labels), 3, seed=3)[0].requires_grad_()
    y = torch.tensor([labels])
    loss = ON_HIDDEN[name](h, y, y, y)
    (slope,) = torch.autograd.grad(loss.sum(), h)
    assert slope.isfinite().all()
    lonely = len(set(labels)) == len(labels)
    if len(labels) == 1 or (name == "snnl" and lonely) or (name == "snnl_printed" and labels == [2, 2, 2]):
        assert abs(loss.item()) < 1e-18
        assert (slope == 0).all()


def test_a_dead_representation_gets_no_gradient_from_the_normalised_margin_loss() -> None:
    h, _, y, _, _ = fleet(2, 8, 5, seed=2)
    h[:, 3] = 0
    (slope,) = torch.autograd.grad(ON_HIDDEN["margin"](h.requires_grad_(), y, y, y).sum(), h)
    assert (slope[:, 3] == 0).all()
    assert (slope[:, 2] != 0).any()


def test_logit_squeezing_has_no_gradient_at_zero_logits() -> None:
    z = torch.zeros(2, 3, CLASSES, requires_grad=True)
    (slope,) = torch.autograd.grad(losses.logit_squeezing(z).sum(), z)
    assert (slope == 0).all()


def test_neighbour_loss_survives_distances_whose_weights_underflow() -> None:
    h = torch.tensor([[[0.0], [100.0], [101.0]]], requires_grad=True)
    y = torch.tensor([[0, 1, 0]])
    loss = losses.soft_nearest_neighbour(h, y, 1.0)
    # Anchors 0 and 2: their partner is 101 away, the other image 100 and 1: gaps of 201 and 10,200.
    torch.testing.assert_close(loss, torch.tensor([(201.0 + 10200.0) / 2]))
    (slope,) = torch.autograd.grad(loss.sum(), h)
    torch.testing.assert_close(slope, torch.tensor([[[-102.0], [-99.0], [201.0]]]))


def test_float32_distances_of_far_off_features_stay_near_float64s() -> None:
    h, _, y, _, _ = fleet(2, 32, 64, seed=4, dtype=torch.float32)
    far = h + 100.0
    exact = losses.contrastive(far.double(), y, 20.0, CLASSES)
    torch.testing.assert_close(losses.contrastive(far, y, 20.0, CLASSES).double(), exact, rtol=1e-5, atol=0)


def test_one_setting_a_member_is_the_same_as_members_with_their_own() -> None:
    h, _, y, _, _ = fleet(2, 6, 3, seed=6)
    settings_each = torch.tensor([1.0, 4.0], dtype=torch.float64)
    for loss in (
        lambda h, y, v: losses.contrastive(h, y, v, CLASSES),
        losses.soft_nearest_neighbour,
        losses.soft_nearest_neighbour_printed,
    ):
        alone = torch.cat([loss(h[k : k + 1], y[k : k + 1], float(settings_each[k])) for k in range(2)])
        torch.testing.assert_close(loss(h, y, settings_each), alone)
