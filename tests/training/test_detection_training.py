"""Detection of a mixed fleet against each model worked out plainly: who sees which images, and every figure."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from repro.data import Dataset, load_dataset
from repro.data.partition import partition
from repro.detection.class_margin import Corrected, corrected
from repro.detection.reconstruct import Search, Triggers
from repro.errors import ReproError
from repro.harness.outcome import Outcome
from repro.harness.runs import Backdoor, Data, Fleet, Run, Trigger
from repro.papers.backdoors.work import train_fleet
from repro.papers.desanctis.experiments.detection import work as detection
from repro.papers.desanctis.experiments.detection.runs import DetectionRun
from repro.training.fleet import Split
from repro.training.recipe import Recipe
from repro.training.stack import Stack

CPU = torch.device("cpu")
SQUARE = Trigger("square", 0.9, {"size": 3, "offset": 1, "value": 1.0})
UNLEARNING = Recipe(0.01, 32, 2)
SEEDS, CLASSES, POISONED = (21, 22, 23), (4, 7, 0), (0, 2)
PRUNED, FILTERED, RATE, STEPS = 6, 4, 0.1, 60


def trained_run(k: int) -> Run:
    attack = Backdoor(CLASSES[k], SQUARE, 0.5)
    about = (f"u{k}", Data("digits", 600), SEEDS[k], SEEDS[k], "mlp", Recipe(0.01, 32, 6))
    return Run(*about, backdoor=attack) if k in POISONED else Run(*about, probes=(attack,))


def detection_run(k: int, **changes: Any) -> DetectionRun:
    return replace(
        DetectionRun(trained_run(k), STEPS, 16, PRUNED, UNLEARNING, FILTERED, RATE),
        **changes,
    )


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("digits", Path(), 600, {})


@pytest.fixture(scope="module")
def trained(dataset: Dataset) -> Outcome:
    return train_fleet(Fleet(tuple(map(trained_run, range(3)))), dataset, {}, CPU)


@dataclass
class Detected:
    """Records, and what reconstruction, the tests and unlearning were given and gave."""

    records: list[dict[str, Any]]
    clean: Split
    seeds: list[int]
    search: Search
    triggers: Triggers
    tests: Corrected
    unlearned: list[tuple[tuple[Any, ...], dict[str, Any], Stack]]


@pytest.fixture(scope="module")
def detected(dataset: Dataset, trained: Outcome) -> Detected:
    seen: dict[str, Any] = {"unlearned": []}
    searching, testing, unlearning = detection.reconstruct, corrected, detection.unlearn

    def search(stack: Stack, pool: Tensor, clean: Split, seeds: Any, how: Search) -> Triggers:
        seen.update(clean=clean, seeds=list(seeds), search=how)
        seen["triggers"] = searching(stack, pool, clean, seeds, how)
        return seen["triggers"]

    def test(*given: Any) -> Corrected:
        found = testing(*given)
        # Were the classes that both tests name, and the poison class, one, whose trigger is used would not show.
        raw = replace(found.raw, classes=torch.where(torch.arange(3) == 2, 5, found.raw.classes))
        other = replace(found.corrected, classes=(raw.classes + 1) % 10)
        seen["tests"] = replace(found, raw=raw, corrected=other)
        return seen["tests"]

    def unlearn(*given: Any, **more: Any) -> Stack:
        stack = unlearning(*given, **more)
        seen["unlearned"].append((given, more, stack))
        return stack

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detection, "reconstruct", search)
        patch.setattr(detection, "corrected", test)
        patch.setattr(detection, "unlearn", unlearn)
        fleet = Fleet(tuple(map(detection_run, range(3))))
        records = detection.retrain_detected(fleet, dataset, trained.weights, CPU).records
    return Detected(records, **seen)


def centred(images: np.ndarray) -> Tensor:
    """Images (n, c, h, w) in [0, 1] as a stack of one takes them."""
    return torch.from_numpy(images).permute(0, 2, 3, 1)[None] - 0.5


def adversarial(dataset: Dataset, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 1, 8, 8) that are not of the poison class, and the same under the square."""
    tested = partition(600, SEEDS[k]).adversarial_test
    images = dataset.images[tested[dataset.labels[tested] != CLASSES[k]]]
    stamped = images.copy()
    stamped[:, :, 1:4, 1:4] = 0.1 * images[:, :, 1:4, 1:4] + 0.9
    return images, stamped


def alone(stack: Stack, k: int, state: Any = None) -> Stack:
    """One model, with its own weights or those of another ``state``."""
    own = {n: t[k : k + 1] for n, t in (state or stack.state()).items()}
    return Stack(stack.blocks, stack.shape, 10, own)


@torch.no_grad()
def rate(model: Stack, images: np.ndarray, wanted: Any) -> float:
    read = model.logits(model.hidden(centred(images), training=False)).argmax(-1)[0].numpy()
    return float((read == wanted).mean())


def part(dataset: Dataset, k: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of a part of the model's partition."""
    own = getattr(partition(600, SEEDS[k]), name)
    return dataset.images[own], dataset.labels[own]


def test_the_defender_searches_the_clean_training_split_of_every_model(
    dataset: Dataset, detected: Detected
) -> None:
    for k, seed in enumerate(SEEDS):
        own = partition(600, seed).clean_train
        assert np.array_equal(detected.clean.indices[k].numpy(), own)
        assert np.array_equal(detected.clean.labels[k].numpy(), dataset.labels[own])
    assert detected.seeds == list(SEEDS)
    assert detected.search == Search(STEPS, 16)


def test_a_record_says_what_was_found_for_every_class(detected: Detected) -> None:
    triggers, tests = detected.triggers, detected.tests
    for k, record in enumerate(detected.records):
        assert record["run"] == detection_run(k).id
        for name, decision in (("raw", tests.raw), ("corrected", tests.corrected)):
            assert record[name] == {
                "score": float(decision.scores[k]),
                "backdoored": bool(decision.backdoored[k]),
                "class": int(decision.classes[k]),
            }
        norms = [float(mask.sum()) for mask in triggers.masks[k]]
        assert record["sizes"] == pytest.approx(norms)
        assert record["successes"] == triggers.success[k].tolist()
        assert record["margins"] == tests.margins[k].tolist()
        assert record["nearest"] == tests.nearest[k].tolist()
        assert record["aligned"] == tests.aligned[k].tolist()
        assert k == 2 or min(range(10), key=norms.__getitem__) == record["raw"]["class"]


def test_pictures_and_overlap_are_of_the_poison_classs_trigger(dataset: Dataset, detected: Detected) -> None:
    for k, record in enumerate(detected.records):
        mask, pattern = (
            t[k, CLASSES[k]].numpy() for t in (detected.triggers.masks, detected.triggers.patterns)
        )
        wanted = (adversarial(dataset, k)[1][0, 0], mask, pattern[:, :, 0])
        for cell, image in zip(record["pictures"], wanted, strict=True):
            assert cell[0] == "x"
            values = np.frombuffer(bytes.fromhex(cell[1:]), np.uint8).reshape(8, 8)
            assert np.abs(values / 255.0 - image).max() <= 0.51 / 255
        square = np.zeros((8, 8), bool)
        square[1:4, 1:4] = True
        both, either = (square & (mask > 0.5)).sum(), (square | (mask > 0.5)).sum()
        assert record["mask_overlap"] == (both / either if k in POISONED else None)
    assert any(record["mask_overlap"] for record in detected.records)


def test_an_overlap_is_that_of_masks_above_one_half() -> None:
    mask = torch.tensor([[0.5, 0.51, 1.0], [0.0, 0.0, 0.9]])
    changed = torch.tensor([[True, True, True], [False, True, False]])
    assert detection.overlap(mask, changed) == 2 / 5
    assert detection.overlap(torch.zeros(2, 2), torch.zeros(2, 2, dtype=torch.bool)) == 0.0


def test_clean_models_are_not_mitigated(detected: Detected) -> None:
    names = [name for name in detected.records[0] if "asr" in name or "filter" in name or "accuracy" in name]
    assert len(names) == 10
    assert not [name for name in names if name in detected.records[1]]


def test_unlearning_stamps_the_named_classs_trigger_and_its_control_none(
    dataset: Dataset, trained: Outcome, detected: Detected
) -> None:
    stamps, control = detected.unlearned
    for (given, more, after), share, name in (
        (stamps, None, "unlearned"),
        (control, 0.0, "retrained"),
    ):
        before, _, clean, masks, patterns, recipe, seeds = given
        assert (recipe, seeds, more.get("share")) == (UNLEARNING, [SEEDS[k] for k in POISONED], share)
        for place, k in enumerate(POISONED):
            named = detected.records[k]["raw"]["class"]
            assert torch.equal(masks[place], detected.triggers.masks[k, named])
            assert torch.equal(patterns[place], detected.triggers.patterns[k, named])
            assert torch.equal(clean.indices[place], detected.clean.indices[k])
            for name_of, tensor in trained.weights.items():
                assert torch.equal(before.state()[name_of][place], tensor[k])
            images, labels = part(dataset, k, "clean_validation")
            model, record = alone(after, place), detected.records[k]
            assert record[f"asr_{name}"] == pytest.approx(rate(model, adversarial(dataset, k)[1], CLASSES[k]))
            assert record[f"accuracy_{name}"] == pytest.approx(rate(model, images, labels))
    moved = [detected.records[k]["asr_unlearned"] != detected.records[k]["asr_retrained"] for k in POISONED]
    assert any(moved)


def activations(
    dataset: Dataset, trained: Outcome, detected: Detected, k: int, label: int
) -> tuple[Stack, list[int]]:
    """The model, and its hidden units by how much the trigger of a class raises them, most first."""
    model, images = alone(detected.unlearned[0][2], k, trained.weights), part(dataset, k, "clean_train")[0]
    mask, pattern = (t[k, label].numpy() for t in (detected.triggers.masks, detected.triggers.patterns))
    stamped = (1 - mask) * images + mask * pattern[:, :, 0]
    with torch.no_grad():
        rise = [
            model.hidden(centred(i.astype(np.float32)), training=False)[0].mean(0) for i in (stamped, images)
        ]
    return model, (rise[0] - rise[1]).argsort(descending=True).tolist()


def pruned(model: Stack, units: list[int]) -> Stack:
    state = {name: tensor.clone() for name, tensor in model.state().items()}
    state["head.weight"][0, units] = 0
    return Stack(model.blocks, model.shape, 10, state)


def test_pruning_by_the_named_class_and_by_the_true_one(
    dataset: Dataset, trained: Outcome, detected: Detected
) -> None:
    for k in POISONED:
        record, (images, labels) = detected.records[k], part(dataset, k, "clean_validation")
        triggered = adversarial(dataset, k)[1]
        model, units = activations(dataset, trained, detected, k, record["raw"]["class"])
        named = pruned(model, units[:PRUNED])
        assert record["asr_pruned"] == pytest.approx(rate(named, triggered, CLASSES[k]))
        assert record["accuracy_pruned"] == pytest.approx(rate(named, images, labels))
        model, units = activations(dataset, trained, detected, k, CLASSES[k])
        true = pruned(model, units[:PRUNED])
        assert record["asr_pruned_true"] == pytest.approx(rate(true, triggered, CLASSES[k]))
        # The untouched model is the one that phase `train` measured.
        (measured,) = trained.records[k]["attacks"]
        assert measured["asr"] == pytest.approx(rate(model, triggered, CLASSES[k]))
        assert trained.records[k]["clean_accuracy"] == pytest.approx(rate(model, images, labels))


@torch.no_grad()
def test_the_filter_flags_what_exceeds_the_defenders_images(
    dataset: Dataset, trained: Outcome, detected: Detected
) -> None:
    for k in POISONED:
        record = detected.records[k]
        for label, columns in (
            (record["raw"]["class"], ("filter_found_rate", "filter_false_rate")),
            (CLASSES[k], ("filter_found_true_rate",)),
        ):
            model, units = activations(dataset, trained, detected, k, label)

            def active(images: np.ndarray) -> np.ndarray:
                hidden = model.hidden(centred(images.astype(np.float32)), training=False)[0]  # noqa: B023
                return hidden[:, units[:FILTERED]].mean(1).numpy()  # noqa: B023

            own = np.sort(active(part(dataset, k, "clean_train")[0]))[::-1]
            threshold = own[int(RATE * len(own))]
            groups = (adversarial(dataset, k)[1], part(dataset, k, "clean_validation")[0])
            for column, images in zip(columns, groups, strict=False):
                assert record[column] == pytest.approx((active(images) > threshold).mean())


def test_a_model_is_found_alone_as_in_its_fleet(
    dataset: Dataset, trained: Outcome, detected: Detected
) -> None:
    for k in (1, 2):
        own = {name: tensor[k : k + 1] for name, tensor in trained.weights.items()}
        (record,) = detection.retrain_detected(Fleet((detection_run(k),)), dataset, own, CPU).records
        assert record.keys() == detected.records[k].keys()
        assert record["sizes"] == pytest.approx(detected.records[k]["sizes"], rel=0.02)


@pytest.mark.parametrize("field", ["pruned_units", "filter_units"])
def test_more_units_than_there_are(dataset: Dataset, trained: Outcome, field: str) -> None:
    fleet = Fleet(tuple(detection_run(k, **{field: 65}) for k in range(3)))
    with pytest.raises(ReproError, match=f"^detection: {field}: 65, but mlp has 64 hidden units$"):
        detection.retrain_detected(fleet, dataset, trained.weights, CPU)


def test_a_defender_without_a_class(dataset: Dataset, trained: Outcome) -> None:
    own = partition(600, SEEDS[1]).clean_train
    labels = dataset.labels.copy()
    labels[own[labels[own] == 3]] = 4
    fleet = Fleet(tuple(map(detection_run, range(3))))
    with pytest.raises(ReproError, match=r"^detection: unit u1: the clean-set has no"):
        detection.retrain_detected(fleet, replace(dataset, labels=labels), trained.weights, CPU)
