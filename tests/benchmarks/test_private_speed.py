"""Private training of a fleet against Opacus, model by model, and against the fleet's training without a defence.

One epoch of 5 steps of 64 of 330 digits in expectation, clipped and with noise, on one thread. The loop is
tests/training/plain_private.py: nn.Module in Opacus' ``GradSampleModule``, its ``DPOptimizer`` around Adam, tensors and
no DataLoader. All sides run in this one process, after the same ``keep_freed_memory()``, and take turns round by round,
so that a busy machine slows all; ratios are medians over the rounds. Not timed: building the models and their weights.
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import pytest
import torch
from digits_fleet import DigitsFleet
from plain_loop import alone
from plain_private import train_by_opacus

from repro import plugins
from repro.training import fleet, private
from repro.training.fleet import Regularisation
from repro.training.recipe import Recipe
from repro.training.stack import Stack

SAMPLES = 330
ROUNDS = {1: 21, 10: 7, 60: 5}
RECIPE = Recipe(learning_rate=0.003, batch_size=64, epochs=1)

pytestmark = pytest.mark.usefixtures("as_training_processes_are")


class Race(DigitsFleet):
    """K models to be trained in three ways; each takes and returns nothing but the seconds it took."""

    def _seconds(self, train: Callable[..., tuple[Stack, list[int]]], defence: str, weight: float) -> float:
        piece = plugins.load("defence", defence)
        regularisation = Regularisation(piece, torch.full((len(self.seeds),), weight), piece.OPTIONS)
        start = perf_counter()
        _, epochs = train(self.stack, self.pool, self.split, None, RECIPE, self.seeds, regularisation)
        assert epochs == [1] * len(self.seeds)
        return perf_counter() - start

    def private(self) -> float:
        """The fleet, privately."""
        return self._seconds(private.train, "dp_sgd", 1.0)

    def undefended(self) -> float:
        """The fleet, by cross entropy alone."""
        return self._seconds(fleet.train, "none", 0.0)

    def loop(self) -> float:
        """All models by Opacus, one after the other."""
        models = [alone(self.stack, k) for k in self.seeds]
        centred = self.images - 0.5
        start = perf_counter()
        for k, model in enumerate(models):
            samples = centred[self.split.indices[k]], self.split.labels[k]
            train_by_opacus(model, samples, RECIPE, self.seeds[k], 1.0, 1.0)
        return perf_counter() - start


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("members", ROUNDS)
@pytest.mark.parametrize("architecture", ["mlp", "cnn"])
def test_a_private_fleet_against_opacus(
    benchmark: Any, say: Callable[[str], None], architecture: str, members: int
) -> None:
    measuring = benchmark.enabled
    race = Race(architecture, members if measuring else min(members, 5), SAMPLES if measuring else 70)
    loop: list[float] = []
    undefended: list[float] = []
    mine: list[float] = []

    def others() -> None:
        loop.append(race.loop())
        undefended.append(race.undefended())

    if measuring:
        race.private()
        others()
        loop.clear()
        undefended.clear()
    benchmark.pedantic(
        lambda: mine.append(race.private()), setup=others, rounds=ROUNDS[members] if measuring else 1
    )
    faster = [slow / fast for slow, fast in zip(loop, mine, strict=True)]
    dearer = [own / plain for own, plain in zip(mine, undefended, strict=True)]
    measured = {
        "opacus_ms_per_model_and_epoch": 1000 * median(loop) / members,
        "fleet_ms_per_model_and_epoch": 1000 * median(mine) / members,
        "ratio": median(faster),
        "lowest_ratio": min(faster),
        "highest_ratio": max(faster),
        "ratio_to_no_defence": median(dearer),
    }
    benchmark.extra_info.update(measured | {"members": members, "torch": torch.__version__, "threads": 1})
    opacus_ms, fleet_ms, middle, lowest, highest, cost = measured.values()
    say(
        f"{architecture:4} K {members:3}: Opacus {opacus_ms:6.1f}, private fleet {fleet_ms:6.2f} ms a model and epoch; "
        f"{middle:5.2f} times as fast ({lowest:.2f} to {highest:.2f} in {len(faster)} rounds), "
        f"{cost:.2f} times as long as without a defence"
    )
