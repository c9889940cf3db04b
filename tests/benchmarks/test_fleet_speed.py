"""A fleet against the plain PyTorch loop: the same models from the same weights, the same samples in the same order.

One epoch of 34 batches of 32 digits, cross entropy, on one thread. The loop is tests/training/plain_loop.py: nn.Module,
``torch.optim.Adam`` as it comes, tensors and no DataLoader. Both sides run in this one process, after the same
``keep_freed_memory()``, and take turns round by round, so that a busy machine slows both; the ratio is the median over
the rounds. What is not timed, on either side: building the models and their initial weights.
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import pytest
import torch
from digits_fleet import DigitsFleet
from plain_loop import PlainModel, alone, logits_alone, train_alone
from torch import Tensor

from repro import plugins
from repro.runs import engine_of
from repro.training.fleet import Regularisation, predict, train
from repro.training.recipe import Recipe
from repro.training.stack import Stack

SAMPLES = 1092
STACKED = [name for name in plugins.names("architecture") if engine_of(name) == "stacked"]
ROUNDS = {1: 21, 10: 7, 50: 5, 180: 3}
RECIPE = Recipe(learning_rate=0.003, batch_size=32, epochs=1)

pytestmark = pytest.mark.usefixtures("as_training_processes_are")


class Race(DigitsFleet):
    """K models to be trained both ways."""

    def __init__(self, architecture: str, members: int, samples: int) -> None:
        super().__init__(architecture, members, samples)
        self.undefended = Regularisation(plugins.load("defence", "none"), torch.zeros(members), {})
        self.in_fleet: Stack
        self.by_loop: list[PlainModel]

    def fleet(self) -> float:
        """Seconds that the fleet takes."""
        start = perf_counter()
        self.in_fleet, _ = train(self.stack, self.pool, self.split, None, RECIPE, self.seeds, self.undefended)
        return perf_counter() - start

    def loop(self) -> float:
        """Seconds that the loop takes over all models."""
        self.by_loop = [alone(self.stack, k) for k in self.seeds]
        centred = self.images - 0.5
        start = perf_counter()
        for k, model in enumerate(self.by_loop):
            samples = centred[self.split.indices[k]], self.split.labels[k]
            train_alone(model, samples, RECIPE, self.seeds[k])
        return perf_counter() - start

    def agreement(self) -> float:
        """Share of training samples on which the two predict the same, over all models."""
        fleet = predict(self.in_fleet, self.pool, self.split.indices)
        loop: list[Tensor] = [
            logits_alone(model, self.images[self.split.indices[k]] - 0.5).argmax(1)
            for k, model in enumerate(self.by_loop)
        ]
        return (fleet == torch.stack(loop)).float().mean().item()


@pytest.mark.parametrize("members", ROUNDS)
@pytest.mark.parametrize("architecture", STACKED)
def test_a_fleet_against_the_plain_loop(
    benchmark: Any, say: Callable[[str], None], architecture: str, members: int
) -> None:
    measuring = benchmark.enabled
    race = Race(architecture, members if measuring else min(members, 5), SAMPLES if measuring else 70)
    loop: list[float] = []
    fleet: list[float] = []
    if measuring:
        race.fleet()
        race.loop()
    benchmark.pedantic(
        lambda: fleet.append(race.fleet()),
        setup=lambda: loop.append(race.loop()),
        rounds=ROUNDS[members] if measuring else 1,
    )
    assert race.agreement() > 0.95
    ratios = [slow / fast for slow, fast in zip(loop, fleet, strict=True)]
    measured = {
        "loop_ms_per_model_and_epoch": 1000 * median(loop) / members,
        "fleet_ms_per_model_and_epoch": 1000 * median(fleet) / members,
        "ratio": median(ratios),
        "lowest_ratio": min(ratios),
        "highest_ratio": max(ratios),
    }
    benchmark.extra_info.update(measured | {"members": members, "torch": torch.__version__, "threads": 1})
    loop_ms, fleet_ms, middle, lowest, highest = measured.values()
    say(
        f"{architecture:8} K {members:3}: loop {loop_ms:6.1f}, fleet {fleet_ms:6.1f} ms a model and epoch; "
        f"{middle:5.2f} times as fast ({lowest:.2f} to {highest:.2f} in {len(ratios)} rounds)"
    )
