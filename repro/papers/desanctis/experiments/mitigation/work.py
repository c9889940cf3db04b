"""Defend fleets of backdoored models in five ways, each from light to heavy, and measure them (desanctis 1).

- *Pruning* (Liu et al. 2018): the units of the last hidden layer that clean training images activate least.
- *Regularisation*: trained from scratch with weight decay.
- *Early stopping*: the undefended training, cut short.
- *Clean retraining*: continued on the clean-set's training part, without poison.
- *Unlearning*: the same, in the same order, but a fifth of these images carry one *seen* trigger each, under their true
  labels. The defender is thus assumed to have recovered triggers of the family; the held-out ones stay unknown.

Measured are the accuracy on clean validation images, the only figure that a defender's choice uses; the accuracy on the
adversarial-test images without a trigger, which no choice uses; and the success of fresh seen triggers and of held-out
ones.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from repro import plugins
from repro.data import Dataset
from repro.data.partition import partition
from repro.detection.mitigation import STAMPED_SHARE
from repro.errors import ReproError
from repro.families import SEEN, UNSEEN
from repro.harness.outcome import Outcome
from repro.harness.runs import Fleet, engine_of
from repro.papers.desanctis.experiments.families.work import FamilyPool, Indices, View
from repro.papers.desanctis.experiments.mitigation.runs import MitigationRun
from repro.seeds import stream
from repro.training.fleet import Observer, Regularisation, Split, pool_of
from repro.training.recipe import Recipe
from repro.training.stack import Stack
from repro.training.train import logits_of, train

Figures = dict[str, float]
State = dict[str, Tensor]

_BATCH = 128


def train_mitigated(
    fleet: Fleet, dataset: Dataset, weights: Mapping[str, Tensor], device: torch.device
) -> Outcome:
    """One record per run: ``undefended`` figures, and by defence the figures at each setting of its line.

    Every model is trained from scratch; ``weights`` are ignored. The outcome's weights are those of the undefended
    models. Raises ReproError for an architecture that the stacked engine does not train, or with fewer hidden units
    than are pruned.
    """
    runs: Sequence[MitigationRun] = fleet.runs
    first = runs[0]
    if engine_of(first.architecture) != "stacked":
        raise ReproError(
            f"mitigation: architecture {first.architecture}: only the stacked engine's can be defended"
        )
    pool = DefendersPool(dataset, first.enlarge, first.ink)
    views = [pool.view(run) for run in runs]
    clean, stamped = (_stacked(samples, device) for samples in zip(*map(pool.defenders, runs), strict=True))
    images = pool_of(pool.images()).to(device)
    exam = _Exam(runs, views, pool.labels, images)
    blocks = plugins.load("architecture", first.architecture).blocks(pool.shape, pool.classes)
    seeds = [run.seed for run in runs]

    def trained(defence: str, weight: float, observe: Observer | None = None) -> tuple[Stack, list[int]]:
        fresh = Stack.initialised(blocks, pool.shape, pool.classes, seeds).to(device)
        own, stopping = (_stacked([getattr(v, s) for v in views], device) for s in ("training", "validation"))
        return train(
            fresh,
            images,
            own,
            stopping,
            first.recipe,
            seeds,
            _weighed(defence, weight, len(runs)),
            observe=observe,
        )

    def retrained(samples: Split) -> list[Stack]:
        kept = Checkpoints(first.epochs_retrained)
        recipe = Recipe(first.recipe.learning_rate, first.recipe.batch_size, max(first.epochs_retrained))
        nothing = _weighed("none", 0.0, len(runs))
        end, _ = train(undefended, images, samples, None, recipe, seeds, nothing, "retraining", kept)
        return kept.stacks(end)

    stops = Checkpoints(first.epochs_stopped)
    undefended, epochs = trained("none", 0.0, stops)
    lines: dict[str, list[list[Figures]]] = {
        "pruning": [exam.of(stack) for stack in pruned(undefended, images[clean.indices], first.pruned)],
        "regularisation": [exam.of(trained("weight_decay", weight)[0]) for weight in first.weights],
        "early_stopping": [exam.of(stack) for stack in stops.stacks(undefended)],
        "clean_retraining": [exam.of(stack) for stack in retrained(clean)],
        "unlearning": [exam.of(stack) for stack in retrained(stamped)],
    }
    plain = exam.of(undefended)
    records = [
        {
            "run": run.id,
            "epochs": epochs[k],
            "undefended": plain[k],
            "lines": {defence: [at[k] for at in line] for defence, line in lines.items()},
        }
        for k, run in enumerate(runs)
    ]
    return Outcome(records, {name: tensor.cpu().contiguous() for name, tensor in undefended.state().items()})


class DefendersPool(FamilyPool):
    """The pool of a fleet under families of triggers, with its defenders' training images."""

    def defenders(self, run: MitigationRun) -> tuple[tuple[Indices, Indices], tuple[Indices, Indices]]:
        """A run's clean training images with labels, and the same with a fifth of them stamped but truly labelled.

        The stamped images are added to the pool, each with its own seen trigger.
        """
        if run.family is None:
            raise ValueError("a clean model needs no defence")
        clean = partition(len(self.labels), run.seed).clean_train
        labels = self.labels[clean]
        order = torch.randperm(len(clean), generator=stream(run.seed, "unlearning-stamped")).numpy()
        chosen = order[: round(STAMPED_SHARE * len(clean))]
        stamped = clean.copy()
        stamped[chosen] = self._stamped(run.family, SEEN, "unlearning", run.seed, clean[chosen])
        return (clean, labels), (stamped, labels)


class Checkpoints:
    """An observer that keeps every model's weights after each of some epochs."""

    def __init__(self, epochs: Iterable[int]) -> None:
        self.epochs = tuple(epochs)
        self.kept: dict[int, tuple[Tensor, State]] = {}

    def __call__(self, epoch: int, members: Tensor, stack: Stack) -> None:
        """Look at the models still in training after an epoch."""
        if epoch in self.epochs:
            state = {n: t.clone() for n, t in stack.state().items() if not n.startswith("defence.")}
            self.kept[epoch] = members.clone(), state

    def stacks(self, end: Stack) -> list[Stack]:
        """The models after each epoch, in the order asked for; a model that stopped earlier has its ``end``."""
        found = []
        for epoch in self.epochs:
            state = {name: tensor.clone() for name, tensor in end.state().items()}
            if epoch in self.kept:
                members, own = self.kept[epoch]
                for name, tensor in own.items():
                    state[name][members] = tensor
            found.append(Stack(end.blocks, end.shape, end.classes, state))
        return found


@torch.no_grad()
def pruned(stack: Stack, images: Tensor, counts: Sequence[int]) -> list[Stack]:
    """Copies without the outgoing weights of each model's ``counts`` last hidden units, least active first.

    Activity is the mean over a model's ``images`` (K, n, h, w, c); in a tie, the first unit counts as less active.
    Raises ReproError for more units than there are.
    """
    parts = [stack.hidden(part, training=False).sum(1) for part in torch.split(images, _BATCH, dim=1)]
    order = torch.stack(parts).sum(0).sort(dim=1, stable=True).indices
    if max(counts) > order.shape[1]:
        raise ReproError(
            f"mitigation: pruned: {max(counts)} units, but the last hidden layer has {order.shape[1]}"
        )
    found = []
    for count in counts:
        state = stack.state()
        head = state["head.weight"].clone()
        head.scatter_(1, order[:, :count].unsqueeze(2).expand(-1, -1, head.shape[2]), 0)
        found.append(Stack(stack.blocks, stack.shape, stack.classes, state | {"head.weight": head}))
    return found


class _Exam:
    """What every model of a fleet is measured on: all of it as one row of indices per model."""

    def __init__(
        self, runs: Sequence[MitigationRun], views: Sequence[View], labels: Indices, images: Tensor
    ) -> None:
        self.runs, self.images = runs, images
        self.parts = [_examined(run, view, labels) for run, view in zip(runs, views, strict=True)]
        joined = [np.concatenate([indices for indices, _ in part.values()]) for part in self.parts]
        width = max(map(len, joined))
        # Rows differ in length, as poison-class images are left out; padding repeats an image.
        padded = np.stack([np.pad(row, (0, width - len(row)), constant_values=row[0]) for row in joined])
        self.indices = torch.from_numpy(padded).to(images.device)

    def of(self, stack: Stack) -> list[Figures]:
        """Each model's figures."""
        read = logits_of(stack, self.images, self.indices, _BATCH).argmax(-1).cpu().numpy()
        return [self._figures(k, read[k]) for k in range(len(self.runs))]

    def _figures(self, member: int, read: Indices) -> Figures:
        found, start = {}, 0
        for name, (indices, wanted) in self.parts[member].items():
            found[name] = float((read[start : start + len(indices)] == wanted).mean())
            start += len(indices)
        return found


def _examined(run: MitigationRun, view: View, labels: Indices) -> dict[str, tuple[Indices, Indices]]:
    """By figure, a run's images and the classes it counts as hits: true labels, or the poison class."""
    if run.family is None:
        raise ValueError("a clean model has no trigger to be measured on")
    tested = partition(len(labels), run.seed).adversarial_test
    triggered = {kind: view.triggered[run.family.name, kind] for kind in (SEEN, UNSEEN)}
    return {
        "validation_accuracy": view.clean_validation,
        "clean_accuracy": (tested, labels[tested]),
    } | {f"asr_{kind}": (own, np.full(len(own), run.poison_class)) for kind, own in triggered.items()}


def _weighed(defence: str, weight: float, members: int) -> Regularisation:
    return Regularisation(plugins.load("defence", defence), torch.full((members,), weight), {})


def _stacked(samples: Sequence[tuple[Indices, Indices]], device: torch.device) -> Split:
    """Several runs' samples as one split (K, n)."""
    indices, labels = (torch.from_numpy(np.stack(arrays)).to(device) for arrays in zip(*samples, strict=True))
    return Split(indices, labels)
