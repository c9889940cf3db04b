"""The compiled kernel and the stacked fleet against the plain PyTorch loop: the same models, samples and order.

One epoch of 34 batches of 32 digits, cross entropy, on one thread. The loop is tests/training/plain_loop.py: nn.Module,
``torch.optim.Adam`` as it comes, tensors and no DataLoader. All sides run in this one process, after the same
``keep_freed_memory()``, and take turns round by round, so that a busy machine slows all; a ratio is the median over the
rounds. What is not timed, on any side: building the models and their initial weights, and compiling, of which a line of
its own says how long it takes from nothing and from the cache.

The floor is what the arithmetic alone takes: the products' operations at the rate of a large single-precision product
of PyTorch's on this thread, measured in the same process.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import pytest
import torch
from digits_fleet import DigitsFleet
from plain_loop import PlainModel, alone, logits_alone, train_alone
from torch import Tensor

from repro import plugins
from repro.harness.runs import engine_of
from repro.kernel import passes
from repro.training import compiled, fleet
from repro.training.fleet import Regularisation
from repro.training.layout import layout
from repro.training.recipe import Recipe
from repro.training.stack import Stack

SAMPLES = 1092
STACKED = [name for name in plugins.names("architecture") if engine_of(name) == "stacked"]
ROUNDS = {1: 21, 30: 5, 180: 3}
RECIPE = Recipe(learning_rate=0.003, batch_size=32, epochs=1)

pytestmark = pytest.mark.usefixtures("as_training_processes_are")


class Race(DigitsFleet):
    """K models to be trained both ways."""

    def __init__(self, architecture: str, members: int, samples: int) -> None:
        super().__init__(architecture, members, samples)
        self.undefended = Regularisation(plugins.load("defence", "none"), torch.zeros(members), {})
        self.trained: dict[str, Stack] = {}
        self.by_loop: list[PlainModel]

    def engine(self, name: str) -> float:
        """Seconds that the fleet or the kernel takes."""
        train = {"fleet": fleet.train, "kernel": compiled.train}[name]
        start = perf_counter()
        self.trained[name], _ = train(
            self.stack, self.pool, self.split, None, RECIPE, self.seeds, self.undefended
        )
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

    def agreement(self, name: str) -> float:
        """Share of training samples on which an engine's models and the loop's predict the same."""
        own = fleet.predict(self.trained[name], self.pool, self.split.indices)
        loop: list[Tensor] = [
            logits_alone(model, self.images[self.split.indices[k]] - 0.5).argmax(1)
            for k, model in enumerate(self.by_loop)
        ]
        return (own == torch.stack(loop)).float().mean().item()

    def floor(self) -> float:
        """Seconds per model and epoch of the products' operations at the rate of a large product."""
        net = layout(self.stack.blocks, self.stack.shape, 10, RECIPE.batch_size).net
        operations = 2 * net[:, passes.POSITIONS] * net[:, passes.INPUTS] * net[:, passes.OUTPUTS]
        batches = self.split.indices.shape[1] // RECIPE.batch_size
        total = RECIPE.batch_size * batches * (3 * operations.sum() - operations[0])
        one, other = torch.rand(512, 512), torch.rand(512, 512)
        taken = []
        for _ in range(20):
            start = perf_counter()
            torch.mm(one, other)
            taken.append(perf_counter() - start)
        return float(total * min(taken) / (2 * 512**3))


@pytest.mark.parametrize("members", ROUNDS)
@pytest.mark.parametrize("architecture", STACKED)
def test_the_kernel_and_the_fleet_against_the_plain_loop(
    benchmark: Any, say: Callable[[str], None], architecture: str, members: int
) -> None:
    measuring = benchmark.enabled
    race = Race(architecture, members if measuring else min(members, 3), SAMPLES if measuring else 70)
    taken: dict[str, list[float]] = {"loop": [], "fleet": [], "kernel": []}

    def others() -> None:
        taken["loop"].append(race.loop())
        taken["fleet"].append(race.engine("fleet"))

    if measuring:
        others()
        race.engine("kernel")
        taken["loop"].clear()
        taken["fleet"].clear()
    benchmark.pedantic(
        lambda: taken["kernel"].append(race.engine("kernel")),
        setup=others,
        rounds=ROUNDS[members] if measuring else 1,
    )
    assert race.agreement("fleet") > 0.95
    assert race.agreement("kernel") > 0.95
    ms = {name: 1000 * median(seconds) / members for name, seconds in taken.items()}
    floor = 1000 * race.floor()
    ratios = {
        name: median(slow / fast for slow, fast in zip(taken[name], taken["kernel"], strict=True))
        for name in ("loop", "fleet")
    }
    about = {"members": members, "torch": torch.__version__, "threads": 1}
    benchmark.extra_info.update({f"{name}_ms": value for name, value in ms.items()} | ratios | about)
    say(
        f"{architecture:9} K {members:3}: loop {ms['loop']:6.1f}, fleet {ms['fleet']:5.1f}, kernel {ms['kernel']:5.2f} "
        f"ms per model and epoch, floor {floor:.2f}; the kernel is {ratios['loop']:5.1f} times as fast as the loop and "
        f"{ratios['fleet']:.1f} times as fast as the fleet"
    )


def test_compiling_from_nothing_and_from_the_cache(
    benchmark: Any, say: Callable[[str], None], tmp_path: Path
) -> None:
    """In a process of its own each time; where nothing is measured, from the cache alone."""
    code = "import time, numba, torch; numba.config.CACHE_DIR = {}; s = time.process_time(); "
    code += "import repro.kernel; {} import repro.harness.warm; print(time.process_time() - s)"

    def seconds(folder: Path | None) -> float:
        moved = f"numba.config.CACHE_DIR = {str(folder)!r};" if folder else ""
        done = subprocess.run(
            [sys.executable, "-c", code.format(repr(""), moved)],
            check=True,
            capture_output=True,
            text=True,
            env=dict(os.environ),
        )
        return float(done.stdout)

    cold = seconds(tmp_path) if benchmark.enabled else 0.0
    warm = benchmark.pedantic(lambda: seconds(tmp_path if benchmark.enabled else None), rounds=1)
    say(f"compiling the kernel: {cold:.1f} s of one core from nothing, {warm:.1f} s from the cache")
    assert warm > 0
