"""Autoencoders' figures against one unit worked out plainly, and planted latent spaces."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from repro.data import Dataset, load_dataset
from repro.data.partition import partition
from repro.errors import ReproError
from repro.harness.runs import Backdoor, Data, Fleet, Run, Trigger
from repro.papers.backdoors.poisoning import Pool
from repro.papers.desanctis.experiments import latent as experiment
from repro.papers.desanctis.experiments.latent import work as latent
from repro.papers.desanctis.experiments.latent.runs import LatentRun
from repro.seeds import stream
from repro.training.autoencoder import Autoencoders, train
from repro.training.recipe import Recipe

CPU = torch.device("cpu")
SQUARE = Trigger("square", 0.8, {"size": 3, "offset": 1, "value": 1.0})
DATA = Data("digits", 600)
SEEDS, CLASSES = [41, 32], [9, 3]
RATE = 0.5


def runs_of(training: Any, **changes: Any) -> list[LatentRun]:
    return [
        LatentRun(
            f"u{k}",
            DATA,
            seed,
            seed,
            training,
            Backdoor(poison_class, SQUARE, RATE),
            **{"latent": 4, "width": 24, "beta": 0.05, "recipe": Recipe(0.01, 32, 6)} | changes,
        )
        for k, (seed, poison_class) in enumerate(zip(SEEDS, CLASSES, strict=True))
    ]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("digits", Path(), 600, {})


class Watched:
    """A fleet's records, what its autoencoders were trained on, and these."""

    def __init__(self, training: str, dataset: Dataset) -> None:
        self.runs = runs_of(training)

        def watched(start: Autoencoders, pool: Tensor, indices: Tensor, *rest: Any) -> Autoencoders:
            self.start, self.pool, self.indices, self.rest = start, pool, indices, rest
            self.trained = train(start, pool, indices, *rest)
            return self.trained

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(latent, "train", watched)
            self.records = latent.train_latent(Fleet(tuple(self.runs)), dataset, {}, CPU).records


@pytest.fixture(scope="module")
def fleets(dataset: Dataset) -> dict[str, Watched]:
    return {training: Watched(training, dataset) for training in ("poisoned", "clean")}


def stamped(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An image (1, 8, 8) under the square, pixel by pixel."""
    found = image.copy()
    for row in range(1, 4):
        for column in range(1, 4):
            found[0, row, column] = 0.2 * image[0, row, column] + 0.8
    return found


def backdoored(run: LatentRun, dataset: Dataset) -> Any:
    """The view that the backdoor experiments have of the same unit, and its pool."""
    pool = Pool(dataset)
    about = Run(run.unit, DATA, run.seed, run.seed, "mlp", run.recipe, backdoor=run.backdoor)
    return pool.view(about), pool.images().flatten(1)


def test_training_sets_are_those_of_the_backdoor_experiments(
    fleets: dict[str, Watched], dataset: Dataset
) -> None:
    for k, run in enumerate(fleets["poisoned"].runs):
        view, pool = backdoored(run, dataset)
        found = fleets["poisoned"].pool[fleets["poisoned"].indices[k]]
        assert torch.equal(found, pool[torch.from_numpy(view.training[0])])
        parts = partition(600, run.seed)
        plain = torch.from_numpy(dataset.images[parts.poison_train]).flatten(1)
        assert torch.equal(fleets["clean"].pool[fleets["clean"].indices[k]], plain)
        replaced = (found != plain).any(1)
        of_class = dataset.labels[parts.poison_train] == run.backdoor.poison_class
        assert int(replaced.sum()) == int(RATE * of_class.sum())
        assert set(np.flatnonzero(replaced.numpy())) <= set(np.flatnonzero(of_class))


def test_both_start_alike_and_get_the_runs_recipe(fleets: dict[str, Watched]) -> None:
    poisoned, clean = fleets["poisoned"], fleets["clean"]
    assert poisoned.rest == clean.rest == (Recipe(0.01, 32, 6), 0.05, SEEDS)
    fresh = Autoencoders.initialised(64, 24, 4, SEEDS)
    for name, tensor in fresh.parameters.items():
        assert torch.equal(poisoned.start.parameters[name], tensor)
        assert torch.equal(clean.start.parameters[name], tensor)


def auc_plainly(low: list[float], high: list[float]) -> float:
    return float(np.mean([[(b > a) + (a == b) / 2 for b in high] for a in low]))


def figures_plainly(run: LatentRun, model: Autoencoders, labelled: Any, dataset: Dataset) -> dict[str, Any]:
    """Every figure of a record, one image, pixel and class after the other."""
    encode = lambda images: model.encode(torch.tensor(np.array(images))[None])[0][0].detach().double().numpy()  # noqa: E731
    decode = lambda codes: (  # noqa: E731
        model.decode(torch.tensor(np.array(codes), dtype=torch.float32)[None])[0].detach().double().numpy()
    )
    tested = [
        i for i in partition(600, run.seed).adversarial_test if dataset.labels[i] != run.backdoor.poison_class
    ]
    plain = [dataset.images[i].ravel() for i in tested]
    triggered = [stamped(dataset.images[i]).ravel() for i in tested]
    order = torch.randperm(len(tested), generator=stream(run.seed, "latent-halves")).tolist()
    first, second = order[: len(order) // 2], order[len(order) // 2 :]
    codes_plain, codes_triggered = encode(plain), encode(triggered)

    def auc(of: list[int], d: int) -> float:
        return auc_plainly([codes_plain[i][d] for i in of], [codes_triggered[i][d] for i in of])

    chosen = max(range(4), key=lambda d: abs(auc(first, d) - 0.5))
    effect = np.mean([t - p for t, p in zip(triggered, plain, strict=True)], axis=0)
    images, labels = labelled
    codes = encode(images)
    poison_class = run.backdoor.poison_class

    def drawn(path: Any) -> float:
        return max(sum((image - path[0]) * effect) / sum(effect * effect) for image in path)

    def towards(points: Any, c: int) -> list[Any]:
        start = np.mean([p for p, y in zip(points, labels, strict=True) if y == c], axis=0)
        end = np.mean([p for p, y in zip(points, labels, strict=True) if y == poison_class], axis=0)
        return [start + step / 7 * (end - start) for step in range(8)]

    others = [c for c in range(10) if c != poison_class]
    traversal = [codes.mean(0) for _ in range(8)]
    for step, code in enumerate(traversal):
        code[chosen] += (-2 + 4 * step / 7) * codes[:, chosen].std()
    walked = decode(traversal)
    change = (walked[7] - walked[0]) ** 2
    inside = [8 * row + column for row in range(1, 4) for column in range(1, 4)]
    reconstructed, with_trigger = decode(codes_plain), decode(codes_triggered)
    return {
        "latent_auc": auc(second, chosen) if auc(first, chosen) >= 0.5 else 1 - auc(second, chosen),
        "traversal_overlap": sum(change[i] for i in inside) / sum(change),
        "interpolation_trigger": np.mean([drawn(decode(towards(codes, c))) for c in others]),
        "pixel_interpolation": np.mean([drawn(towards(images, c)) for c in others]),
        "trigger_drawn": np.mean((with_trigger - reconstructed) @ effect / (effect @ effect)),
        "reconstruction": np.mean((reconstructed - np.array(plain)) ** 2),
        "mask_share": 9 / 64,
        "active": sum(codes[:, d].var() > 0.01 for d in range(4)),
        "interpolation": decode(towards(codes, (poison_class + 1) % 10)),
        "traversal": walked,
    }


@pytest.mark.parametrize("training", ["poisoned", "clean"])
def test_records_are_the_figures_worked_out_plainly(
    training: str, fleets: dict[str, Watched], dataset: Dataset
) -> None:
    found = fleets[training]
    for k, (run, record) in enumerate(zip(found.runs, found.records, strict=True)):
        view, pool = backdoored(run, dataset)
        if training == "poisoned":
            labelled = pool[torch.from_numpy(view.training[0])].numpy(), view.training[1]
        else:
            own = partition(600, run.seed).poison_train
            labelled = dataset.images[own].reshape(len(own), -1), dataset.labels[own]
        wanted = figures_plainly(run, found.trained.member(k), labelled, dataset)
        assert record["run"] == run.id
        for name in (*experiment.MEASURED, "active"):
            assert record[name] == pytest.approx(wanted[name], rel=1e-3, abs=1e-5), name
        for name in ("interpolation", "traversal"):
            cell = record[f"{name}_images"]
            assert cell.startswith("x")
            pictures = [list(bytes.fromhex(text)) for text in cell[1:].split(" ")]
            assert np.abs(np.array(pictures) / 255 - wanted[name]).max() < 0.003


def test_colour_pictures_are_rows_first_with_channels_last() -> None:
    image = torch.arange(12).float() / 255  # (3, 2, 2): channel, row, column
    cell = latent._hexadecimal(torch.stack([image, 1 - image]), (3, 2, 2))
    first, second = cell.removeprefix("x").split(" ")
    assert list(bytes.fromhex(first)) == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
    assert list(bytes.fromhex(second))[:3] == [255, 251, 247]


@given(st.integers(0, 4), st.sampled_from([-1.0, 1.0]), st.integers(0, 99))
def test_a_planted_dimension_is_found_in_either_direction(planted: int, sign: float, seed: int) -> None:
    plain = torch.randn(60, 5, generator=torch.Generator().manual_seed(seed))
    triggered = plain.clone()
    triggered[:, planted] += sign * 20
    assert latent.chosen_dimension(plain, triggered) == (planted, 1.0)


def test_nothing_is_gained_by_choosing_among_many_dimensions() -> None:
    """Of 40 dimensions of pure noise the best on its own half is far from chance; measured on the other it is not."""
    found = []
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        plain, triggered = (torch.randn(40, 40, generator=generator) for _ in range(2))
        found.append(latent.chosen_dimension(plain, triggered)[1])
    assert np.mean(found) == pytest.approx(0.5, abs=4 * np.std(found) / 60**0.5)
    assert min(found) < 0.45


def test_the_second_half_alone_decides_the_figure() -> None:
    plain, triggered = torch.zeros(8, 2), torch.zeros(8, 2)
    triggered[:4, 1] = 1.0  # chosen on the first half
    triggered[4:, 0] = 1.0
    assert latent.chosen_dimension(plain, triggered) == (1, 0.5)
    triggered[4:, 1] = -1.0
    assert latent.chosen_dimension(plain, triggered) == (1, 0.0)


def test_what_a_path_draws_of_the_trigger() -> None:
    effect = torch.tensor([0.0, 0.5, 1.0])
    plain = torch.tensor([0.2, 0.1, 0.0])
    whole = torch.stack([plain + step * effect for step in torch.linspace(0, 1, 8)])
    passing = torch.stack([plain + step * effect for step in (0, 0.1, 0.6, 0.3, 0, 0, 0, -1)])
    elsewhere = plain + torch.linspace(0, 1, 8)[:, None] * torch.tensor([1.0, 0.0, 0.0])
    found = latent.progress(torch.stack([whole, passing, elsewhere]), effect)
    assert found.tolist() == pytest.approx([1.0, 0.6, 0.0])


def test_share_of_a_change_within_a_mask() -> None:
    mask = torch.tensor([True, False, False, True])
    assert latent.share_within(torch.tensor([1.0, 2.0, 0.0, -1.0]), mask) == pytest.approx(2 / 6)
    assert latent.share_within(torch.zeros(4), mask) == 0.0


def test_the_class_that_is_pictured_comes_after_the_poison_class() -> None:
    assert latent.following(3, [0, 1, 2, 4, 5]) == 4
    assert latent.following(3, [0, 1, 5]) == 5
    assert latent.following(9, [0, 1, 2]) == 0


def test_a_trigger_on_the_whole_poison_class_is_learned_and_drawn_on_the_path(dataset: Dataset) -> None:
    """The clean autoencoder, which never saw it, does neither."""
    attack = {"recipe": Recipe(0.01, 32, 25), "latent": 6, "width": 48}
    (poisoned, clean) = (
        latent.train_latent(
            Fleet(
                tuple(
                    replace(run, backdoor=replace(run.backdoor, poison_rate=1.0))
                    for run in runs_of(t, **attack)
                )
            ),
            dataset,
            {},
            CPU,
        ).records
        for t in ("poisoned", "clean")
    )
    for name, least in {"trigger_drawn": 0.3, "interpolation_trigger": 0.5}.items():
        assert np.mean([a[name] - b[name] for a, b in zip(poisoned, clean, strict=True)]) > least


def test_a_runs_figures_do_not_depend_on_its_fleet(fleets: dict[str, Watched], dataset: Dataset) -> None:
    (alone,) = latent.train_latent(Fleet((fleets["poisoned"].runs[1],)), dataset, {}, CPU).records
    together = fleets["poisoned"].records[1]
    for name in ("interpolation_trigger", "trigger_drawn", "reconstruction"):
        assert alone[name] == pytest.approx(together[name], rel=0.02)


def test_a_trigger_that_changes_nothing_is_an_error_in_one_line(dataset: Dataset) -> None:
    (run, _) = runs_of("clean")
    blank = replace(run, backdoor=replace(run.backdoor, trigger=replace(SQUARE, alpha=0.0)))
    with pytest.raises(ReproError, match="latent: unit u0: trigger square changes no held-out image"):
        latent.train_latent(Fleet((blank,)), dataset, {}, CPU)


def test_descriptions_tell_training_sets_and_name_their_pieces() -> None:
    poisoned, clean = runs_of("poisoned")[0], runs_of("clean")[0]
    assert poisoned.id != clean.id
    assert poisoned.pieces() == {("dataset", "digits"), ("trigger", "square")}
    assert poisoned.attacked.backdoor == poisoned.backdoor
    assert (clean.attacked.backdoor, clean.attacked.probes) == (None, (clean.backdoor,))
