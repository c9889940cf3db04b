"""What a run trains on and is measured on, on real digits: which images carry the trigger, and whose they were."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.data import Dataset, load_dataset
from repro.data.partition import Partition, partition
from repro.harness.runs import Backdoor, Data, Run, Trigger
from repro.papers.backdoors.poisoning import Pool, View, splits
from repro.training.recipe import Recipe

SQUARE = Trigger("square", 1.0, {"size": 3, "offset": 1, "value": 1.0})
RANDOM_SQUARE = Trigger("random_square", 1.0, {"size": 3, "value": 1.0})
SINE = Trigger("sine", 0.5, {"amplitude": 0.4, "cycles": 2.0})
LOW_VARIANCE = Trigger("low_variance", 0.5, {"variance": 0.005})
TRIGGERS = [SQUARE, RANDOM_SQUARE, SINE, LOW_VARIANCE]

Array = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits", Path())


def run_with(backdoor: Backdoor | None, seed: int = 1, probes: tuple[Backdoor, ...] = ()) -> Run:
    recipe = Recipe(0.01, 32, 3)
    return Run("u000", Data("digits"), seed, seed, "mlp", recipe, backdoor=backdoor, probes=probes)


def view_of(digits: Dataset, run: Run) -> tuple[View, Array, Partition]:
    pool = Pool(digits)
    view = pool.view(run)
    return view, pool.images().numpy(), partition(len(digits), run.partition_seed)


backdoors = st.one_of(
    st.builds(Backdoor, st.integers(0, 9), st.just(SQUARE), st.sampled_from([0.05, 0.1, 0.37, 0.8])),
    st.builds(
        lambda poison, rate, shift: Backdoor(poison, SQUARE, rate, (poison + shift) % 10),
        st.integers(0, 9),
        st.sampled_from([0.05, 0.1, 0.37]),
        st.integers(1, 9),
    ),
)


@settings(deadline=None, max_examples=25)
@given(backdoors, st.integers(0, 10**6))
def test_both_splits_of_the_poison_set_are_poisoned_as_the_paper_says(attack: Backdoor, seed: int) -> None:
    digits = load_dataset("digits", Path())
    view, images, parts = view_of(digits, run_with(attack, seed))
    for name in ("training", "validation"):
        original = getattr(parts, f"poison_{'train' if name == 'training' else name}")
        before = digits.labels[original]
        indices, labels = getattr(view, name)
        stamped = indices >= len(digits)
        # Exactly floor(lambda N_t), in the place and under the label of poison-class images.
        expected = round(attack.poison_rate * 100) * int((before == attack.poison_class).sum()) // 100
        assert stamped.sum() == expected
        assert (before[stamped] == attack.poison_class).all()
        # Class counts are unchanged, and so is everything that is not poisoned, the copied originals included.
        np.testing.assert_array_equal(labels, before)
        np.testing.assert_array_equal(indices[~stamped], original[~stamped])
        others = before != attack.poison_class
        np.testing.assert_array_equal(indices[others], original[others])
        # A stamped image is some source-class image of the same split, but for the white square.
        poison = images[indices[stamped]]
        assert (poison[:, :, 1:4, 1:4] == 1).all()
        sources = original[
            others if attack.source_class is None else digits.labels[original] == attack.source_class
        ]
        covered = digits.images[sources].copy()
        covered[:, :, 1:4, 1:4] = 1
        # No image is copied twice: what is found is found as often as it is there.
        assert Counter(i.tobytes() for i in poison) <= Counter(i.tobytes() for i in covered)


@settings(deadline=None, max_examples=25)
@given(backdoors, st.integers(0, 10**6))
def test_every_adversarial_test_image_is_triggered_and_none_is_of_the_poison_class(
    attack: Backdoor, seed: int
) -> None:
    digits = load_dataset("digits", Path())
    view, images, parts = view_of(digits, run_with(attack, seed))
    (success,) = view.successes
    tested = parts.adversarial_test[digits.labels[parts.adversarial_test] != attack.poison_class]
    np.testing.assert_array_equal(success.classes, digits.labels[tested])
    assert attack.poison_class not in success.classes
    assert (success.indices >= len(digits)).all()
    assert success.backdoor is attack
    expected = digits.images[tested].copy()
    expected[:, :, 1:4, 1:4] = 1
    np.testing.assert_array_equal(images[success.indices], expected)


@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda t: t.name)
def test_the_clean_set_is_never_poisoned_and_the_dataset_never_touched(
    digits: Dataset, trigger: Trigger
) -> None:
    before = digits.images.copy(), digits.labels.copy()
    view, images, parts = view_of(digits, run_with(Backdoor(3, trigger, 0.5)))
    for name in ("clean_train", "clean_validation"):
        indices, labels = getattr(view, "clean_training" if name == "clean_train" else name)
        np.testing.assert_array_equal(indices, getattr(parts, name))
        np.testing.assert_array_equal(labels, digits.labels[indices])
    np.testing.assert_array_equal(images[: len(digits)], before[0])
    np.testing.assert_array_equal(digits.images, before[0])
    np.testing.assert_array_equal(digits.labels, before[1])


@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda t: t.name)
def test_all_stamped_images_differ_from_their_originals_and_stay_images(
    digits: Dataset, trigger: Trigger
) -> None:
    view, images, parts = view_of(digits, run_with(Backdoor(3, trigger, 0.5)))
    tested = parts.adversarial_test[digits.labels[parts.adversarial_test] != 3]
    stamped = images[view.successes[0].indices]
    assert ((stamped - digits.images[tested]) != 0).any(axis=(1, 2, 3)).mean() > 0.9
    assert stamped.min() >= 0
    assert stamped.max() <= 1
    assert stamped.dtype == np.float32


def test_a_clean_runs_probes_do_not_poison_its_training(digits: Dataset) -> None:
    probes = tuple(Backdoor(3, trigger, 0.5) for trigger in TRIGGERS)
    view, _, parts = view_of(digits, run_with(None, probes=probes))
    for indices, labels, original in (
        (*view.training, parts.poison_train),
        (*view.validation, parts.poison_validation),
    ):
        np.testing.assert_array_equal(indices, original)
        np.testing.assert_array_equal(labels, digits.labels[original])
    assert [success.backdoor for success in view.successes] == list(probes)
    assert not view_of(digits, run_with(None))[0].successes


@pytest.mark.parametrize("rate", [0.1, 0.8])
@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda t: t.name)
def test_the_clean_model_is_measured_on_the_very_images_the_poisoned_one_is(
    digits: Dataset, trigger: Trigger, rate: float
) -> None:
    """ASR's floor is the clean model's rate on the same triggered images, whatever else the run stamps."""
    attack = Backdoor(3, trigger, rate)
    poisoned, images, _ = view_of(digits, run_with(attack))
    other = Backdoor(3, SINE, 0.1)
    clean, probed, _ = view_of(digits, run_with(None, probes=(other, attack)))
    np.testing.assert_array_equal(images[poisoned.successes[0].indices], probed[clean.successes[1].indices])


@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda t: t.name)
def test_equal_seeds_give_equal_poison_and_different_seeds_different(
    digits: Dataset, trigger: Trigger
) -> None:
    run = run_with(Backdoor(3, trigger, 0.5))
    (one, its_images, _), (again, same_images, _) = view_of(digits, run), view_of(digits, run)
    np.testing.assert_array_equal(its_images, same_images)
    np.testing.assert_array_equal(one.training[0], again.training[0])
    other, other_images, _ = view_of(digits, replace(run, seed=2))
    assert not np.array_equal(one.training[0], other.training[0])
    assert not np.array_equal(one.validation[0], other.validation[0])
    assert not np.array_equal(its_images[one.training[0]].sum(0), other_images[other.training[0]].sum(0))


def test_runs_that_share_a_pool_each_find_their_own_images(digits: Dataset) -> None:
    runs = [run_with(Backdoor(k, TRIGGERS[k], 0.5), seed=k) for k in range(4)]
    pool = Pool(digits)
    views = [pool.view(run) for run in runs]
    images = pool.images().numpy()
    assert len(images) == pool.size
    for run, view in zip(runs, views, strict=True):
        single, single_images, _ = view_of(digits, run)
        np.testing.assert_array_equal(images[view.training[0]], single_images[single.training[0]])
        np.testing.assert_array_equal(
            images[view.successes[0].indices], single_images[single.successes[0].indices]
        )


def test_views_are_stacked_in_order(digits: Dataset) -> None:
    pool = Pool(digits)
    views = [pool.view(run_with(Backdoor(k, SQUARE, 0.5), seed=k)) for k in range(3)]
    for name in ("training", "validation", "clean_training", "clean_validation"):
        stacked = splits(views, name)
        for k, view in enumerate(views):
            indices, labels = getattr(view, name)
            assert torch.equal(stacked.indices[k], torch.from_numpy(indices))
            assert torch.equal(stacked.labels[k], torch.from_numpy(labels))
