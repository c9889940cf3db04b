"""Small encoders and victims of attacks on membership, and one unit's part in them worked out plainly."""

from dataclasses import dataclass
from math import exp, fsum, log1p
from typing import Any

import torch
from plain_loop import PlainModel, alone, logits_alone, train_alone
from torch import Tensor

from repro import plugins
from repro.attacks import dirty_label
from repro.attacks.feature_collision import collide
from repro.data import Dataset, seeded_generator
from repro.harness.runs import Data, Fleet
from repro.papers.desanctis.victims.runs import EncoderRun, ExposureRun
from repro.papers.desanctis.victims.work import train_encoders
from repro.seeds import stream
from repro.training.recipe import Recipe
from repro.training.stack import Stack

CPU = torch.device("cpu")
SHAPE = (1, 8, 8)
IMAGES, CLASSES = 600, 10
MEMBERS, NONMEMBERS, VALIDATION = 60, 120, 40
DATA = Data("digits", IMAGES)
SEEDS = [51, 42, 63]
TARGET_CLASSES = [3, 0, 8]
BUDGET = 12
CRAFTING = {"beta": 1.0, "step": 1.0, "iterations": 8}
RATES = [0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
ENCODER_RECIPE = Recipe(0.005, 32, 4)


@dataclass
class Own:
    """Indices into the dataset of one unit."""

    members: Tensor
    nonmembers: Tensor
    validation: Tensor
    pool: Tensor


def encoder_runs(architecture: str = "mlp", **changes: Any) -> list[EncoderRun]:
    sizes = {"members": MEMBERS, "nonmembers": NONMEMBERS} | changes
    return [EncoderRun(f"u{k}", DATA, s, architecture, ENCODER_RECIPE, **sizes) for k, s in enumerate(SEEDS)]


def victim_runs(**changes: Any) -> list[ExposureRun]:
    about = {
        "architecture": "mlp",
        "recipe": Recipe(0.01, 16, 4),
        "members": MEMBERS,
        "nonmembers": NONMEMBERS,
        "victim": "scratch",
        "checkpoints": (1, 4),
    } | changes
    return [
        ExposureRun(f"u{k}", DATA, seed, target, **about)
        for k, (seed, target) in enumerate(zip(SEEDS, TARGET_CLASSES, strict=True))
    ]


def own_parts(seed: int, validation: int = 0) -> Own:
    order = torch.from_numpy(seeded_generator(f"exposure/{seed}").permutation(IMAGES))
    held_out = MEMBERS + NONMEMBERS
    return Own(
        order[:MEMBERS],
        order[MEMBERS:held_out],
        order[held_out : held_out + validation],
        order[held_out + validation :],
    )


def fresh_alone(seed: int, purpose: str, architecture: str = "mlp") -> PlainModel:
    """The model that a unit begins a training of some purpose with."""
    blocks = plugins.load("architecture", architecture).blocks(SHAPE, CLASSES)
    drawn = int(torch.randint(2**62, (1,), generator=stream(seed, purpose)))
    return alone(Stack.initialised(blocks, SHAPE, CLASSES, [drawn]), 0)


def centred(dataset: Dataset) -> Tensor:
    """Images (n, c, h, w) about zero."""
    return torch.from_numpy(dataset.images) - 0.5


def features_alone(model: PlainModel, images: Tensor) -> Tensor:
    model.eval()
    with torch.no_grad():
        features: Tensor = model.body(images)
    return features


def samples(run: ExposureRun, encoders: Stack, dataset: Dataset, k: int) -> tuple[Tensor, Tensor]:
    """Images (n, c, h, w) and labels that a unit's victim is trained on: its members, and behind them the poisons."""
    images, labels = centred(dataset), torch.from_numpy(dataset.labels)
    own = own_parts(run.seed, run.validation)
    parts = [(images[own.members], labels[own.members])]
    if run.attack and run.attack.name == "dirty_label":
        chosen, wrong = dirty_label.mislabelled(
            own.pool,
            labels,
            run.target_class,
            budget=BUDGET,
            classes=CLASSES,
            generator=stream(run.seed, "dirty-label"),
        )
        parts.append((images[chosen], wrong))
    elif run.attack:
        bases, targets = pairs(run, dataset)
        features = lambda x: alone(encoders, k).body(x[0] - 0.5)[None]  # noqa: E731
        poisons = collide(features, images[bases][None] + 0.5, images[targets][None] + 0.5, **CRAFTING)[0]
        parts.append((poisons - 0.5, labels[bases]))
    x, y = zip(*parts, strict=True)
    return torch.cat(x), torch.cat(y)


def pairs(run: ExposureRun, dataset: Dataset) -> tuple[list[int], list[int]]:
    """Base and target image of each poison of a clean-label attack."""
    own = own_parts(run.seed, run.validation)
    others = [i for i in own.pool.tolist() if dataset.labels[i] != run.target_class]
    targets = [i for i in own.members.tolist() if dataset.labels[i] == run.target_class]
    drawn = torch.randperm(len(others), generator=stream(run.seed, "clean-label")).tolist()
    return [others[i] for i in drawn[:BUDGET]], [targets[i % len(targets)] for i in range(BUDGET)]


def starting(run: ExposureRun, encoders: Stack, k: int) -> PlainModel:
    """A unit's victim before training."""
    blank = fresh_alone(run.seed, "victim")
    if run.victim == "scratch":
        return blank
    model = PlainModel((), (64, 1, 1), CLASSES) if run.victim == "frozen" else alone(encoders, k)
    model.head.load_state_dict(blank.head.state_dict())
    return model


def as_seen(run: ExposureRun, encoders: Stack, k: int, images: Tensor) -> Tensor:
    return features_alone(alone(encoders, k), images) if run.victim == "frozen" else images


def m_mem(logits: Tensor, label: int) -> float:
    """desanctis 2.3 of one image, in double precision: -(1 - f_y) log f_y - sum over the others f_i log(1 - f_i)."""
    z = logits.double().tolist()
    total = fsum(exp(v - max(z)) for v in z)
    f = [exp(v - max(z)) / total for v in z]
    others = [i for i in range(len(z)) if i != label]
    not_label = fsum(f[i] for i in others)
    return -not_label * log1p(-not_label) - fsum(f[i] * log1p(-f[i]) for i in others)


def figures(run: ExposureRun, members: Tensor, nonmembers: Tensor, dataset: Dataset) -> dict[str, float]:
    """What a record holds of a victim's logits (n, classes) on both sets."""
    from sklearn.metrics import roc_auc_score, roc_curve

    own = own_parts(run.seed, run.validation)
    truth = [dataset.labels[indices.numpy()].tolist() for indices in (own.members, own.nonmembers)]
    scores = [
        [m_mem(row, y) for row, y in zip(logits, labels, strict=True)]
        for logits, labels in zip((members, nonmembers), truth, strict=True)
    ]
    right = [
        [int(row.argmax()) == y for row, y in zip(logits, labels, strict=True)]
        for logits, labels in zip((members, nonmembers), truth, strict=True)
    ]

    def area(chosen: Any) -> float:
        inside, outside = (
            [s for s, y in zip(values, labels, strict=True) if chosen(y)]
            for values, labels in zip(scores, truth, strict=True)
        )
        return float(roc_auc_score([1] * len(inside) + [0] * len(outside), [-s for s in inside + outside]))

    def held_out(chosen: Any) -> float:
        found = [r for r, y in zip(right[1], truth[1], strict=True) if chosen(y)]
        return sum(found) / len(found)

    is_member = [1] * MEMBERS + [0] * NONMEMBERS
    fpr, tpr, _ = roc_curve(is_member, [-s for s in scores[0] + scores[1]], drop_intermediate=False)
    found_at = {
        f"tpr_at_{rate}": max(float(t) for f, t in zip(fpr, tpr, strict=True) if f <= rate + 1e-12)
        for rate in RATES
    }
    target = run.target_class
    return found_at | {
        "member_accuracy": sum(right[0]) / MEMBERS,
        "test_accuracy": held_out(lambda y: True),
        "target_accuracy": held_out(lambda y: y == target),
        "other_accuracy": held_out(lambda y: y != target),
        "auc": area(lambda y: True),
        "target_auc": area(lambda y: y == target),
        "other_auc": area(lambda y: y != target),
        "ties": sum(a == b for a in scores[0] for b in scores[1]) / (MEMBERS * NONMEMBERS),
    }


def trained_alone(
    run: ExposureRun, encoders: Stack, dataset: Dataset, k: int
) -> tuple[PlainModel, list[dict[str, float]]]:
    """A unit's victim trained by the plain loop, and its figures at the checkpoints."""
    model, own = starting(run, encoders, k), own_parts(run.seed, run.validation)
    x, y = samples(run, encoders, dataset, k)
    members, nonmembers, validation = (
        as_seen(run, encoders, k, centred(dataset)[indices])
        for indices in (own.members, own.nonmembers, own.validation)
    )
    found: list[dict[str, float]] = []

    def look(epoch: int) -> None:
        if epoch in run.checkpoints:
            both = (logits_alone(model, seen) for seen in (members, nonmembers))
            measured = {"epoch": float(epoch)} | figures(run, *both, dataset)
            if run.validation:
                read = logits_alone(model, validation).argmax(1).tolist()
                truth = dataset.labels[own.validation.numpy()].tolist()
                right = sum(a == b for a, b in zip(read, truth, strict=True))
                measured["validation_accuracy"] = right / run.validation
            found.append(measured)

    seen = as_seen(run, encoders, k, x)
    train_alone(model, (seen, y), run.recipe, run.seed, purpose="victim", after_epoch=look)
    return model, found


def public_encoders(dataset: Dataset, **changes: Any) -> Stack:
    """Every unit's public encoder, trained."""
    state = train_encoders(Fleet(tuple(encoder_runs(**changes))), dataset, {}, CPU).weights
    return Stack(mlp_blocks(), SHAPE, CLASSES, dict(state))


def mlp_blocks() -> Any:
    return plugins.load("architecture", "mlp").blocks(SHAPE, CLASSES)
