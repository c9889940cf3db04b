"""K untrained models on digits, each with samples of its own: what the races between engines start from."""

from pathlib import Path

import torch

from repro import plugins
from repro.data import load_dataset
from repro.training.fleet import Split, pool_of
from repro.training.stack import Stack


class DigitsFleet:
    """``images`` (n, 1, 8, 8), their ``pool``, models' ``seeds`` and ``stack``, and samples of each in ``split``."""

    def __init__(self, architecture: str, members: int, samples: int) -> None:
        digits = load_dataset("digits", Path())
        self.images, labels = torch.from_numpy(digits.images), torch.from_numpy(digits.labels)
        generator = torch.Generator().manual_seed(0)
        indices = torch.stack(
            [torch.randperm(len(labels), generator=generator)[:samples] for _ in range(members)]
        )
        self.split, self.pool = Split(indices, labels[indices]), pool_of(self.images)
        blocks = plugins.load("architecture", architecture).blocks((1, 8, 8), 10)
        self.seeds = list(range(members))
        self.stack = Stack.initialised(blocks, (1, 8, 8), 10, self.seeds)
