"""Train public encoders and their victims, and measure how exposed the victims' members are (desanctis 2.3 to 2.5)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from repro import plugins
from repro.attacks import Poisons, Scene
from repro.data import Dataset
from repro.harness.outcome import Outcome
from repro.harness.runs import Defence, Fleet
from repro.metrics.membership import auc, membership_metric, roc_tpr, ties
from repro.papers.desanctis.victims.runs import EncoderRun, ExposureRun
from repro.papers.desanctis.victims.training import (
    Parts,
    begun,
    fresh,
    images_and_labels,
    joined,
    parts_of,
    regularisation,
)
from repro.training import train as plain
from repro.training.fleet import CENTRE, At, Split
from repro.training.stack import Stack
from repro.training.train import logits_of

FALSE_POSITIVE_RATES = [0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]


def train_encoders(
    fleet: Fleet, dataset: Dataset, weights: Mapping[str, Tensor], device: torch.device
) -> Outcome:
    """Train one public encoder per run on its pool; records hold its accuracy on the non-members."""
    runs: Sequence[EncoderRun] = fleet.runs
    pool, labels = images_and_labels(dataset, device)
    parts = parts_of(runs, dataset, device)
    split = Split(parts.pool, labels[parts.pool])
    seeds = [run.seed for run in runs]
    nothing = regularisation([Defence()] * len(runs))
    blank = fresh(runs, dataset, "encoder", device)
    trained, _ = plain.train(blank, pool, split, None, runs[0].recipe, seeds, nothing, purpose="encoder")
    correct = logits_of(trained, pool, parts.nonmembers).argmax(-1) == labels[parts.nonmembers]
    accuracies = correct.double().mean(1).tolist()
    records = [{"run": run.id, "test_accuracy": a} for run, a in zip(runs, accuracies, strict=True)]
    return Outcome(records, {name: tensor.cpu().contiguous() for name, tensor in trained.state().items()})


def train_victims(
    fleet: Fleet, dataset: Dataset, weights: Mapping[str, Tensor], device: torch.device
) -> Outcome:
    """Train one victim per run; a record holds the measurements at every checkpoint. ``weights``: the encoders'.

    A defence with its own way of training (its piece's ``train``) replaces the fleet's; for one that promises privacy
    (its piece's ``epsilon``), epsilon is recorded at each checkpoint.
    """
    runs: Sequence[ExposureRun] = fleet.runs
    pool, labels = images_and_labels(dataset, device)
    parts = parts_of(runs, dataset, device)
    blank = fresh(runs, dataset, "victim", device)
    encoders = Stack(blank.blocks, blank.shape, blank.classes, dict(weights)).to(device)
    pool, poison = _poisoned(runs, dataset, parts, encoders, pool, labels)
    start, view = begun(runs[0].victim, blank, encoders, pool)
    training = view.split(parts.members, labels[parts.members])
    if poison is not None:
        training = joined(training, view.split(poison.indices, poison.labels))
    defence = regularisation([run.defence for run in runs])
    measured_on = [parts.members, parts.nonmembers] + ([parts.validation] if runs[0].validation else [])
    epochs: list[int] = []
    seen: list[list[Tensor]] = []

    def observe(epoch: int, members: Tensor, current: Stack) -> None:
        epochs.append(epoch)
        seen.append([view.logits(current, indices) for indices in measured_on])

    train = getattr(defence.piece, "train", plain.train)
    seeds, when = [run.seed for run in runs], At(runs[0].checkpoints, observe)
    train(start, view.pool, training, None, runs[0].recipe, seeds, defence, purpose="victim", observe=when)

    promised = getattr(defence.piece, "epsilon", None)
    records: list[dict[str, Any]] = []
    for k, run in enumerate(runs):
        logits = [torch.stack([own[k] for own in part]) for part in zip(*seen, strict=True)]
        own_labels = [labels[indices[k]] for indices in measured_on]
        found: dict[str, list[Any]] = {"epoch": epochs} | _exposure(logits, own_labels, run)
        if promised:
            n, size = training.indices.shape[1], run.recipe.batch_size
            found["epsilon"] = [promised(run.defence.weight, n, size, epoch) for epoch in epochs]
        rows = [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]
        records.append({"run": run.id, "checkpoints": rows})
    return Outcome(records)


def _poisoned(
    runs: Sequence[ExposureRun],
    dataset: Dataset,
    parts: Parts,
    encoders: Stack,
    pool: Tensor,
    labels: Tensor,
) -> tuple[Tensor, Split | None]:
    """The pool followed by the fleet's poisons, and each run's poisons as rows of it."""
    attack = runs[0].attack
    if attack is None:
        return pool, None
    scene = Scene(
        labels=labels,
        classes=len(dataset.classes),
        pools=parts.pool,
        members=parts.members,
        target_classes=[run.target_class for run in runs],
        seeds=[run.seed for run in runs],
        images=lambda indices: pool[indices] + CENTRE,
        features=lambda images: encoders.hidden(images - CENTRE, training=False),
    )
    poisons: Poisons = plugins.load("attack", attack.name).poison(scene, attack.budget, **attack.options)
    if poisons.indices is not None:
        return pool, Split(poisons.indices, poisons.labels)
    assert poisons.images is not None
    rows = torch.arange(len(pool), len(pool) + poisons.labels.numel(), device=pool.device)
    added = poisons.images.flatten(0, 1) - CENTRE
    return torch.cat([pool, added]), Split(rows.view(poisons.labels.shape), poisons.labels)


def _exposure(logits: Sequence[Tensor], labels: Sequence[Tensor], run: ExposureRun) -> dict[str, list[Any]]:
    """What M_mem tells an attacker about a victim's members, over all classes and the targeted one, by checkpoint.

    logits (T, n, classes) at T checkpoints, and labels (n,), of members, non-members and, if there are any, validation
    images.
    """
    correct = [(own.argmax(-1) == its).double().cpu() for own, its in zip(logits, labels, strict=True)]
    member, nonmember = (
        membership_metric(own, its.expand(own.shape[:-1])).cpu()
        for own, its in zip(logits[:2], labels[:2], strict=True)
    )
    of_target = [own.cpu() == run.target_class for own in labels[:2]]
    held_out = correct[1]
    rates = roc_tpr(member, nonmember, FALSE_POSITIVE_RATES).T
    figures = {
        "member_accuracy": correct[0].mean(1),
        "test_accuracy": held_out.mean(1),
        "target_accuracy": held_out[:, of_target[1]].mean(1),
        "other_accuracy": held_out[:, ~of_target[1]].mean(1),
        "auc": auc(member, nonmember),
        "target_auc": auc(member[:, of_target[0]], nonmember[:, of_target[1]]),
        "other_auc": auc(member[:, ~of_target[0]], nonmember[:, ~of_target[1]]),
        "ties": ties(member, nonmember),
    }
    figures |= {f"tpr_at_{rate}": tpr for rate, tpr in zip(FALSE_POSITIVE_RATES, rates, strict=True)}
    if len(correct) > 2:
        figures["validation_accuracy"] = correct[2].mean(1)
    return {name: values.tolist() for name, values in figures.items()}
