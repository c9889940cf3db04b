"""Softmax regression's optimum and its derivative against plain trainings of one problem at a time."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import CLASSES, CLEAN, INNER, POISONS, SHAPE, K, drawn, member, trained_plainly
from torch.nn.functional import cross_entropy

from repro.bilevel import Samples
from repro.bilevel.inner import SoftmaxRegression
from repro.errors import ReproError


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.05, 0.5, 20.0]))
def test_the_optimum_is_that_of_a_plain_training(seed: int, regularisation: float) -> None:
    clean, poison = drawn(seed, CLEAN), drawn(seed + 1, POISONS)
    theta = SoftmaxRegression(CLASSES, regularisation).fit(poison, clean)
    for k in range(K):
        images = torch.cat([poison.images[k], clean.images[k]])
        labels = torch.cat([poison.labels[k], clean.labels[k]])
        plain = trained_plainly(images, labels, regularisation)
        torch.testing.assert_close(theta[k], plain, atol=1e-5, rtol=1e-5)


def test_a_model_without_poisons_is_trained_on_clean_samples_alone() -> None:
    clean = drawn(1, CLEAN)
    theta = INNER.fit(drawn(2, 0), clean)
    plain = trained_plainly(clean.images[0], clean.labels[0], INNER.regularisation)
    torch.testing.assert_close(theta[0], plain, atol=1e-7, rtol=1e-6)


def test_problems_do_not_meet() -> None:
    clean, poison = drawn(1, CLEAN), drawn(2, POISONS)
    stacked = INNER.fit(poison, clean)
    for k in range(K):
        alone = INNER.fit(member(poison, k), member(clean, k))
        torch.testing.assert_close(stacked[k], alone[0], atol=1e-9, rtol=0)


def test_where_training_starts_does_not_matter() -> None:
    clean, poison = drawn(1, CLEAN), drawn(2, POISONS)
    far = 30 * torch.randn(K, 7, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(INNER.fit(poison, clean, far), INNER.fit(poison, clean), atol=1e-9, rtol=0)


def test_logits_are_linear_with_an_intercept() -> None:
    samples = drawn(1, 2)
    theta = torch.randn(K, 7, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain = samples.images[1, 0].flatten() @ theta[1, :-1] + theta[1, -1]
    torch.testing.assert_close(INNER.logits(theta, samples.images)[1, 0], plain)


def test_the_loss_is_a_sum_with_a_penalty_on_all_parameters() -> None:
    samples = drawn(1, CLEAN)
    theta = torch.randn(K, 7, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits = INNER.logits(theta, samples.images)
    for k in range(K):
        plain = cross_entropy(logits[k], samples.labels[k], reduction="sum") + 0.25 * (theta[k] ** 2).sum()
        torch.testing.assert_close(INNER.loss(theta, samples)[k], plain)


def test_the_optimums_derivative_is_that_of_retraining() -> None:
    """Every pixel of one poison moved to either side and the model trained anew."""
    clean, poison = drawn(1, CLEAN), drawn(2, POISONS)
    weights = torch.randn(K, 7, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    images = poison.images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(
        (weights * INNER.fit(Samples(images, poison.labels), clean)).sum(), images
    )
    distance = 1e-4
    for pixel in range(images[0, 0].numel()):
        moved = []
        for sign in (1, -1):
            there = poison.images.clone()
            there.view(K, POISONS, -1)[:, 2, pixel] += sign * distance
            moved.append((weights * INNER.fit(replace(poison, images=there), clean)).sum((1, 2)))
        measured = (moved[0] - moved[1]) / (2 * distance)
        torch.testing.assert_close(gradient.view(K, POISONS, -1)[:, 2, pixel], measured, rtol=1e-5, atol=1e-7)


def test_newtons_inverse_is_that_of_the_whole_hessian() -> None:
    samples = member(drawn(1, CLEAN), 0)
    theta = torch.randn(1, 7, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    inputs = torch.cat([samples.images.flatten(2), torch.ones(1, CLEAN, 1, dtype=torch.float64)], -1)
    hessian = torch.autograd.functional.hessian(lambda t: INNER.loss(t, samples).sum(), theta)
    right = torch.randn(theta.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    plain = torch.linalg.solve(hessian.view(theta.numel(), -1), right.flatten()).view(theta.shape)
    torch.testing.assert_close(INNER._inverse_hessian(theta, inputs)(right), plain)


def test_a_training_that_does_not_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repro.bilevel.inner._STEPS", 2)
    with pytest.raises(ReproError, match=r"regularisation 0\.5 is not at its optimum after 2 Newton steps"):
        INNER.fit(drawn(2, POISONS), drawn(1, CLEAN))


def test_images_of_any_shape_are_rows_of_pixels() -> None:
    clean, poison = drawn(1, CLEAN), drawn(2, POISONS)
    flat = [Samples(samples.images.flatten(2), samples.labels) for samples in (poison, clean)]
    torch.testing.assert_close(INNER.fit(*flat), INNER.fit(poison, clean))
    assert poison.images.shape[2:] == SHAPE
