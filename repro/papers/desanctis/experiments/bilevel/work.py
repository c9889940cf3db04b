"""Solve the bi-level poisoning problem for one objective, and check the solution (desanctis 2.1).

Every unit splits the data into members, which are D_clean, images of the target class from which the poisons start, and
held-out images, from which D_target is taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from repro import plugins
from repro.bilevel import Samples, checks, objectives
from repro.bilevel.inner import SoftmaxRegression
from repro.bilevel.problem import Problem
from repro.bilevel.solvers import GradientDescent
from repro.data import Dataset, Indices, seeded_generator
from repro.errors import ReproError
from repro.harness.outcome import Outcome
from repro.harness.runs import Fleet
from repro.papers.desanctis.experiments.bilevel.runs import BilevelRun
from repro.seeds import stream
from repro.triggers import Scene


@dataclass(frozen=True, eq=False)
class _Parts:
    """Indices into the dataset: training samples, the poisons' starting images, held-out images.

    ``tested`` are the first held-out images, ``others`` the first held-out images that are not of the target class.
    """

    members: Indices
    bases: Indices
    tested: Indices
    others: Indices


def train_bilevel(
    fleet: Fleet, dataset: Dataset, weights: Mapping[str, Tensor], device: torch.device
) -> Outcome:
    """One record per run: the objective without poisons, at their start and solved, and its checks.

    A fleet has one objective. Raises ReproError where the dataset is too small for a run.
    """
    runs: Sequence[BilevelRun] = fleet.runs
    first = runs[0]
    parts = [_parts(run, dataset) for run in runs]

    def samples(name: str, count: int | None = None) -> Samples:
        indices = np.stack([getattr(own, name)[:count] for own in parts])
        images = torch.from_numpy(dataset.images[indices]).double()
        return Samples(images.to(device), torch.from_numpy(dataset.labels[indices]).to(device))

    stamps = [_stamp(run, own, dataset) for run, own in zip(runs, parts, strict=True)]
    aims = {
        "accuracy_degradation": samples("tested"),
        "targeted_misclassification": samples("others", first.targets),
        "backdoor": samples("others", first.tested),
    }[first.objective]
    inner = SoftmaxRegression(len(dataset.classes), first.regularisation)
    problem = Problem(_objective(runs, aims, stamps), inner, samples("members"))
    start = samples("bases")
    solved = GradientDescent(first.iterations, first.step).solve(problem, start)

    nothing = samples("bases", 0)
    at_clean = inner.fit(nothing, problem.clean)
    before = inner.fit(start, problem.clean, at_clean)
    after = inner.fit(solved, problem.clean, before)
    figures = {
        f"{figure}_{stage}": values
        for stage, theta in (("clean", at_clean), ("before", before), ("after", after))
        for figure, values in _measured(problem, theta, samples("tested")).items()
    }
    figures["value_written_out"] = _written_out(runs, after, aims, stamps)
    figures["inner_gradient_norm"] = checks.inner_gradient_norm(
        inner.logits, after, [problem.clean, solved], first.regularisation
    )
    directions = [stream(run.seed, "bilevel-direction") for run in runs]
    figures["hypergradient_error"] = checks.hypergradient_error(problem, start, directions)
    lists = {name: values.tolist() for name, values in figures.items()}
    return Outcome(
        [{"run": run.id} | {name: values[k] for name, values in lists.items()} for k, run in enumerate(runs)]
    )


def _measured(problem: Problem, theta: Tensor, tested: Samples) -> dict[str, Tensor]:
    """The models' objective, success rate and test accuracy, (K,) each."""
    aimed = problem.inner.logits(theta, problem.objective.inputs)
    read = problem.inner.logits(theta, tested.images).argmax(-1)
    return {
        "value": problem.attained(theta),
        "success": problem.objective.success(aimed),
        "accuracy": (read == tested.labels).double().mean(1),
    }


def _parts(run: BilevelRun, dataset: Dataset) -> _Parts:
    labels, wanted = dataset.labels, max(run.tested, run.targets)
    order = seeded_generator(f"bilevel/{run.seed}").permutation(len(labels))
    members, rest = order[: run.members], order[run.members :]
    bases = rest[labels[rest] == run.target_class][: run.poisons]
    held_out = rest[~np.isin(rest, bases)]
    others = held_out[labels[held_out] != run.target_class][:wanted]
    if len(bases) < run.poisons or len(others) < wanted:
        raise ReproError(
            f"bilevel: unit {run.unit}: {len(labels)} images are too few for {run.members} members, {run.poisons} "
            f"poisons of class {run.target_class}, and {wanted} held-out images of other classes"
        )
    return _Parts(members, bases, held_out[: run.tested], others)


def _stamp(run: BilevelRun, parts: _Parts, dataset: Dataset) -> checks.Stamp:
    """The run's trigger, drawn once for all its images."""
    generator = seeded_generator(f"trigger/{run.seed}")
    scene = Scene(
        images=dataset.images[parts.others[:1]],
        training=dataset.images[parts.members],
        outside=dataset.images[parts.bases[0]],
        generator=generator,
    )
    piece = plugins.load("trigger", run.trigger.name)
    trigger, mask = (
        np.broadcast_to(array, scene.images.shape)[0].astype(np.float64)
        for array in piece.pattern(scene, **run.trigger.options)
    )
    return checks.Stamp(trigger, mask, run.trigger.alpha)


def _objective(
    runs: Sequence[BilevelRun], aims: Samples, stamps: Sequence[checks.Stamp]
) -> objectives.Objective:
    """The fleet's objective on its D_target."""
    device = aims.images.device
    target_class = torch.tensor([run.target_class for run in runs], device=device)
    if runs[0].objective == "accuracy_degradation":
        return objectives.accuracy_degradation(aims.images, aims.labels)
    if runs[0].objective == "targeted_misclassification":
        return objectives.targeted_misclassification(aims.images, target_class)
    trigger, mask = (
        torch.from_numpy(np.stack([getattr(stamp, name) for stamp in stamps])[:, None]).to(device)
        for name in ("trigger", "mask")
    )
    return objectives.backdoor(aims.images, trigger, mask, runs[0].trigger.alpha, target_class)


def _written_out(
    runs: Sequence[BilevelRun], theta: Tensor, aims: Samples, stamps: Sequence[checks.Stamp]
) -> Tensor:
    """The document's sums of A, sample by sample, (K,)."""
    values = []
    for k, run in enumerate(runs):
        own, images = theta[k].detach().cpu().numpy(), aims.images[k].cpu().numpy()
        if run.objective == "accuracy_degradation":
            values.append(checks.accuracy_degradation(own, images, aims.labels[k].tolist()))
        elif run.objective == "targeted_misclassification":
            values.append(checks.targeted_misclassification(own, images, run.target_class))
        else:
            values.append(checks.backdoor(own, images, stamps[k], run.target_class))
    return torch.tensor(values, dtype=torch.float64)
