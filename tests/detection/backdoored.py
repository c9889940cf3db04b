"""Small fleets for the tests: quickly trained on digits with a 3x3 square's backdoor, or made by hand."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from repro import plugins
from repro.data import load_dataset
from repro.training.fleet import Regularisation, Split, pool_of, train
from repro.training.recipe import Recipe
from repro.training.stack import Stack

SEEDS = [11, 12, 13]
POISON_CLASSES = torch.tensor([3, 8, 0])


@dataclass
class Backdoored:
    """Trained models; clean images (n, h, w, c) centred, of which ``held`` were not trained on."""

    stack: Stack
    pool: Tensor
    clean: Split
    held: Split


def square() -> tuple[Tensor, Tensor]:
    """The true trigger's mask (8, 8) and pattern (8, 8, 1)."""
    mask = torch.zeros(8, 8)
    mask[1:4, 1:4] = 1
    return mask, torch.ones(8, 8, 1)


@cache
def backdoored(architecture: str, epochs: int = 6) -> Backdoored:
    """A fifth of 600 training images carries the white square and the model's poison class as label."""
    digits = load_dataset("digits", Path())
    pool, labels = pool_of(torch.from_numpy(digits.images)), torch.from_numpy(digits.labels)
    mask, _ = square()
    white = torch.where(mask[None, :, :, None] == 1, 0.5, pool)
    order = torch.stack([torch.randperm(1797, generator=torch.Generator().manual_seed(s)) for s in SEEDS])
    own, clean, held = order[:, :600], order[:, 600:1000], order[:, 1000:1300]
    shifted = own.clone()
    shifted[:, :120] += len(pool)
    given = labels[own].clone()
    given[:, :120] = POISON_CLASSES[:, None]
    blocks = plugins.load("architecture", architecture).blocks((1, 8, 8), 10)
    undefended = Regularisation(plugins.load("defence", "none"), torch.zeros(3), {})
    rate = 0.01 if architecture == "mlp" else 0.003
    stack, _ = train(
        Stack.initialised(blocks, (1, 8, 8), 10, SEEDS),
        torch.cat([pool, white]),
        Split(shifted, given),
        None,
        Recipe(rate, 32, epochs),
        SEEDS,
        undefended,
    )
    return Backdoored(stack, pool, Split(clean, labels[clean]), Split(held, labels[held]))


def linear(weights: Tensor, shape: tuple[int, int, int]) -> Stack:
    """Models without hidden layers: logits are ``weights`` (K, h * w * c, classes) times the centred image."""
    bias = torch.zeros(len(weights), 1, weights.shape[2])
    return Stack((), shape, weights.shape[2], {"head.weight": weights, "head.bias": bias})
