"""Convolution and batch normalisation of K models at once, as batched matrix products.

Activations are (K, B, H, W, C): a model's own batch in its own memory, channels last, so that a convolution is one copy
into columns and one ``bmm``, and a normalisation is a reduction over contiguous rows. Gradients are written out,
because autograd's for the same forward pass would copy every shifted view once more.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

KERNEL = 3


def _columns(padded: Tensor, stride: int, height: int, width: int) -> Tensor:
    """Every 3x3 patch of ``padded`` (K, B, H, W, C) as a row: (K, B * height * width, 9 * C)."""
    k, b, _, _, c = padded.shape
    sk, sb, sh, sw, sc = padded.stride()
    patches = padded.as_strided(
        (k, b, height, width, KERNEL, KERNEL, c), (sk, sb, sh * stride, sw * stride, sh, sw, sc)
    )
    return patches.reshape(k, b * height * width, KERNEL * KERNEL * c)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        k, b, h, w, _ = x.shape
        height, width = (h - 1) // stride + 1, (w - 1) // stride + 1
        columns = _columns(F.pad(x, (0, 0, 1, 1, 1, 1)), stride, height, width)
        ctx.save_for_backward(columns, weight)
        ctx.geometry = (x.shape, stride, height, width)
        return torch.bmm(columns, weight).view(k, b, height, width, -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None]:
        columns, weight = ctx.saved_tensors
        (k, b, h, w, c), stride, height, width = ctx.geometry
        gradient = gradient.reshape(k, b * height * width, -1)
        for_weight = torch.bmm(columns.transpose(1, 2), gradient)
        if not ctx.needs_input_grad[0]:
            return None, for_weight, None
        # Multiplying by a transposed right factor is several times slower here than by a copy of it.
        back = torch.bmm(gradient, weight.transpose(1, 2).contiguous())
        back = back.view(k, b, height, width, KERNEL, KERNEL, c)
        padded = gradient.new_zeros(k, b, h + 2, w + 2, c)
        for i in range(KERNEL):
            rows = slice(i, i + stride * (height - 1) + 1, stride)
            for j in range(KERNEL):
                padded[:, :, rows, j : j + stride * (width - 1) + 1 : stride] += back[:, :, :, :, i, j]
        return padded[:, :, 1:-1, 1:-1], for_weight, None


def convolve(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """3x3 convolution, padding 1, of x (K, B, H, W, C) with weight (K, 9 * C, D), rows ordered (i, j, c).

    Returns (K, B, ceil(H / stride), ceil(W / stride), D).
    """
    result: Tensor = _Convolve.apply(x, weight, stride)  # type: ignore[no-untyped-call]
    return result


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean = x.mean(1, keepdim=True)
        centred = x - mean
        variance = (centred * centred).mean(1, keepdim=True)
        inverse = (variance + epsilon).rsqrt()
        ctx.save_for_backward(centred, inverse, scale)
        ctx.mark_non_differentiable(mean, variance)
        return torch.addcmul(shift, centred, scale * inverse), mean, variance

    @staticmethod
    def backward(
        ctx: Any, gradient: Tensor, _mean: Tensor, _variance: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None]:
        centred, inverse, scale = ctx.saved_tensors
        n = centred.shape[1]
        for_shift = gradient.sum(1, keepdim=True)
        for_scale = (gradient * centred).sum(1, keepdim=True) * inverse
        factor = scale * inverse
        along = -factor * inverse * for_scale / n
        for_x = torch.addcmul(-factor * for_shift / n, centred, along).addcmul_(gradient, factor)
        return for_x, for_scale, for_shift, None


def normalise(
    x: Tensor, scale: Tensor, shift: Tensor, epsilon: float = 1e-5
) -> tuple[Tensor, Tensor, Tensor]:
    """Batch normalisation of x (K, n, C) over n, with scale and shift (K, 1, C).

    Returns the normalised values, and the batch's mean and biased variance, both (K, 1, C), without gradients.
    """
    result: tuple[Tensor, Tensor, Tensor] = _Normalise.apply(x, scale, shift, epsilon)  # type: ignore[no-untyped-call]
    return result
