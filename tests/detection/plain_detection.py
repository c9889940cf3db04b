"""The oracle of reconstruction: one model, one class, the loop anyone would write, on the same random streams."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.detection.reconstruct import Search
from repro.seeds import stream


@dataclass
class Found:
    mask: Tensor
    pattern: Tensor
    norm: float
    success: float
    weights: list[float]


def stamped(images: Tensor, mask: Tensor, pattern: Tensor) -> Tensor:
    """Images (n, c, h, w) in [0, 1] under mask (h, w) and pattern (c, h, w)."""
    return (1 - mask) * images + mask * pattern


def reconstruct_alone(
    model: nn.Module, images: Tensor, labels: Tensor, classes: int, target: int, seed: int, search: Search
) -> Found:
    """Images (n, c, h, w) in [0, 1]; the model takes them shifted by -0.5. The pattern comes back as (h, w, c)."""
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    others = images[labels != target]
    channels, height, width = images.shape[1:]
    generator = stream(seed, "reconstruction")
    start = torch.rand(classes, height, width, channels + 1, generator=generator)[target]
    free = torch.atanh(2 * start.clamp(0.01, 0.99) - 1)
    a = free[:, :, 0].clone().requires_grad_()
    b = free[:, :, 1:].permute(2, 0, 1).clone().requires_grad_()
    adam = torch.optim.Adam([a, b], lr=search.learning_rate, betas=(0.5, 0.9))
    weight, above, below, best = 0.0, 0, 0, float("inf")
    kept: tuple[Tensor, Tensor] | None = None
    weights: list[float] = []
    done = 0
    while done < search.steps:
        length = min(search.window, search.steps - done)
        draws = torch.rand(length, classes, search.batch_size, generator=generator)[:, target]
        shares = []
        for step in range(length):
            batch = others[(draws[step] * len(others)).long().clamp_max(len(others) - 1)]
            mask, pattern = (torch.tanh(a) + 1) / 2, (torch.tanh(b) + 1) / 2
            logits = model(stamped(batch, mask, pattern) - 0.5)
            goal = torch.full((search.batch_size,), target)
            loss = F.cross_entropy(logits, goal) + weight * mask.sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
            shares.append((logits.argmax(1) == target).float().mean().item())
        done += length
        mask, pattern = ((torch.tanh(v) + 1).detach() / 2 for v in (a, b))
        if sum(shares) / length >= search.threshold:
            above, below = above + 1, 0
            if mask.sum().item() < best:
                best, kept = mask.sum().item(), (mask, pattern)
        else:
            above, below = 0, below + 1
        if above >= search.patience:
            weight, above = (weight * search.raised if weight else search.first_weight), 0
        if below >= search.patience:
            weight, below = weight / search.lowered, 0
        weights.append(weight)
    if kept is not None:
        mask, pattern = kept
    with torch.no_grad():
        hits = model(stamped(others, mask, pattern) - 0.5).argmax(1) == target
    return Found(mask, pattern.permute(1, 2, 0), mask.sum().item(), hits.float().mean().item(), weights)
