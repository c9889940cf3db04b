"""Feature collision (eq. 1): its steps against closed forms, its bounds, and the way beta pulls."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from repro.attacks.feature_collision import _attraction, collide, proximal

K, P, SHAPE, WIDTH = 2, 3, (1, 4, 4), 6


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Encoder:
    """A different two-layer tanh network for each model; `gain` scales its features."""

    def __init__(self, seed: int = 0, gain: float = 1.0) -> None:
        g = seeded(seed)
        self.first = torch.randn(K, 16, 12, generator=g, dtype=torch.float64) / 4
        self.second = gain * torch.randn(K, 12, WIDTH, generator=g, dtype=torch.float64)

    def __call__(self, images: Tensor) -> Tensor:
        return torch.bmm(torch.bmm(images.flatten(2), self.first).tanh(), self.second)


def images(seed: int) -> Tensor:
    return torch.rand(K, P, *SHAPE, generator=seeded(seed), dtype=torch.float64)


BASES, TARGETS = images(10), images(11)


def feature_distance(encode: Encoder, x: Tensor) -> Tensor:
    return (encode(x) - encode(TARGETS)).square().sum(-1)


def input_distance(x: Tensor) -> Tensor:
    return (x - BASES).square().flatten(2).sum(2)


def objective(encode: Encoder, x: Tensor, beta: float) -> Tensor:
    """Eq. (1) at the documented scale of beta."""
    start = feature_distance(encode, BASES)
    ratio = start / (BASES - TARGETS).square().flatten(2).sum(2)
    return feature_distance(encode, x) + beta * ratio * input_distance(x)


def test_gradient_of_the_attraction_is_that_of_finite_differences() -> None:
    encode, goal = Encoder(), Encoder()(TARGETS)
    distance, slope = _attraction(encode, BASES, goal)
    torch.testing.assert_close(distance, feature_distance(encode, BASES))
    h = 1e-6
    for pixel in range(16):
        nudge = torch.zeros(16, dtype=torch.float64)
        nudge[pixel] = h
        shift = nudge.view(SHAPE)
        rise = feature_distance(encode, BASES + shift) - feature_distance(encode, BASES - shift)
        torch.testing.assert_close(slope.flatten(2)[..., pixel], rise / (2 * h), rtol=1e-6, atol=1e-7)


@given(st.floats(-3, 3), st.floats(0, 1), st.floats(0, 50))
@settings(deadline=None)
def test_proximal_step_is_the_minimum_within_the_box(point: float, base: float, weight: float) -> None:
    def cost(x: Tensor) -> Tensor:
        return (x - point) ** 2 / 2 + weight * (x - base) ** 2

    double = torch.tensor([point, base, weight], dtype=torch.float64)
    best = proximal(*double.unbind())
    assert 0 <= best.item() <= 1
    grid = torch.linspace(0, 1, 2001, dtype=torch.float64)
    assert cost(best) <= cost(grid).min() + 1e-12
    assert abs(best.item() - grid[cost(grid).argmin()].item()) <= 1 / 2000


def test_one_step_is_forward_then_backward_at_the_documented_scale() -> None:
    beta, step = 0.5, 1e-3
    encode = Encoder()
    _, slope = _attraction(encode, BASES, encode(TARGETS))
    ratio = feature_distance(encode, BASES) / (BASES - TARGETS).square().flatten(2).sum(2)
    forward = BASES - (step / (2 * ratio))[..., None, None, None] * slope
    expected = ((forward + step * beta * BASES) / (1 + step * beta)).clamp(0, 1)
    assert not torch.equal(expected, BASES)
    torch.testing.assert_close(
        collide(encode, BASES, TARGETS, beta=beta, step=step, iterations=1), expected, rtol=0, atol=1e-12
    )


@given(st.integers(0, 1000), st.floats(0, 10), st.floats(0.01, 1e6), st.integers(0, 30))
@settings(deadline=None, max_examples=40)
def test_poisons_never_leave_the_unit_range_nor_raise_the_objective(
    seed: int, beta: float, step: float, iterations: int
) -> None:
    encode = Encoder(seed, gain=10.0)
    poisons = collide(encode, BASES, TARGETS, beta=beta, step=step, iterations=iterations)
    assert poisons.isfinite().all()
    assert ((poisons >= 0) & (poisons <= 1)).all()
    before, after = objective(encode, BASES, beta), objective(encode, poisons, beta)
    assert (after <= before * (1 + 1e-9)).all()


def test_poisons_collide_with_their_targets_in_feature_space() -> None:
    encode = Encoder()
    poisons = collide(encode, BASES, TARGETS, beta=0.05, step=1.0, iterations=200)
    assert (feature_distance(encode, poisons) < 0.05 * feature_distance(encode, BASES)).all()
    assert (input_distance(poisons) < (TARGETS - BASES).square().flatten(2).sum(2)).all()


def test_a_larger_beta_keeps_the_poison_nearer_its_base_and_farther_from_its_target() -> None:
    encode = Encoder()
    runs = [
        collide(encode, BASES, TARGETS, beta=b, step=1.0, iterations=300) for b in (0.01, 0.3, 3.0, 100.0)
    ]
    for loose, tight in itertools.pairwise(runs):
        assert (input_distance(tight) < input_distance(loose)).all()
        assert (feature_distance(encode, tight) > feature_distance(encode, loose)).all()


def test_beta_means_the_same_whatever_the_scale_of_the_features() -> None:
    small = collide(Encoder(gain=1.0), BASES, TARGETS, beta=0.3, step=1.0, iterations=50)
    large = collide(Encoder(gain=64.0), BASES, TARGETS, beta=0.3, step=1.0, iterations=50)
    torch.testing.assert_close(small, large)


def test_where_the_box_does_not_bind_the_gradient_of_equation_1_vanishes() -> None:
    encode, beta = Encoder(), 0.5
    poisons = collide(encode, BASES, TARGETS, beta=beta, step=1.0, iterations=3000).requires_grad_()
    ratio = feature_distance(encode, BASES) / (BASES - TARGETS).square().flatten(2).sum(2)
    (slope,) = torch.autograd.grad((objective(encode, poisons, beta) / ratio).sum(), poisons)
    inside = (poisons > 1e-9) & (poisons < 1 - 1e-9)
    assert inside.double().mean() > 0.5
    assert slope[inside].abs().max() < 1e-4


def test_each_poison_is_made_as_if_alone() -> None:
    encode = Encoder()
    together = collide(encode, BASES, TARGETS, beta=0.3, step=5.0, iterations=40)
    for p in range(P):
        alone = collide(encode, BASES[:, p : p + 1], TARGETS[:, p : p + 1], beta=0.3, step=5.0, iterations=40)
        torch.testing.assert_close(together[:, p : p + 1], alone)


def test_a_base_that_is_its_own_target_stays_put_beside_one_that_moves() -> None:
    targets = TARGETS.clone()
    targets[:, 0] = BASES[:, 0]
    poisons = collide(Encoder(), BASES, targets, beta=0.3, step=1.0, iterations=10)
    assert torch.equal(poisons[:, 0], BASES[:, 0])
    assert (poisons[:, 1] != BASES[:, 1]).any()


def test_inputs_are_left_alone_and_no_graph_is_kept() -> None:
    bases = BASES.clone()
    with torch.no_grad():
        poisons = collide(Encoder(), bases, TARGETS, beta=0.3, step=1.0, iterations=5)
    assert torch.equal(bases, BASES)
    assert not poisons.requires_grad
    assert poisons.dtype == bases.dtype
    assert poisons.shape == bases.shape


@pytest.mark.parametrize("step", [0.5, 1.0])
def test_an_isotropic_linear_encoder_is_solved_in_closed_form(step: float) -> None:
    # f = 3x: r = 9, and eq. (1) has its minimum at (t + beta b) / (1 + beta).
    poisons = collide(lambda x: 3 * x.flatten(2), BASES, TARGETS, beta=0.25, step=step, iterations=60)
    torch.testing.assert_close(poisons, (TARGETS + 0.25 * BASES) / 1.25)
