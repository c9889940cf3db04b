"""Train autoencoders on poisoned and on clean training sets, and look for the backdoor in a latent dimension.

desanctis 3: a variational autoencoder gives an interpolation of classes in the latent space, "potentially learning the
backdoor feature as a dimension". It is trained on a unit's training set as poisoned in the backdoor experiments,
without being told which images are poisoned. It is measured on held-out images with and without the trigger, none of
which is of the poison class. A code is the mean of an image's posterior. An autoencoder of the clean training set gives
the floor of every figure: even a trigger that it never saw moves its codes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from repro.data import Dataset
from repro.data.partition import partition
from repro.errors import ReproError
from repro.harness.outcome import Outcome
from repro.harness.runs import Fleet
from repro.metrics.membership import auc
from repro.papers.backdoors.poisoning import Pool, View, splits
from repro.papers.desanctis.experiments.latent.runs import LatentRun
from repro.seeds import stream
from repro.training.autoencoder import Autoencoders, train

PICTURES = 8  # images on a path, including its ends
REACH = 2.0  # distance of a traversal's ends from the mean code, in standard deviations
ACTIVE = 0.01  # minimum variance of the codes for a dimension to count as used (Burda et al. 2016)


@dataclass(frozen=True)
class Pairs:
    """Held-out images without and with the trigger, (n, pixels) in [0, 1] each."""

    plain: Tensor
    triggered: Tensor

    @property
    def effect(self) -> Tensor:
        """What the trigger changes on average, (pixels,)."""
        return (self.triggered - self.plain).mean(0)

    @property
    def mask(self) -> Tensor:
        """The pixels that the trigger changes in any image, bool (pixels,)."""
        return (self.triggered != self.plain).any(0)


def train_latent(
    fleet: Fleet, dataset: Dataset, weights: Mapping[str, Tensor], device: torch.device
) -> Outcome:
    """One record per run. The fleet's runs share sizes, beta and recipe.

    Raises ReproError where a trigger changes no held-out image, or fewer than two images are left to measure on.
    """
    runs: Sequence[LatentRun] = fleet.runs
    first = runs[0]
    pool = Pool(dataset)
    views = [pool.view(run.attacked) for run in runs]
    images = pool.images().flatten(1).to(device)
    seeds = [run.seed for run in runs]
    start = Autoencoders.initialised(images.shape[1], first.width, first.latent, seeds).to(device)
    indices = splits(views, "training").indices.to(device)
    trained = train(start, images, indices, first.recipe, first.beta, seeds)
    return Outcome(
        [
            _record(run, view, trained.member(k), images, dataset)
            for k, (run, view) in enumerate(zip(runs, views, strict=True))
        ]
    )


@torch.no_grad()
def _record(
    run: LatentRun, view: View, model: Autoencoders, images: Tensor, dataset: Dataset
) -> dict[str, Any]:
    pairs = _pairs(run, view, images, dataset)
    training, labels = (torch.from_numpy(array).to(images.device) for array in view.training)
    codes = codes_of(model, images[training])
    plain, triggered = codes_of(model, pairs.plain), codes_of(model, pairs.triggered)
    order = torch.randperm(len(plain), generator=stream(run.seed, "latent-halves")).to(images.device)
    dimension, separation = chosen_dimension(plain[order], triggered[order])

    poison_class = run.backdoor.poison_class
    paths = {c: decoded(model, codes) for c, codes in paths_to(poison_class, codes, labels).items()}
    pixels = paths_to(poison_class, images[training], labels)
    traversal = decoded(model, traversal_codes(codes, dimension))
    reconstructed = decoded(model, plain)
    pictured = paths[following(poison_class, list(paths))]
    shape = dataset.images.shape[1:]
    return {
        "run": run.id,
        "latent_auc": separation,
        "traversal_overlap": share_within(traversal[-1] - traversal[0], pairs.mask),
        "interpolation_trigger": _mean_progress(paths, pairs.effect),
        "pixel_interpolation": _mean_progress(pixels, pairs.effect),
        "trigger_drawn": float(shown(decoded(model, triggered) - reconstructed, pairs.effect).mean()),
        "reconstruction": float((reconstructed - pairs.plain).square().mean()),
        "mask_share": float(pairs.mask.double().mean()),
        "active": int((codes.var(0, correction=0) > ACTIVE).sum()),
        "interpolation_images": _hexadecimal(pictured, shape),
        "traversal_images": _hexadecimal(traversal, shape),
    }


def _pairs(run: LatentRun, view: View, images: Tensor, dataset: Dataset) -> Pairs:
    (success,) = view.successes
    tested = partition(len(dataset.labels), run.partition_seed).adversarial_test
    plain = tested[dataset.labels[tested] != run.backdoor.poison_class]
    if len(plain) < 2:
        raise ReproError(f"latent: unit {run.unit}: {len(plain)} held-out images cannot be halved")
    pairs = Pairs(*(images[torch.from_numpy(i).to(images.device)] for i in (plain, success.indices)))
    if not bool(pairs.effect.any()):
        raise ReproError(
            f"latent: unit {run.unit}: trigger {run.backdoor.trigger.name} changes no held-out image"
        )
    return pairs


def codes_of(model: Autoencoders, images: Tensor) -> Tensor:
    """Codes (n, L) of images (n, pixels) in [0, 1], by a single autoencoder."""
    return model.encode(images[None])[0][0]


def decoded(model: Autoencoders, codes: Tensor) -> Tensor:
    """Images (n, pixels) of codes (n, L), by a single autoencoder."""
    return model.decode(codes[None])[0]


def chosen_dimension(plain: Tensor, triggered: Tensor) -> tuple[int, float]:
    """The dimension that tells triggered images from plain ones best, and how well: an AUC.

    ``plain`` and ``triggered`` (n, L) are codes of the same images in the same random order. The dimension and its
    direction are chosen on the first half of the images and measured on the second, where an AUC below 0.5 is possible:
    the choice does not bias the figure upwards.
    """
    half = len(plain) // 2

    def above(part: slice) -> Tensor:
        return auc(plain[part].T, triggered[part].T)

    found = above(slice(half))
    dimension = int((found - 0.5).abs().argmax())
    measured = float(above(slice(half, None))[dimension])
    return dimension, measured if found[dimension] >= 0.5 else 1 - measured


def paths_to(poison_class: int, points: Tensor, labels: Tensor) -> dict[int, Tensor]:
    """By class, PICTURES evenly spaced points on the line from that class's mean to the poison class's.

    ``points`` (n, D), codes or images, with the labels (n,) that training gives them. Classes without points are left
    out.
    """
    means = {c: points[labels == c].mean(0) for c in sorted(set(labels.tolist()))}
    steps = torch.linspace(0, 1, PICTURES, device=points.device)[:, None]
    aim = means.pop(poison_class)
    return {c: torch.lerp(mean, aim, steps) for c, mean in means.items()}


def following(poison_class: int, classes: Sequence[int]) -> int:
    """The source class whose path is pictured: the next of ``classes`` above the poison class, else the lowest."""
    return min(classes, key=lambda c: (c < poison_class, c))


def traversal_codes(codes: Tensor, dimension: int) -> Tensor:
    """Codes (PICTURES, L): the mean of ``codes`` (n, L) with one dimension moved by -REACH to REACH deviations."""
    moved = codes.mean(0).repeat(PICTURES, 1)
    steps = torch.linspace(-REACH, REACH, PICTURES, device=codes.device)
    moved[:, dimension] += steps * codes[:, dimension].std(correction=0)
    return moved


def shown(change: Tensor, effect: Tensor) -> Tensor:
    """How much of the trigger a change of images (..., pixels) draws: 0 for none, 1 for its mean effect (pixels,).

    <change, effect> / <effect, effect>.
    """
    return change @ effect / (effect @ effect)


def progress(images: Tensor, effect: Tensor) -> Tensor:
    """The most of the trigger that images on a path (..., PICTURES, pixels) draw relative to its start, (...)."""
    return shown(images - images[..., :1, :], effect).amax(-1)


def _mean_progress(paths: Mapping[int, Tensor], effect: Tensor) -> float:
    return float(progress(torch.stack(list(paths.values())), effect).mean())


def share_within(change: Tensor, mask: Tensor) -> float:
    """Share of the squared change (pixels,) that falls into a mask, bool (pixels,); 0 where nothing changes."""
    squared = change.square()
    return float(squared[mask].sum() / squared.sum().clamp_min(torch.finfo(squared.dtype).tiny))


def _hexadecimal(images: Tensor, shape: Sequence[int]) -> str:
    """Images (n, pixels) of ``shape`` (c, h, w), in [0, 1]: an ``x``, then each at 8 bits per value, joined by spaces.

    Two hexadecimal digits per value, ordered (row, column, channel).
    """
    rows_first = images.view(len(images), *shape).permute(0, 2, 3, 1)
    values: Tensor = (rows_first.clamp(0, 1) * 255).round().to(torch.uint8).flatten(1).cpu()
    return "x" + " ".join(bytes(image.tolist()).hex() for image in values)
