"""Convolution and normalisation of K models at once, against PyTorch's own, model by model."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from repro.training.operations import convolve, normalise

sizes = st.integers(1, 9)
few = st.integers(1, 3)
strides = st.sampled_from([1, 2])
seeds = st.integers(0, 10**6)


def normal(*shape: int, seed: int, requires_grad: bool = True) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_(requires_grad)


def plain_convolve(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """One model after another, through F.conv2d: rows of a weight are (i, j, c)."""
    results = []
    for images, rows in zip(x, weight, strict=True):
        kernel = rows.view(3, 3, images.shape[-1], -1).permute(3, 2, 0, 1).contiguous()
        result = F.conv2d(images.permute(0, 3, 1, 2), kernel, stride=stride, padding=1)
        results.append(result.permute(0, 2, 3, 1))
    return torch.stack(results)


@settings(deadline=None, max_examples=60)
@given(few, few, sizes, sizes, few, few, strides, seeds)
def test_convolution_and_its_gradients_are_those_of_conv2d(
    k: int, b: int, h: int, w: int, c: int, d: int, stride: int, seed: int
) -> None:
    x, weight = normal(k, b, h, w, c, seed=seed), normal(k, 9 * c, d, seed=seed + 1)
    expected = plain_convolve(x, weight, stride)
    result = convolve(x, weight, stride)
    torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-12)
    upstream = normal(*expected.shape, seed=seed + 2, requires_grad=False)
    wanted = torch.autograd.grad(expected, (x, weight), upstream)
    for gradient, correct in zip(torch.autograd.grad(result, (x, weight), upstream), wanted, strict=True):
        torch.testing.assert_close(gradient, correct, rtol=1e-10, atol=1e-12)


@settings(deadline=None, max_examples=20)
@given(few, few, sizes, sizes, few, strides, seeds)
def test_images_that_need_no_gradient_and_lie_permuted_in_memory_convolve_alike(
    k: int, b: int, h: int, w: int, c: int, stride: int, seed: int
) -> None:
    x = normal(k, b, c, h, w, seed=seed, requires_grad=False).permute(0, 1, 3, 4, 2)
    weight = normal(k, 9 * c, 2, seed=seed + 1)
    expected = plain_convolve(x, weight, stride)
    result = convolve(x, weight, stride)
    torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        *(torch.autograd.grad(value.square().sum(), weight)[0] for value in (result, expected))
    )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(4, 5), (3, 1)])
def test_convolution_passes_gradcheck(stride: int, height: int, width: int) -> None:
    x, weight = normal(2, 2, height, width, 2, seed=0), normal(2, 18, 2, seed=1)
    assert torch.autograd.gradcheck(lambda a, b: convolve(a, b, stride), (x, weight))


@settings(deadline=None, max_examples=60)
@given(few, st.integers(2, 12), few, seeds, st.sampled_from([1e-5, 0.1]))
def test_normalisation_and_its_gradients_are_those_of_batch_norm(
    k: int, n: int, c: int, seed: int, epsilon: float
) -> None:
    x = normal(k, n, c, seed=seed)
    scale, shift = normal(k, 1, c, seed=seed + 1), normal(k, 1, c, seed=seed + 2)
    together = x.permute(1, 0, 2).reshape(n, k * c)
    expected = F.batch_norm(
        together, None, None, scale.flatten(), shift.flatten(), training=True, eps=epsilon
    )
    expected = expected.view(n, k, c).permute(1, 0, 2)
    result, mean, variance = normalise(x, scale, shift, epsilon)
    torch.testing.assert_close(result, expected, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(mean, x.detach().mean(1, keepdim=True))
    torch.testing.assert_close(variance, x.detach().var(1, keepdim=True, correction=0))
    assert not mean.requires_grad
    assert not variance.requires_grad
    upstream = normal(*x.shape, seed=seed + 3, requires_grad=False)
    wanted = torch.autograd.grad(expected, (x, scale, shift), upstream)
    for gradient, correct in zip(
        torch.autograd.grad(result, (x, scale, shift), upstream), wanted, strict=True
    ):
        torch.testing.assert_close(gradient, correct, rtol=1e-6, atol=1e-8)


def test_normalisation_passes_gradcheck() -> None:
    inputs = normal(2, 5, 3, seed=0), normal(2, 1, 3, seed=1), normal(2, 1, 3, seed=2)
    assert torch.autograd.gradcheck(lambda x, scale, shift: normalise(x, scale, shift)[0], inputs)
