"""Triggers reconstructed for a fleet against the plain loop, for one model and one class after the other.

The loop is tests/detection/plain_detection.py: nn.Module, ``torch.optim.Adam`` as it comes. It does a sample of the
problems, the fleet all K models times 10 classes; what is compared is the time a problem takes. Both run in this one
process, on one thread, and take turns round by round, so that a busy machine slows both; the ratio is the median over
the rounds. The models are untrained: what a step costs does not depend on their weights.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "detection"))

from digits_fleet import DigitsFleet
from plain_detection import Found, reconstruct_alone
from plain_loop import alone

from repro.detection.reconstruct import Search, Triggers, reconstruct

CLASSES = 10
BY_LOOP = 4  # problems of the sample
ROUNDS = {1: 5, 10: 3, 60: 3}
SEARCH = Search(steps=50)

pytestmark = pytest.mark.usefixtures("as_training_processes_are")


class Race(DigitsFleet):
    """The problems of K models, each with 273 clean images of its own."""

    def __init__(self, architecture: str, members: int, search: Search) -> None:
        super().__init__(architecture, members, 273)
        self.search = search
        self.sample = [(i % members, (3 * i) % CLASSES) for i in range(BY_LOOP)]
        self.in_fleet: Triggers
        self.by_loop: list[Found]

    def fleet(self) -> float:
        """Seconds a problem."""
        start = perf_counter()
        self.in_fleet = reconstruct(self.stack, self.pool, self.split, self.seeds, self.search)
        return (perf_counter() - start) / (len(self.seeds) * CLASSES)

    def loop(self) -> float:
        """Seconds a problem."""
        models = [alone(self.stack, k) for k, _ in self.sample]
        start = perf_counter()
        self.by_loop = [
            reconstruct_alone(
                model,
                self.images[self.split.indices[k]],
                self.split.labels[k],
                CLASSES,
                target,
                self.seeds[k],
                self.search,
            )
            for model, (k, target) in zip(models, self.sample, strict=True)
        ]
        return (perf_counter() - start) / len(self.sample)

    def furthest(self) -> float:
        """The median over the sample of how far the two's masks are apart."""
        return median(
            (self.in_fleet.masks[k, target] - found.mask).abs().max().item()
            for (k, target), found in zip(self.sample, self.by_loop, strict=True)
        )


@pytest.mark.parametrize("members", ROUNDS)
@pytest.mark.parametrize("architecture", ["mlp", "cnn_bn"])
def test_reconstruction_for_a_fleet_against_the_plain_loop(
    benchmark: Any, say: Callable[[str], None], architecture: str, members: int
) -> None:
    measuring = benchmark.enabled
    race = Race(architecture, members if measuring else min(members, 2), SEARCH if measuring else Search(4))
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
    assert race.furthest() < 0.01
    ratios = [slow / fast for slow, fast in zip(loop, fleet, strict=True)]
    steps = race.search.steps
    measured = {
        "loop_us_per_problem_and_step": 1e6 * median(loop) / steps,
        "fleet_us_per_problem_and_step": 1e6 * median(fleet) / steps,
        "ratio": median(ratios),
        "lowest_ratio": min(ratios),
        "highest_ratio": max(ratios),
    }
    benchmark.extra_info.update(measured | {"members": members, "torch": torch.__version__, "threads": 1})
    loop_us, fleet_us, middle, lowest, highest = measured.values()
    say(
        f"{architecture:8} K {members:3}: loop {loop_us:6.0f}, fleet {fleet_us:6.0f} us a problem and step; "
        f"{middle:5.1f} times as fast ({lowest:.1f} to {highest:.1f} in {len(ratios)} rounds)"
    )
