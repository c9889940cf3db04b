"""Attack one unseen image with clean-label poisons that collide with it in feature space (desanctis 2.4, eq. 1).

After Shafahi et al. 2018, "Poison Frogs". Every unit splits the data as for membership exposure: members are the
victim's training set, the target is one of the non-members, and the bases come from the attacker's pool. The poisoned
victim is compared with a clean one, trained only on the members, and a placebo, trained with the unchanged bases.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from repro.attacks import feature_collision
from repro.data import Dataset
from repro.errors import ReproError
from repro.harness.outcome import Outcome
from repro.harness.runs import Fleet
from repro.papers.desanctis.experiments.targeted.runs import TargetedRun
from repro.papers.desanctis.victims.runs import Victim
from repro.papers.desanctis.victims.training import (
    begun,
    fresh,
    images_and_labels,
    joined,
    parts_of,
    regularisation,
)
from repro.seeds import stream
from repro.training.fleet import CENTRE, Split
from repro.training.stack import Stack
from repro.training.train import train


def train_targeted(
    fleet: Fleet, dataset: Dataset, weights: Mapping[str, Tensor], device: torch.device
) -> Outcome:
    """Craft each run's poisons, train its three victims and measure them. ``weights``: the public encoders'.

    ReproError where a base class has too few images, or no held-out image qualifies as the target.
    """
    runs: Sequence[TargetedRun] = fleet.runs
    pool, labels = images_and_labels(dataset, device)
    # The split with which the encoders were trained, and models drawn independently of them.
    public = [run.encoder for run in runs]
    parts = parts_of(public, dataset, device)
    blank = fresh(public, dataset, "victim", device)
    encoders = Stack(blank.blocks, blank.shape, blank.classes, dict(weights)).to(device)
    kind: Victim = "frozen" if runs[0].frozen else "fine-tuned"

    start, before = begun(kind, blank, encoders, pool)
    clean = _trained(runs, start, before.pool, before.split(parts.members, labels[parts.members]))
    targets = _targets(runs, parts.nonmembers, labels, before.reads(clean, parts.nonmembers))
    bases = _bases(runs, parts.pool, labels)
    poisons = _poisons(runs, encoders, pool, bases, targets)

    # The poisons of run k are images n + kP to n + (k + 1)P of all images, whichever victim sees them.
    crafted = torch.arange(len(pool), len(pool) + bases.numel(), device=device).view(bases.shape)
    images = torch.cat([pool, poisons.flatten(0, 1) - CENTRE])
    start, after = begun(kind, blank, encoders, images)
    members = after.split(parts.members, labels[parts.members])

    def attacked(indices: Tensor) -> Stack:
        poison = after.split(indices, labels[bases])
        return _trained(runs, start, after.pool, joined(members, poison))

    poisoned, placebo = attacked(crafted), attacked(bases)

    target_class, base_class = labels[targets], labels[bases[:, :1]]
    held_out = labels[parts.nonmembers]
    pixels = [images[i].flatten(2) for i in (crafted, bases, targets)]
    theirs = [encoders.hidden(images[i], training=False).detach() for i in (crafted, bases, targets)]
    own = [after.features(poisoned, i) for i in (crafted, bases, targets)]
    measured = {
        "target_asr": after.reads(poisoned, targets) == base_class,
        "placebo_asr": after.reads(placebo, targets) == base_class,
        "poison_as_target_rate": after.reads(clean, crafted) == target_class,
        "base_as_target_rate": after.reads(clean, bases) == target_class,
        "poison_as_base_rate": after.reads(poisoned, crafted) == base_class,
        "nearer_target_rate": _nearer_target(*theirs),
        "nearer_base_rate": _nearer_base(*pixels),
        "collapsed_rate": _nearer_target(*own),
        "feature_ratio": _distance(theirs[0], theirs[2]) / _distance(theirs[1], theirs[2]),
        "input_ratio": _distance(pixels[0], pixels[1]) / _distance(pixels[1], pixels[2]),
        "clean_accuracy": after.reads(poisoned, parts.nonmembers) == held_out,
        "placebo_accuracy": after.reads(placebo, parts.nonmembers) == held_out,
    }
    means = {name: values.double().mean(1).tolist() for name, values in measured.items()}
    records: list[dict[str, Any]] = [
        {
            "run": run.id,
            "target": int(targets[k, 0]),
            "target_class": int(target_class[k, 0]),
            "bases": bases[k].tolist(),
            "pictures": [_hexadecimal(images[i[k, 0]] + CENTRE) for i in (bases, targets, crafted)],
        }
        | {name: values[k] for name, values in means.items()}
        for k, run in enumerate(runs)
    ]
    return Outcome(records)


def _trained(runs: Sequence[TargetedRun], start: Stack, pool: Tensor, training: Split) -> Stack:
    """Victims trained on samples whose indices are rows of the pool; all draw from the same streams."""
    seeds, defence = [run.seed for run in runs], regularisation([run.defence for run in runs])
    return train(start, pool, training, None, runs[0].recipe, seeds, defence, purpose="victim")[0]


def _hexadecimal(image: Tensor) -> str:
    """An image (h, w, c) in [0, 1] at 8 bits per value, two hexadecimal digits each, row by row, after an ``x``."""
    values: list[int] = (image.clamp(0, 1) * 255).round().flatten().int().tolist()
    return "x" + bytes(values).hex()


def _targets(runs: Sequence[TargetedRun], nonmembers: Tensor, labels: Tensor, read_as: Tensor) -> Tensor:
    """Each run's target (K, 1): in its own random order, the first correctly classified image of another class."""
    found = []
    for run, own, read in zip(runs, nonmembers, read_as, strict=True):
        order = torch.randperm(len(own), generator=stream(run.seed, "target")).to(own.device)
        fit = (labels[own] != run.base_class) & (read == labels[own])
        candidates = own[order][fit[order]]
        if not len(candidates):
            raise ReproError(
                f"targeted: unit {run.unit}: the clean victim classifies no held-out image of another class correctly"
            )
        found.append(candidates[:1])
    return torch.stack(found)


def _bases(runs: Sequence[TargetedRun], pool: Tensor, labels: Tensor) -> Tensor:
    """Each run's bases, (K, budget): images of the base class from the attacker's pool."""
    found = []
    for run, own in zip(runs, pool, strict=True):
        of_class = own[labels[own] == run.base_class]
        if len(of_class) < run.budget:
            raise ReproError(
                f"targeted: unit {run.unit}: {run.budget} poisons, but the pool has {len(of_class)} images of "
                f"class {run.base_class}"
            )
        drawn = torch.randperm(len(of_class), generator=stream(run.seed, "bases"))[: run.budget]
        found.append(of_class[drawn.to(of_class.device)])
    return torch.stack(found)


def _poisons(
    runs: Sequence[TargetedRun], encoders: Stack, pool: Tensor, bases: Tensor, targets: Tensor
) -> Tensor:
    """Poisons (K, budget, h, w, c) in [0, 1], each from a base that may carry the target as a watermark."""
    plain = pool[bases] + CENTRE
    aim = (pool[targets] + CENTRE).expand_as(plain)
    watermark = runs[0].watermark
    return feature_collision.collide(
        lambda images: encoders.hidden(images - CENTRE, training=False),
        (1 - watermark) * plain + watermark * aim,
        aim,
        **runs[0].crafting,
    )


def _distance(one: Tensor, other: Tensor) -> Tensor:
    distances: Tensor = torch.linalg.vector_norm(one - other, dim=-1)
    return distances


def _nearer_target(poisons: Tensor, bases: Tensor, targets: Tensor) -> Tensor:
    """Which poisons lie nearer to the target than to their own base, (K, P)."""
    return _distance(poisons, targets) < _distance(poisons, bases)


def _nearer_base(poisons: Tensor, bases: Tensor, targets: Tensor) -> Tensor:
    """Which poisons lie nearer to their own base than to the target, (K, P)."""
    return _distance(poisons, bases) < _distance(poisons, targets)
