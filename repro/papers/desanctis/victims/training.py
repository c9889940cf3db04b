"""Victims of attacks on one partition: who is a member, how a victim starts, and what it sees (desanctis 2.3, 2.4).

Every unit splits the data into members (the victim's training set), non-members (held out), the victim's validation
images, and a pool, which belongs to the attacker and on which the public encoder was trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from repro import plugins
from repro.data import Dataset, seeded_generator
from repro.errors import ReproError
from repro.harness.runs import Defence
from repro.papers.desanctis.victims.runs import EncoderRun, ExposureRun, Victim
from repro.seeds import stream
from repro.training.fleet import Regularisation, Split, pool_of
from repro.training.stack import Stack
from repro.training.train import logits_of


@dataclass(frozen=True)
class Parts:
    """Indices into the dataset, (K, ...) each, in random order."""

    members: Tensor
    nonmembers: Tensor
    validation: Tensor
    pool: Tensor


@dataclass(frozen=True)
class View:
    """What victims see: ``pool`` holds images, or encoders' features of them in their place.

    Images are identified by their index among all images; adding ``offsets`` (K, 1) gives the row of the pool.
    """

    pool: Tensor
    offsets: Tensor

    def split(self, indices: Tensor, labels: Tensor) -> Split:
        """Samples (K, n) as victims see them."""
        return Split(indices + self.offsets, labels)

    def logits(self, victims: Stack, indices: Tensor) -> Tensor:
        """Victims' logits (K, n, classes) of images."""
        return logits_of(victims, self.pool, indices + self.offsets)

    def reads(self, victims: Stack, indices: Tensor) -> Tensor:
        """Classes (K, n) that victims assign to images."""
        return self.logits(victims, indices).argmax(-1)

    @torch.no_grad()
    def features(self, victims: Stack, indices: Tensor) -> Tensor:
        """The victims' own features (K, n, D) of images."""
        return victims.hidden(self.pool[indices + self.offsets], training=False)


def images_and_labels(dataset: Dataset, device: torch.device) -> tuple[Tensor, Tensor]:
    """The dataset in the engine's layout: images (n, h, w, c), centred, and labels (n,)."""
    return pool_of(torch.from_numpy(dataset.images)).to(device), torch.from_numpy(dataset.labels).to(device)


def parts_of(
    runs: Sequence[EncoderRun] | Sequence[ExposureRun], dataset: Dataset, device: torch.device
) -> Parts:
    """Each run's split of the dataset, from its seed; raises ReproError if nothing is left for the pool."""
    members, nonmembers, validation = runs[0].members, runs[0].nonmembers, runs[0].validation
    if members + nonmembers + validation >= len(dataset.labels):
        own = f" with {validation} images to stop early by" if validation else ""
        raise ReproError(
            f"exposure: {members} members and {nonmembers} non-members{own} leave no pool of "
            f"{len(dataset.labels)} images"
        )
    orders = [seeded_generator(f"exposure/{run.seed}").permutation(len(dataset.labels)) for run in runs]
    order = torch.stack([torch.from_numpy(o) for o in orders]).to(device)
    sizes = [members, nonmembers, validation, order.shape[1] - members - nonmembers - validation]
    return Parts(*torch.split(order, sizes, dim=1))


def fresh(
    runs: Sequence[EncoderRun] | Sequence[ExposureRun], dataset: Dataset, purpose: str, device: torch.device
) -> Stack:
    """Models before training; those of one unit differ by ``purpose``, so that no two start alike."""
    piece = plugins.load("architecture", runs[0].architecture)
    shape, classes = dataset.images.shape[1:], len(dataset.classes)
    drawn = [int(torch.randint(2**62, (1,), generator=stream(run.seed, purpose))) for run in runs]
    return Stack.initialised(piece.blocks(shape, classes), shape, classes, drawn).to(device)


def begun(victim: Victim, blank: Stack, encoders: Stack, images: Tensor) -> tuple[Stack, View]:
    """Victims of a kind before training, made from new models and the encoders, and their view of the images."""
    head = {name: tensor for name, tensor in blank.state().items() if name.startswith("head.")}
    nothing = torch.zeros(blank.members, 1, dtype=torch.long, device=images.device)
    if victim == "scratch":
        return blank, View(images, nothing)
    if victim == "fine-tuned":
        return Stack(blank.blocks, blank.shape, blank.classes, encoders.state() | head), View(images, nothing)
    # Only a head, which sees its own encoder's features as images.
    features = _features_of_all(encoders, images)
    width = features.shape[-1]
    rows = torch.arange(blank.members, device=images.device)[:, None] * len(images)
    return Stack((), (width, 1, 1), blank.classes, head), View(features.reshape(-1, 1, 1, width), rows)


@torch.no_grad()
def _features_of_all(encoders: Stack, images: Tensor, batch: int = 512) -> Tensor:
    """Every encoder's features (K, n, D) of every image."""
    parts = [
        encoders.hidden(part.expand(encoders.members, *part.shape), training=False)
        for part in torch.split(images, batch)
    ]
    return torch.cat(parts, 1)


def regularisation(defences: Sequence[Defence]) -> Regularisation:
    """The defence that a fleet's runs share, with each run's own weight."""
    piece = plugins.load("defence", defences[0].name)
    weights = torch.tensor([defence.weight for defence in defences])
    return Regularisation(piece, weights, piece.OPTIONS | defences[0].options)


def joined(members: Split, poison: Split) -> Split:
    """The members' samples followed by the attack's poisons."""
    return Split(
        torch.cat([members.indices, poison.indices], 1), torch.cat([members.labels, poison.labels], 1)
    )
