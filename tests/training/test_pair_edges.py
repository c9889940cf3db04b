"""Losses over pairs: models apart, batches that lack something, counts of terms, shifted distances, learnt beta."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pair_losses import ALPHA, BETA, COUNTED, LOSSES, Loss, fleet
from torch import Tensor

from repro import plugins
from repro.losses import Batch
from repro.losses import pairs as pair_losses
from repro.losses import terms as losses

WITH_MARGIN: dict[str, Loss] = LOSSES | {
    "margin": lambda h, y, u: losses.margin(h, y, ALPHA, h.new_full((len(h),), BETA))
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_that_of_finite_differences(name: str) -> None:
    h, y, u = fleet(2, 7, 4, seed=5)
    assert torch.autograd.gradcheck(lambda v: LOSSES[name](v, y, u), (h.requires_grad_(),))


@pytest.mark.parametrize("name", LOSSES)
def test_a_member_neither_feels_nor_moves_the_others(name: str) -> None:
    h, y, u = fleet(3, 8, 4, seed=1)
    h.requires_grad_()
    together = LOSSES[name](h, y, u)
    (slope,) = torch.autograd.grad(together[1], h)
    assert (slope[[0, 2]] == 0).all()
    assert (slope[1] != 0).any()
    torch.testing.assert_close(together[1:2], LOSSES[name](h[1:2], y[1:2], u[1:2]))
    spoilt = h.detach().clone()
    spoilt[0] = torch.nan
    assert torch.equal(LOSSES[name](spoilt, y, u)[1:], together[1:])


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.0, 1e-20, 1.0, 1e4])
def test_coinciding_images_and_rows_of_zeros_give_finite_gradients(
    name: str, dtype: torch.dtype, scale: float
) -> None:
    h, y, u = fleet(3, 8, 5, seed=2, dtype=dtype)
    h = h.relu() * scale
    h[:, 4:] = h[:, :4]
    h[1] = h[1, 0]
    h[2, 3] = 0
    h.requires_grad_()
    loss = LOSSES[name](h, y, u)
    (slope,) = torch.autograd.grad(loss.sum(), h)
    assert loss.dtype == slope.dtype == dtype
    assert loss.isfinite().all()
    assert slope.isfinite().all()
    assert (slope[2, 3] == 0).all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("labels", [[0], [0, 1], [2, 2, 2], [0, 1, 2, 3]])
def test_batches_that_lack_a_kind_of_pair_cost_something_finite(name: str, labels: list[int]) -> None:
    h, _, u = fleet(1, len(labels), 3, seed=3)
    loss = LOSSES[name](h.requires_grad_(), torch.tensor([labels]), u)
    (slope,) = torch.autograd.grad(loss.sum(), h)
    assert loss.isfinite().all()
    assert slope.isfinite().all()
    needs_both = name in ("triplet", "nt_xent")
    if len(labels) == 1 or needs_both:
        assert loss.item() == 0
        assert (slope == 0).all()
    elif labels == [2, 2, 2]:
        assert loss.item() > 0


def test_identical_images_at_a_low_temperature_do_not_overflow() -> None:
    h = torch.ones(1, 6, 4, requires_grad=True)
    y = torch.tensor([[0, 0, 1, 1, 2, 2]])
    for loss in (pair_losses.nt_xent, pair_losses.nt_logistic):
        value = loss(h, y, 1e-3)
        (slope,) = torch.autograd.grad(value.sum(), h)
        assert value.isfinite().all()
        assert slope.isfinite().all()


def test_one_setting_a_member_is_the_same_as_members_with_their_own() -> None:
    h, y, u = fleet(3, 8, 4, seed=6)
    each = torch.tensor([0.3, 0.7, 1.1])
    for loss in (
        pair_losses.base_contrastive,
        pair_losses.triplet,
        pair_losses.nt_xent,
        pair_losses.nt_logistic,
        lambda h, y, v: pair_losses.margin_sampled(h, y, v, BETA, u[: len(h)]),
        lambda h, y, v: pair_losses.margin_sampled(h, y, ALPHA, v, u[: len(h)]),
    ):
        alone = [loss(h, y, float(value))[k] for k, value in enumerate(each)]
        torch.testing.assert_close(loss(h, y, each), torch.stack(alone), rtol=1e-6, atol=1e-9)
        # The engine for large networks hands over its constants as tensors without dimensions.
        torch.testing.assert_close(loss(h, y, torch.tensor(0.5)), loss(h, y, 0.5), rtol=1e-6, atol=1e-9)


labels_of_fleets = st.lists(st.integers(0, 3), min_size=1, max_size=9)


@given(labels_of_fleets)
@settings(deadline=None, max_examples=60)
def test_terms_are_what_nested_loops_visit(labels: list[int]) -> None:
    n = range(len(labels))
    pairs = sum(i < j for i in n for j in n)
    alike = [[i != j and labels[i] == labels[j] for j in n] for i in n]
    different = [[labels[i] != labels[j] for j in n] for i in n]
    triplets = sum(alike[a][p] and different[a][k] for a in n for p in n for k in n)
    sampled = sum(any(alike[a]) + any(different[a]) for a in n)
    expected = {"base_contrastive": pairs, "margin": pairs, "triplet": triplets, "margin_sampled": sampled}
    y = torch.tensor([labels, [0] * len(labels)])
    for loss in COUNTED:
        counted = pair_losses.terms(loss, y)
        assert counted.dtype == torch.int64
        assert counted.shape == (2,)
        assert counted[0] == expected[loss]


@given(labels_of_fleets)
@settings(deadline=None, max_examples=60)
def test_the_terms_of_the_pair_losses_are_the_distances_that_they_look_at(labels: list[int]) -> None:
    """With an alpha of 10 every term has a slope, so a distance with none has no term."""
    y = torch.tensor([labels])
    d = torch.ones(1, len(labels), len(labels), dtype=torch.float64, requires_grad=True)
    u = torch.zeros(1, len(labels), 2, dtype=torch.float64)
    looked_at = {
        "base_contrastive": pair_losses.base_contrastive_of(d, y, 10.0),
        "margin": pair_losses.margin_of(d, y, 10.0, BETA),
        "margin_sampled": pair_losses.margin_sampled_of(d, y, 10.0, BETA, u, 4),
    }
    for loss, value in looked_at.items():
        (slope,) = torch.autograd.grad(value.sum(), d)
        assert int((slope != 0).sum()) == int(pair_losses.terms(loss, y))


def test_losses_whose_terms_are_not_counted_are_an_error() -> None:
    with pytest.raises(ValueError, match="'nt_xent' are not counted"):
        pair_losses.terms("nt_xent", torch.tensor([[0, 1]]))


@given(st.integers(0, 10**6), st.floats(0.1, 3.0))
@settings(deadline=None, max_examples=40)
def test_margin_and_triplet_know_no_absolute_distance_and_base_contrastive_does(
    seed: int, shift: float
) -> None:
    h, y, _ = fleet(2, 8, 4, seed)
    y[:, :4] = torch.tensor([0, 0, 1, 1])
    d = losses._distances(losses._unit(h))
    beta = torch.tensor([0.9, 1.3], dtype=torch.float64)
    margin = pair_losses.margin_of(d, y, ALPHA, beta)
    torch.testing.assert_close(pair_losses.margin_of(d + shift, y, ALPHA, beta + shift), margin)
    assert (pair_losses.margin_of(d + shift, y, ALPHA, beta) - margin).abs().min() > 1e-6
    torch.testing.assert_close(
        pair_losses.triplet_of(d + shift, y, ALPHA), pair_losses.triplet_of(d, y, ALPHA)
    )
    positive, _ = pair_losses.pairs(y)
    attracted = (d + shift).square() - d.square()
    # Beyond its margin alpha = 0 negatives cost nothing, and what changes is the pull on positives.
    change = pair_losses.base_contrastive_of(d + shift, y, 0.0) - pair_losses.base_contrastive_of(d, y, 0.0)
    expected = torch.stack([a[p].mean() / 2 for a, p in zip(attracted, positive, strict=True)])
    torch.testing.assert_close(change, expected)


@pytest.mark.parametrize("name", ["margin", "margin_sampled"])
def test_the_boundary_gets_a_gradient_and_moves_under_adam_each_members_own(name: str) -> None:
    piece = plugins.load("defence", name)
    h, y, u = fleet(3, 12, 5, seed=4, dtype=torch.float32)
    # Classes that are apart already: their positives cost nothing, and their negatives draw the boundary in.
    h = h + 3 * torch.eye(5)[y]
    beta = piece.learned(3)["beta"].requires_grad_()
    assert torch.equal(beta.detach(), torch.full((3,), BETA))
    adam = torch.optim.Adam([beta], lr=0.05)
    logits = torch.zeros(3, 12, 4)
    before: list[Tensor] = []
    for _ in range(40):
        batch = Batch(h, logits, y, u, {"defence.beta": beta})
        loss = piece.loss(batch, torch.tensor([0.0, 1.0, 2.0]), **piece.OPTIONS)
        before.append(loss.detach())
        adam.zero_grad()
        loss.sum().backward()
        adam.step()
    assert beta[0] == BETA
    assert ((beta[1:] - BETA).abs() > 0.02).all()
    assert (before[-1][1:] < before[0][1:]).all()
