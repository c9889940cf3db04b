"""Look for a backdoor in trained models and, where there is one, mitigate it (desanctis 2.2, 3).

The defender has the clean-set's training part, as in truong2020's retraining, and does not know the poison class. The
trigger used for mitigation is that of the class that Neural Cleanse *names*, the one with the smallest mask by its
index, whether or not the index is above its threshold. For comparison, pruning and the filter are also run with the
trigger of the poison class.

Unlearning has a control: the same images in the same order, without the stamps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repro import plugins
from repro.data import Dataset
from repro.data.partition import partition
from repro.detection.class_margin import Corrected, class_means, corrected
from repro.detection.mitigation import proactive_filter, prune, unlearn
from repro.detection.outliers import Decision
from repro.detection.reconstruct import Search, Triggers, reconstruct, stamp
from repro.errors import ReproError
from repro.harness.outcome import Outcome
from repro.harness.runs import Fleet
from repro.papers.backdoors.poisoning import Pool, View, splits
from repro.papers.desanctis.experiments.detection.runs import DetectionRun
from repro.training.fleet import CENTRE, Split, pool_of
from repro.training.stack import Stack
from repro.training.train import predict

_RELATED = 512  # how many of the defender's images have their activations compared


def retrain_detected(
    fleet: Fleet, dataset: Dataset, weights: Mapping[str, Tensor], device: torch.device
) -> Outcome:
    """Search every model for triggers, apply both tests to them, and mitigate the poisoned models.

    ``weights``: the trained models'. Raises ReproError where the defender lacks images of a class, or where more hidden
    units are asked for than there are.
    """
    runs: Sequence[DetectionRun] = fleet.runs
    first = runs[0]
    classes = len(dataset.classes)
    shape = dataset.images.shape[1:]
    blocks = plugins.load("architecture", first.architecture).blocks(shape, classes)
    stack = Stack(blocks, shape, classes, dict(weights)).to(device)
    _check_units(first, stack)

    gathered = Pool(dataset)
    views = [gathered.view(run.trained) for run in runs]
    pool = pool_of(torch.from_numpy(np.concatenate(gathered.parts))).to(device)
    clean = _on(splits(views, "clean_training"), device)
    for run, labels in zip(runs, clean.labels, strict=True):
        if len(labels.unique()) < classes:
            raise ReproError(
                f"detection: unit {run.trained.unit}: the clean-set has no training image of one of the classes"
            )
    seeds = [run.trained.seed for run in runs]
    triggers = reconstruct(stack, pool, clean, seeds, Search(first.steps, first.batch_size))
    tests = corrected(triggers, class_means(pool, clean, classes))

    records = _found(runs, dataset, pool, views, triggers, tests)
    poisoned = [k for k, run in enumerate(runs) if run.backdoor]
    if poisoned:
        among = torch.tensor(poisoned, device=device)
        part = Stack(blocks, shape, classes, {name: t[among] for name, t in stack.state().items()})
        measured = _Mitigation(
            [runs[k] for k in poisoned],
            part,
            pool,
            clean.of(among),
            _on(splits([views[k] for k in poisoned], "clean_validation"), device),
            _Triggered.of([views[k] for k in poisoned], device),
        ).figures(triggers.masks[among], triggers.patterns[among], tests.raw.classes[among])
        for place, k in enumerate(poisoned):
            records[k] |= {name: values[place] for name, values in measured.items()}
    return Outcome(records)


def _check_units(run: DetectionRun, stack: Stack) -> None:
    hidden = stack.state()["head.weight"].shape[1]
    for field, units in (("pruned_units", run.pruned_units), ("filter_units", run.filter_units)):
        if units > hidden:
            raise ReproError(f"detection: {field}: {units}, but {run.architecture} has {hidden} hidden units")


def _on(split: Split, device: torch.device) -> Split:
    return Split(split.indices.to(device), split.labels.to(device))


def _found(
    runs: Sequence[DetectionRun],
    dataset: Dataset,
    pool: Tensor,
    views: Sequence[View],
    triggers: Triggers,
    tests: Corrected,
) -> list[dict[str, Any]]:
    """One record per model: both decisions, findings for every class, and pictures of the poison class's trigger."""
    raw, better = _verdicts(tests.raw), _verdicts(tests.corrected)
    by_class = {
        "sizes": triggers.norms.tolist(),
        "successes": triggers.success.tolist(),
        "margins": tests.margins.tolist(),
        "nearest": tests.nearest.tolist(),
        "aligned": tests.aligned.tolist(),
    }
    records = []
    for k, (run, view) in enumerate(zip(runs, views, strict=True)):
        target, (indices, originals) = run.attack.poison_class, _adversarial(run, dataset, view)
        changed = (pool[indices] != pool[originals]).any(3).any(0)
        mask, pattern = triggers.masks[k, target], triggers.patterns[k, target]
        pictures = (pool[indices[0]] + CENTRE, mask.unsqueeze(2), pattern)
        records.append(
            {
                "run": run.id,
                "raw": raw[k],
                "corrected": better[k],
                "mask_overlap": overlap(mask, changed) if run.backdoor else None,
                "pictures": [_hexadecimal(picture) for picture in pictures],
            }
            | {name: values[k] for name, values in by_class.items()}
        )
    return records


def _verdicts(decision: Decision) -> list[dict[str, Any]]:
    columns = (decision.scores.tolist(), decision.backdoored.tolist(), decision.classes.tolist())
    return [
        {"score": score, "backdoored": backdoored, "class": named}
        for score, backdoored, named in zip(*columns, strict=True)
    ]


def _adversarial(run: DetectionRun, dataset: Dataset, view: View) -> tuple[Tensor, Tensor]:
    """Rows of the pool: the adversarial-test images under the unit's trigger, and the same images without it."""
    tested = partition(len(dataset.labels), run.trained.partition_seed).adversarial_test
    originals = tested[dataset.labels[tested] != run.attack.poison_class]
    return torch.from_numpy(view.successes[0].indices), torch.from_numpy(originals)


def overlap(mask: Tensor, changed: Tensor) -> float:
    """Overlap of the pixels that a recovered mask (h, w) covers by more than half and those ``changed`` (h, w)."""
    covered = mask > 0.5
    either = int((covered | changed).sum())
    return int((covered & changed).sum()) / either if either else 0.0


def _hexadecimal(image: Tensor) -> str:
    """An image (h, w, c) in [0, 1] at 8 bits per value, two hexadecimal digits each, row by row, after an ``x``."""
    values: list[int] = (image.clamp(0, 1) * 255).round().flatten().int().tolist()
    return "x" + bytes(values).hex()


@dataclass(frozen=True)
class _Triggered:
    """Every model's adversarial-test images under its own trigger.

    indices (K, n) into the pool and targets (K, 1); ``counted`` (K, n) marks each row's own images; the others repeat
    its first image, as rows differ in length by the number of poison-class images left out.
    """

    indices: Tensor
    counted: Tensor
    targets: Tensor

    @classmethod
    def of(cls, views: Sequence[View], device: torch.device) -> "_Triggered":
        attacks = [view.successes[0] for view in views]
        width = max(len(a.indices) for a in attacks)
        rows = [np.pad(a.indices, (0, width - len(a.indices)), constant_values=a.indices[0]) for a in attacks]
        counted = [np.arange(width) < len(a.indices) for a in attacks]
        targets = torch.tensor([[a.backdoor.poison_class] for a in attacks])
        stacked = (torch.from_numpy(np.stack(part)) for part in (rows, counted))
        return cls(*(part.to(device) for part in (*stacked, targets)))

    def share(self, flags: Tensor) -> list[float]:
        """The share of each model's own images that ``flags``, bool (K, n), marks."""
        shares: list[float] = ((flags & self.counted).sum(1).double() / self.counted.sum(1)).tolist()
        return shares


@dataclass(frozen=True)
class _Mitigation:
    """Poisoned models, the defender's images, and what is measured on: held-out clean and triggered images."""

    runs: Sequence[DetectionRun]
    stack: Stack
    pool: Tensor
    clean: Split
    held_out: Split
    triggered: _Triggered

    def figures(self, masks: Tensor, patterns: Tensor, named: Tensor) -> dict[str, list[float]]:
        """Each mitigation's figures by model, given the triggers of every class and the classes ``named`` (K,)."""
        members = torch.arange(len(self.runs), device=named.device)
        true = self.triggered.targets.squeeze(1)
        theirs, own = ((masks[members, c], patterns[members, c]) for c in (named, true))
        return {
            **self._rates("pruned", self._pruned(*theirs)),
            **self._rates("unlearned", self._retrained(*theirs)),
            **self._rates("retrained", self._retrained(*theirs, share=0.0)),
            **self._filtered(*theirs),
            "asr_pruned_true": self._asr(self._pruned(*own)),
            "filter_found_true_rate": self._filtered(*own)["filter_found_rate"],
        }

    def _pruned(self, masks: Tensor, patterns: Tensor) -> Stack:
        images = self._related()
        return prune(self.stack, images, stamp(images, masks, patterns), self.runs[0].pruned_units)

    def _retrained(self, masks: Tensor, patterns: Tensor, **share: float) -> Stack:
        seeds = [run.trained.seed for run in self.runs]
        return unlearn(
            self.stack, self.pool, self.clean, masks, patterns, self.runs[0].recipe, seeds, **share
        )

    def _filtered(self, masks: Tensor, patterns: Tensor) -> dict[str, list[float]]:
        """The shares of triggered and of held-out clean images that the filter flags."""
        first, images = self.runs[0], self._related()
        stamped = stamp(images, masks, patterns)
        chosen = proactive_filter(self.stack, images, stamped, first.filter_units, first.filter_rate)
        found = chosen.flags(self.stack, self.pool[self.triggered.indices])
        false = chosen.flags(self.stack, self.pool[self.held_out.indices])
        return {
            "filter_found_rate": self.triggered.share(found),
            "filter_false_rate": false.double().mean(1).tolist(),
        }

    def _related(self) -> Tensor:
        return self.pool[self.clean.indices[:, :_RELATED]]

    def _rates(self, name: str, stack: Stack) -> dict[str, list[float]]:
        right = predict(stack, self.pool, self.held_out.indices) == self.held_out.labels
        return {f"asr_{name}": self._asr(stack), f"accuracy_{name}": right.double().mean(1).tolist()}

    def _asr(self, stack: Stack) -> list[float]:
        hits = predict(stack, self.pool, self.triggered.indices) == self.triggered.targets
        return self.triggered.share(hits)
