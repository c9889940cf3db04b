"""The exposure study against the plain loop: the same fine-tuned victims under clean-label poison, crafted, trained
and probed at checkpoints, a run at a time with PyTorch's own modules and scikit-learn's AUC.

Both sides run in this one process on one thread and take turns round by round; the ratio is the median over the rounds.
Encoders are trained beforehand for both.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median
from time import perf_counter
from typing import Any

import numpy as np
import pytest
import torch
from plain_loop import PlainModel, alone, train_alone
from torch import Tensor

from repro import plugins
from repro.attacks import Scene
from repro.attacks.feature_collision import _pairs
from repro.data import load_dataset
from repro.harness.runs import Data, Fleet
from repro.papers.desanctis.victims.runs import Amplification, EncoderRun, ExposureRun
from repro.papers.desanctis.victims.training import fresh, parts_of
from repro.papers.desanctis.victims.work import train_encoders, train_victims
from repro.training.recipe import Recipe
from repro.training.stack import Stack

CPU = torch.device("cpu")
CRAFTING = {"beta": 1.0, "step": 1.0, "iterations": 100}
PUBLIC = Recipe(0.001, 64, 10)

pytestmark = pytest.mark.usefixtures("as_training_processes_are")


def metric_as_printed(logits: Tensor, labels: Tensor) -> Tensor:
    """M_mem as desanctis 2.3 prints it, in float64; confidences kept off 0 and 1."""
    f = logits.double().softmax(1).clamp(1e-300, 1 - 1e-16)
    own = f.gather(1, labels[:, None]).squeeze(1)
    others = (1 - f).log() * f
    return -(1 - own) * own.log() - (others.sum(1) - (1 - own).log() * own)


class Race:
    """K victims to be exposed both ways."""

    def __init__(self, members: int, epochs: int, iterations: int) -> None:
        self.dataset = load_dataset("digits", Path())
        every = tuple(range(10, epochs + 1, 10)) or (epochs,)
        crafting = CRAFTING | {"iterations": iterations}
        self.runs = [
            ExposureRun(
                unit=f"u{k}",
                data=Data("digits"),
                seed=500_000 + k,
                target_class=k % 10,
                architecture="mlp",
                recipe=Recipe(0.001, 64, epochs),
                members=300,
                nonmembers=600,
                victim="fine-tuned",
                checkpoints=every,
                attack=Amplification("feature_collision", 30, crafting),
            )
            for k in range(members)
        ]
        public = [EncoderRun(r.unit, r.data, r.seed, "mlp", PUBLIC, 300, 600) for r in self.runs]
        self.weights = train_encoders(Fleet(tuple(public)), self.dataset, {}, CPU).weights
        self.in_fleet: list[float] = []
        self.by_loop: list[float] = []

    def fleet(self) -> float:
        """Seconds that the fleet takes."""
        start = perf_counter()
        records = train_victims(Fleet(tuple(self.runs)), self.dataset, self.weights, CPU).records
        taken = perf_counter() - start
        self.in_fleet = [record["checkpoints"][-1]["auc"] for record in records]
        return taken

    def loop(self) -> float:
        """Seconds that the loop takes over all runs."""
        blocks = plugins.load("architecture", "mlp").blocks((1, 8, 8), 10)
        encoders = Stack(blocks, (1, 8, 8), 10, dict(self.weights))
        blank = fresh(self.runs, self.dataset, "victim", CPU)
        head = {name: tensor for name, tensor in blank.state().items() if name.startswith("head.")}
        victims = Stack(blocks, (1, 8, 8), 10, encoders.state() | head)
        images, labels = torch.from_numpy(self.dataset.images) - 0.5, torch.from_numpy(self.dataset.labels)
        parts = parts_of(self.runs, self.dataset, CPU)
        attack = self.runs[0].attack
        assert attack is not None
        scene = Scene(
            labels=labels,
            classes=10,
            pools=parts.pool,
            members=parts.members,
            target_classes=[run.target_class for run in self.runs],
            seeds=[run.seed for run in self.runs],
            images=lambda indices: images[indices] + 0.5,
            features=lambda images: images.flatten(2),
        )
        bases, targets = _pairs(scene, attack.budget)
        public = [alone(encoders, k) for k in range(len(self.runs))]
        models = [alone(victims, k) for k in range(len(self.runs))]
        start = perf_counter()
        self.by_loop = []
        for k, run in enumerate(self.runs):
            poisons = collide_alone(
                public[k], images[bases[k]] + 0.5, images[targets[k]] + 0.5, attack.options
            )
            samples = (
                torch.cat([images[parts.members[k]], poisons - 0.5]),
                torch.cat([labels[parts.members[k]], labels[bases[k]]]),
            )
            aucs: list[float] = []

            def probe(epoch: int, k: int = k, run: ExposureRun = run, aucs: list[float] = aucs) -> None:
                from sklearn.metrics import roc_auc_score

                if epoch not in run.checkpoints:
                    return
                models[k].eval()
                with torch.no_grad():
                    scores = [
                        metric_as_printed(models[k](images[i]), labels[i])
                        for i in (parts.members[k], parts.nonmembers[k])
                    ]
                truth = np.repeat([0, 1], [len(s) for s in scores])
                aucs.append(float(roc_auc_score(truth, torch.cat(scores).numpy())))

            train_alone(models[k], samples, run.recipe, run.seed, purpose="victim", after_epoch=probe)
            self.by_loop.append(aucs[-1])
        return perf_counter() - start


def collide_alone(model: PlainModel, bases: Tensor, targets: Tensor, options: dict[str, Any]) -> Tensor:
    """Forward-backward splitting of one model's poisons (eq. 1), each step kept where it lowers the objective."""
    features = model.body
    goal = features(targets - 0.5).detach()
    far = (features(bases - 0.5).detach() - goal).square().sum(1)
    ratio = far / (bases - targets).square().flatten(1).sum(1)
    weight, steps = options["beta"] * ratio, options["step"] / (2 * ratio)

    def cost_and_slope(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        distance = (features(x - 0.5) - goal).square().sum(1)
        (slope,) = torch.autograd.grad(distance.sum(), x)
        return distance.detach() + weight * (x.detach() - bases).square().flatten(1).sum(1), slope

    poisons = bases
    cost, slope = cost_and_slope(poisons)
    for _ in range(options["iterations"]):
        pull = 2 * (steps * weight)[:, None, None, None]
        moved = poisons - steps[:, None, None, None] * slope
        moved = ((moved + pull * bases) / (1 + pull)).clamp(0, 1)
        cost_there, slope_there = cost_and_slope(moved)
        better = cost_there <= cost
        poisons = torch.where(better[:, None, None, None], moved, poisons)
        slope = torch.where(better[:, None, None, None], slope_there, slope)
        cost, steps = torch.where(better, cost_there, cost), torch.where(better, steps, steps / 2)
    return poisons


@pytest.mark.parametrize("members", [10, 60])
def test_the_exposure_study_against_the_plain_loop(
    benchmark: Any, say: Callable[[str], None], members: int
) -> None:
    measuring = benchmark.enabled
    race = Race(*((members, 50, 100) if measuring else (2, 10, 5)))
    loop: list[float] = []
    fleet: list[float] = []
    benchmark.pedantic(
        lambda: fleet.append(race.fleet()),
        setup=lambda: loop.append(race.loop()),
        rounds=3 if measuring else 1,
    )
    assert fmean(race.in_fleet) == pytest.approx(fmean(race.by_loop), abs=0.02)
    ratios = [slow / fast for slow, fast in zip(loop, fleet, strict=True)]
    measured = {
        "loop_ms_per_run": 1000 * median(loop) / members,
        "fleet_ms_per_run": 1000 * median(fleet) / members,
        "ratio": median(ratios),
    }
    benchmark.extra_info.update(measured | {"members": members, "torch": torch.__version__, "threads": 1})
    say(
        f"exposure K {members:3}: loop {measured['loop_ms_per_run']:7.1f}, fleet {measured['fleet_ms_per_run']:7.1f} "
        f"ms a run; {median(ratios):5.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})"
    )
