"""Small bi-level problems, and the plain trainings that they are checked against."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from repro.bilevel import Samples
from repro.bilevel.inner import SoftmaxRegression
from repro.bilevel.objectives import Objective, accuracy_degradation
from repro.bilevel.problem import Problem

K, CLEAN, POISONS, TARGETS, CLASSES = 3, 25, 4, 6, 3
SHAPE = (1, 2, 3)
INNER = SoftmaxRegression(CLASSES, 0.5)


def drawn(seed: int, count: int, members: int = K) -> Samples:
    """Images near one of the classes' centres, which are the same for every seed."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(CLASSES, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(99))
    labels = torch.randint(CLASSES, (members, count), generator=generator)
    noise = torch.randn(members, count, *SHAPE, dtype=torch.float64, generator=generator)
    return Samples((centres[labels] + 0.2 * noise).clamp(0, 1), labels)


def problem(objective: Objective | None = None) -> Problem:
    """With accuracy degradation where no other objective is given."""
    if objective is None:
        test = drawn(3, TARGETS)
        objective = accuracy_degradation(test.images, test.labels)
    return Problem(objective, INNER, drawn(1, CLEAN))


def member(samples: Samples, k: int) -> Samples:
    """One of the stacked problems, alone."""
    return Samples(samples.images[k : k + 1], samples.labels[k : k + 1])


def trained_plainly(images: Tensor, labels: Tensor, regularisation: float) -> Tensor:
    """theta* (d + 1, classes) of one problem by L-BFGS on PyTorch's own loss; images (n, ...), labels (n,)."""
    rows = torch.cat([images.flatten(1), torch.ones(len(images), 1, dtype=images.dtype)], 1)
    theta = torch.zeros(rows.shape[1], CLASSES, dtype=images.dtype, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [theta], max_iter=200, tolerance_grad=1e-9, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = cross_entropy(rows @ theta, labels, reduction="sum")
        loss = loss + regularisation / 2 * theta.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return theta.detach()
