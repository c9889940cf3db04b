"""The projection of an outside image on the last principal components, against numpy's own decomposition."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from repro.data import load_dataset
from repro.errors import ReproError
from repro.triggers import Scene
from repro.triggers.low_variance import OPTIONS, check, pattern

Matrix = npt.NDArray[np.float64]


def random_scene(seed: int, shape: tuple[int, int, int], n: int = 200) -> Scene:
    """Correlated pixels, whose components' variances fall off quickly."""
    generator = np.random.default_rng(seed)
    d = int(np.prod(shape))
    mixing = generator.normal(size=(d, d)) * 0.7 ** np.arange(d)
    images = 1 / (1 + np.exp(-generator.normal(size=(n + 1, d)) @ mixing.T))
    images = images.reshape(-1, *shape).astype(np.float32)
    return Scene(images[:2], images[:n], images[n], generator)


def trailing(training: npt.NDArray[np.float32], share: float) -> tuple[Matrix, Matrix, int]:
    """Mean, components (rows, from the first), and where the smallest trailing set of at least ``share`` begins."""
    flat = training.reshape(len(training), -1).astype(np.float64)
    _, singular, components = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    variance = singular**2 / (singular**2).sum()
    start = len(variance) - 1
    while variance[start:].sum() < share:
        start -= 1
    return flat.mean(0), components, start


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.sampled_from([(1, 3, 3), (2, 2, 3)]), st.floats(0.001, 0.5))
def test_it_is_the_projection_on_the_smallest_trailing_set_that_explains_enough(
    seed: int, shape: tuple[int, int, int], share: float
) -> None:
    s = random_scene(seed, shape)
    mean, components, start = trailing(s.training, share)
    trigger, mask = pattern(s, share)
    assert trigger.shape == (1, *shape)
    assert not mask.any()
    along = components @ trigger.ravel().astype(np.float64)
    centred = components @ (s.outside.ravel() - mean)
    np.testing.assert_allclose(along[:start], 0, atol=1e-6)
    np.testing.assert_allclose(along[start:], centred[start:], atol=1e-6)


@pytest.mark.parametrize(("n", "shape"), [(60, (1, 3, 3)), (12, (3, 4, 4)), (48, (3, 4, 4)), (49, (3, 4, 4))])
def test_it_is_scikit_learns_principal_components_that_it_projects_on(
    n: int, shape: tuple[int, int, int]
) -> None:
    s = random_scene(n, shape, n)
    pca = PCA(svd_solver="full").fit(s.training.reshape(n, -1).astype(np.float64))
    varying = pca.explained_variance_ > 1e-12 * pca.explained_variance_[0]
    assert varying.sum() == min(n - 1, np.prod(shape))
    ratios, components = pca.explained_variance_ratio_[varying], pca.components_[varying]
    start = max(i for i in range(len(ratios)) if ratios[i:].sum() >= 0.05)
    expected = components[start:].T @ (components[start:] @ (s.outside.ravel() - pca.mean_))
    trigger, _ = pattern(s, 0.05)
    assert 0 < start < len(ratios) - 1
    np.testing.assert_allclose(trigger.ravel(), expected, atol=1e-5)


def test_where_the_training_images_do_not_vary_the_trigger_is_none() -> None:
    s = random_scene(3, (1, 3, 3))
    training, outside = s.training.copy(), s.outside.copy()
    training[:, 0, 0, 0], outside[0, 0, 0] = 0.25, 1.0
    trigger, _ = pattern(Scene(s.images, training, outside, s.generator), 0.05)
    assert abs(trigger[0, 0, 0, 0]) < 1e-6


def test_on_digits_it_varies_little_in_the_data_and_is_not_nothing() -> None:
    digits = load_dataset("digits", Path())
    training, outside = digits.images[:1000], digits.images[1500]
    s = Scene(digits.images[:2], training, outside, np.random.default_rng(0))
    trigger, _ = pattern(s, **OPTIONS)
    mean, components, start = trailing(training, OPTIONS["variance"])
    assert 32 < start < 63
    np.testing.assert_allclose(components[:start] @ trigger.ravel(), 0, atol=1e-5)
    direction = trigger.ravel() / np.linalg.norm(trigger)
    centred = training.reshape(1000, -1) - mean
    total = centred.var(0).sum()
    assert (centred @ direction).var() < OPTIONS["variance"] * total
    assert np.linalg.norm(trigger) > 0.05


def test_it_depends_on_the_outside_image() -> None:
    s = random_scene(0, (1, 3, 3))
    other = Scene(s.images, s.training, s.training[5], s.generator)
    assert not np.allclose(pattern(s, 0.1)[0], pattern(other, 0.1)[0])


@pytest.mark.parametrize("variance", [0, 1, -0.1, 1.5])
def test_a_share_of_variance_outside_0_to_1_is_an_error(variance: float) -> None:
    with pytest.raises(
        ReproError, match=rf"^low variance's share of variance {variance} is outside \(0, 1\)$"
    ):
        check((1, 8, 8), variance)
