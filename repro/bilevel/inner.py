"""The inner problem: theta* = argmin over theta of the sum of L over D_clean and D_poison (desanctis 2.1)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from repro.bilevel import Samples
from repro.errors import ReproError

_GRADIENT_NORM = 1e-6
_STEPS, _HALVINGS = 100, 40
_LEAST_DECREASE = 1e-4


class Inner(Protocol):
    """A model trained on clean samples and poisons whose parameters can be differentiated by the poisons."""

    def fit(self, poison: Samples, clean: Samples, start: Tensor | None = None) -> Tensor:
        """theta*, (K, ...), whose autograd graph reaches ``poison.images``; ``start``, a theta nearby, saves time.

        How the derivative is computed is up to the model: from the optimality conditions (implicit, KKT), or through
        the steps of training (back-gradient).
        """

    def logits(self, theta: Tensor, images: Tensor) -> Tensor:
        """Logits (K, n, classes) of ``images`` (K, n, ...)."""


@dataclass(frozen=True)
class SoftmaxRegression:
    """Multinomial logistic regression on pixels, sum of cross-entropy + ``regularisation`` / 2 ||theta||^2.

    theta (K, d + 1, classes), its last row the intercept. The penalty covers all of theta, so that the optimum is
    unique. Needs float64: it is trained until the gradient's norm is below 1e-6, and then takes one more Newton step.
    """

    classes: int
    regularisation: float

    def logits(self, theta: Tensor, images: Tensor) -> Tensor:
        """(K, n, classes)."""
        return _with_one(images) @ theta

    def loss(self, theta: Tensor, training: Samples) -> Tensor:
        """The inner objective, (K,)."""
        logits = self.logits(theta, training.images)
        own = logits.gather(-1, training.labels[..., None])[..., 0]
        penalty = self.regularisation / 2 * theta.square().sum((1, 2))
        return (logits.logsumexp(-1) - own).sum(1) + penalty

    def fit(self, poison: Samples, clean: Samples, start: Tensor | None = None) -> Tensor:
        """theta* by Newton's method, each step halved until it lowers the loss enough.

        The last step stays in the autograd graph with its Hessian held fixed. At the optimum that is implicit
        differentiation: d theta* / dx = -H^-1 d^2 L / d theta dx. Raises ReproError where the optimum is not reached.
        """
        joined = Samples(
            torch.cat([clean.images, poison.images], 1), torch.cat([clean.labels, poison.labels], 1)
        )
        fixed = Samples(joined.images.detach(), joined.labels)
        inputs = _with_one(fixed.images)
        theta = start
        if theta is None:
            theta = inputs.new_zeros(len(inputs), inputs.shape[-1], self.classes)
        with torch.no_grad():
            for _ in range(_STEPS):
                slope = self._slope(theta, fixed)
                newton = self._inverse_hessian(theta, inputs)
                if float(slope.flatten(1).norm(dim=1).max()) <= _GRADIENT_NORM:
                    return self._last_step(theta, joined, newton)
                theta = self._descended(theta, fixed, slope, newton(slope))
        raise ReproError(
            f"bilevel: softmax regression with regularisation {self.regularisation:g} is not at its optimum after "
            f"{_STEPS} Newton steps"
        )

    @torch.enable_grad()
    def _last_step(self, theta: Tensor, training: Samples, newton: Callable[[Tensor], Tensor]) -> Tensor:
        return theta - newton(self._slope(theta, training))

    def _slope(self, theta: Tensor, training: Samples) -> Tensor:
        """The loss's gradient in theta, (K, d + 1, classes), differentiable with respect to the images."""
        inputs = _with_one(training.images)
        errors = (inputs @ theta).softmax(-1) - one_hot(training.labels, self.classes)
        return inputs.mT @ errors + self.regularisation * theta

    def _descended(self, theta: Tensor, training: Samples, slope: Tensor, step: Tensor) -> Tensor:
        """theta minus the step, or minus the largest half, quarter, ... of it that Armijo's rule accepts."""
        before = self.loss(theta, training)
        promised = (slope * step).sum((1, 2))
        scale = torch.ones_like(before)
        for _ in range(_HALVINGS):
            after = self.loss(theta - scale[:, None, None] * step, training)
            # Near the optimum rounding hides the decrease, and the full step is right.
            short = after > before - _LEAST_DECREASE * scale * promised + 1e-12 * before
            if not short.any():
                break
            scale = torch.where(short, scale / 2, scale)
        return theta - scale[:, None, None] * step

    def _inverse_hessian(self, theta: Tensor, inputs: Tensor) -> Callable[[Tensor], Tensor]:
        """H^-1 at theta as a linear function of (K, d + 1, classes).

        H = D - U U^T: D has one block X^T diag(p_c) X + regularisation I per class, and column i of U is the outer
        product of p_i and x_i. With D = L L^T and W = L^-1 U, Woodbury's identity is
        H^-1 = L^-T (I + W (I - W^T W)^-1 W^T) L^-1: Cholesky factors of size d + 1, one per class, and one of size n,
        in place of one of size classes (d + 1).
        """
        shares = (inputs @ theta).softmax(-1)
        u = inputs.mT[:, None] * shares.mT[:, :, None]
        blocks = (u.flatten(1, 2) @ inputs).view(*u.shape[:3], -1)
        lower = torch.linalg.cholesky(blocks + self.regularisation * _identity(inputs.mT))
        w = torch.linalg.solve_triangular(lower, u, upper=False).flatten(1, 2)
        small = torch.linalg.cholesky(_identity(inputs) - w.mT @ w)

        def solve(right: Tensor) -> Tensor:
            first = torch.linalg.solve_triangular(lower, right.mT[..., None], upper=False).flatten(1, 2)
            whole = first + w @ torch.cholesky_solve(w.mT @ first, small)
            rows = whole.view(*right.mT.shape, 1)
            solved: Tensor = torch.linalg.solve_triangular(lower.mT, rows, upper=True)
            return solved[..., 0].mT

        return solve


def _with_one(images: Tensor) -> Tensor:
    """Images as rows (K, n, d + 1) that end in a 1, for the intercept."""
    rows = images.flatten(2)
    return torch.cat([rows, rows.new_ones(*rows.shape[:2], 1)], -1)


def _identity(like: Tensor) -> Tensor:
    """As many rows and columns as ``like`` (K, n, m) has rows."""
    return torch.eye(like.shape[1], dtype=like.dtype, device=like.device)
