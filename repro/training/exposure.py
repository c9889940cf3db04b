"""Train public encoders and their victims, and measure how exposed the victims' members are (desanctis 2.3 to 2.5).

Every unit splits the data into members (the victim's training set), non-members (held out) and a pool, which is the
attacker's and what the public encoder was trained on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from repro import plugins
from repro.attacks import dirty_label, feature_collision
from repro.data import Dataset, seeded_generator
from repro.errors import ReproError
from repro.exposure_runs import Amplification, EncoderRun, ExposureRun
from repro.metrics.membership import auc, membership_metric, roc_tpr, ties
from repro.runs import Fleet
from repro.training.fleet import CENTRE, Regularisation, Split, logits_of, pool_of, train
from repro.training.outcome import Outcome
from repro.training.seeds import stream
from repro.training.stack import Stack

FALSE_POSITIVE_RATES = [0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]


@dataclass(frozen=True)
class _Parts:
    """Indices into the dataset, (K, ...) each, in random order."""

    members: Tensor
    nonmembers: Tensor
    pool: Tensor


def train_encoders(
    fleet: Fleet, dataset: Dataset, weights: Mapping[str, Tensor], device: torch.device
) -> Outcome:
    """Train a public encoder a run on its pool; records say how well it reads the non-members."""
    runs: Sequence[EncoderRun] = fleet.runs
    pool, labels = _data(dataset, device)
    parts = _parts(runs, dataset, device)
    stack = _fresh(runs, dataset, [run.seed for run in runs], "encoder").to(device)
    nothing = Regularisation(plugins.load("defence", "none"), torch.zeros(len(runs)), {})
    split = Split(parts.pool, labels[parts.pool])
    seeds = [run.seed for run in runs]
    trained, _ = train(stack, pool, split, None, runs[0].recipe, seeds, nothing, purpose="encoder")
    correct = logits_of(trained, pool, parts.nonmembers).argmax(-1) == labels[parts.nonmembers]
    accuracies = correct.double().mean(1).tolist()
    records = [{"run": run.id, "test_accuracy": a} for run, a in zip(runs, accuracies, strict=True)]
    return Outcome(records, {name: tensor.cpu().contiguous() for name, tensor in trained.state().items()})


def train_victims(
    fleet: Fleet, dataset: Dataset, weights: Mapping[str, Tensor], device: torch.device
) -> Outcome:
    """Train a victim a run; a record holds what was measured at every checkpoint. ``weights``: the encoders'."""
    runs: Sequence[ExposureRun] = fleet.runs
    pool, labels = _data(dataset, device)
    parts = _parts(runs, dataset, device)
    stack = _fresh(runs, dataset, [run.seed for run in runs], "victim").to(device)
    encoders = Stack(stack.blocks, stack.shape, stack.classes, dict(weights)).to(device)
    if runs[0].fine_tuned:
        state = encoders.state() | {n: t for n, t in stack.state().items() if n.startswith("head.")}
        stack = Stack(stack.blocks, stack.shape, stack.classes, state)
    training = Split(parts.members, labels[parts.members])
    pool, poison = _poisoned(runs, dataset, parts, encoders, pool, labels)
    if poison is not None:
        training = Split(
            torch.cat([training.indices, poison.indices], 1), torch.cat([training.labels, poison.labels], 1)
        )
    records: list[dict[str, Any]] = [{"run": run.id, "checkpoints": []} for run in runs]

    def observe(epoch: int, members: Tensor, current: Stack) -> None:
        if epoch in runs[0].checkpoints:
            for record, measured in zip(records, _exposure(current, pool, labels, parts, runs), strict=True):
                record["checkpoints"].append({"epoch": epoch} | measured)

    piece = plugins.load("defence", runs[0].defence.name)
    regularisation = Regularisation(
        piece, torch.tensor([run.defence.weight for run in runs]), piece.OPTIONS | runs[0].defence.options
    )
    seeds = [run.seed for run in runs]
    train(
        stack, pool, training, None, runs[0].recipe, seeds, regularisation, purpose="victim", observe=observe
    )
    return Outcome(records)


def _data(dataset: Dataset, device: torch.device) -> tuple[Tensor, Tensor]:
    return pool_of(torch.from_numpy(dataset.images)).to(device), torch.from_numpy(dataset.labels).to(device)


def _parts(
    runs: Sequence[EncoderRun] | Sequence[ExposureRun], dataset: Dataset, device: torch.device
) -> _Parts:
    members, nonmembers = runs[0].members, runs[0].nonmembers
    if members + nonmembers >= len(dataset.labels):
        raise ReproError(
            f"exposure: {members} members and {nonmembers} non-members leave no pool of {len(dataset.labels)} images"
        )
    orders = [seeded_generator(f"exposure/{run.seed}").permutation(len(dataset.labels)) for run in runs]
    order = torch.stack([torch.from_numpy(o) for o in orders]).to(device)
    return _Parts(
        order[:, :members], order[:, members : members + nonmembers], order[:, members + nonmembers :]
    )


def _fresh(
    runs: Sequence[EncoderRun] | Sequence[ExposureRun], dataset: Dataset, seeds: Sequence[int], purpose: str
) -> Stack:
    piece = plugins.load("architecture", runs[0].architecture)
    shape, classes = dataset.images.shape[1:], len(dataset.classes)
    # Encoder and victim of one unit are drawn apart, so that the victim does not start where the encoder did.
    drawn = [int(torch.randint(2**62, (1,), generator=stream(seed, purpose))) for seed in seeds]
    return Stack.initialised(piece.blocks(shape, classes), shape, classes, drawn)


def _poisoned(
    runs: Sequence[ExposureRun],
    dataset: Dataset,
    parts: _Parts,
    encoders: Stack,
    pool: Tensor,
    labels: Tensor,
) -> tuple[Tensor, Split | None]:
    """The pool with the fleet's poisons behind it, and where each run's poisons are."""
    attack = runs[0].attack
    if attack is None:
        return pool, None
    if attack.name == "dirty_label":
        chosen = [
            dirty_label.poison(
                own.cpu(),
                labels.cpu(),
                run.target_class,
                budget=attack.budget,
                classes=len(dataset.classes),
                generator=stream(run.seed, "dirty-label"),
            )
            for run, own in zip(runs, parts.pool, strict=True)
        ]
        indices, wrong = (torch.stack(column).to(pool.device) for column in zip(*chosen, strict=True))
        return pool, Split(indices, wrong)
    bases, targets = _pairs(runs, attack, parts, labels)
    poisons = feature_collision.collide(
        lambda images: encoders.hidden(images - CENTRE, training=False),
        pool[bases] + CENTRE,
        pool[targets] + CENTRE,
        **attack.options,
    )
    start = len(pool)
    indices = torch.arange(start, start + bases.numel(), device=pool.device).view(bases.shape)
    return torch.cat([pool, poisons.flatten(0, 1) - CENTRE]), Split(indices, labels[bases])


def _pairs(
    runs: Sequence[ExposureRun], attack: Amplification, parts: _Parts, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Base and target image of each poison, (K, budget): pool images of other classes, target-class members in turn."""
    bases, targets = [], []
    for run, own, members in zip(runs, parts.pool, parts.members, strict=True):
        others = own[labels[own] != run.target_class]
        of_target = members[labels[members] == run.target_class]
        drawn = torch.randperm(len(others), generator=stream(run.seed, "clean-label"))[: attack.budget]
        bases.append(others[drawn.to(others.device)])
        targets.append(of_target[torch.arange(attack.budget, device=of_target.device) % len(of_target)])
    return torch.stack(bases), torch.stack(targets)


def _exposure(
    stack: Stack, pool: Tensor, labels: Tensor, parts: _Parts, runs: Sequence[ExposureRun]
) -> list[dict[str, Any]]:
    """What an attacker who sees M_mem learns of each run's members, in all and by the targeted class."""
    scores, correct = [], []
    for indices in (parts.members, parts.nonmembers):
        logits = logits_of(stack, pool, indices)
        scores.append(membership_metric(logits, labels[indices]).cpu())
        correct.append((logits.argmax(-1) == labels[indices]).double().cpu())
    classes = [labels[indices].cpu() for indices in (parts.members, parts.nonmembers)]
    measured = []
    for k, run in enumerate(runs):
        member, nonmember = scores[0][k], scores[1][k]
        of_target = [c[k] == run.target_class for c in classes]
        held_out = correct[1][k]
        rates = roc_tpr(member, nonmember, FALSE_POSITIVE_RATES).tolist()
        measured.append(
            {
                "member_accuracy": float(correct[0][k].mean()),
                "test_accuracy": float(held_out.mean()),
                "target_accuracy": float(held_out[of_target[1]].mean()),
                "other_accuracy": float(held_out[~of_target[1]].mean()),
                "auc": float(auc(member, nonmember)),
                "target_auc": float(auc(member[of_target[0]], nonmember[of_target[1]])),
                "other_auc": float(auc(member[~of_target[0]], nonmember[~of_target[1]])),
                "ties": float(ties(member, nonmember)),
            }
            | {f"tpr_at_{rate}": tpr for rate, tpr in zip(FALSE_POSITIVE_RATES, rates, strict=True)}
        )
    return measured
