"""Projection of an image outside the training data on its last principal components (truong2020 2.4)."""

import numpy as np
from numpy.typing import NDArray

from repro.errors import ReproError
from repro.triggers import Array, Scene

Matrix = NDArray[np.float64]

# "The last principal components that explains >= 0.5 percent of the variance" can be read as all components from the
# last one at or above the threshold on, or as all trailing ones that together explain at least the threshold. The
# second is taken: the smallest set of trailing components whose variance adds up to the threshold. Directions in which
# the training data do not vary at all are not components: with no more images than pixels there are many, all
# arbitrary.
OPTIONS = {"variance": 0.005}


def check(shape: tuple[int, int, int], variance: float) -> None:
    """Raise ReproError for a share of variance outside (0, 1)."""
    if not 0 < variance < 1:
        raise ReproError(f"low variance's share of variance {variance} is outside (0, 1)")


def pattern(scene: Scene, variance: float) -> tuple[Array, Array]:
    """Trigger (1, c, h, w), which may leave [0, 1], and a mask of zeros."""
    training = scene.training.reshape(len(scene.training), -1).astype(np.float64)
    mean = training.mean(0)
    training -= mean
    outside = scene.outside.ravel() - mean
    project = _of_many if training.shape[0] > training.shape[1] else _of_few
    trigger = project(training, outside, variance).reshape(1, *scene.outside.shape)
    return trigger.astype(np.float32), np.zeros((1, 1, 1, 1), np.float32)


def _of_many(centred: Matrix, outside: Matrix, variance: float) -> Matrix:
    """The projection by the eigenvectors of the pixels' covariance, for more images than pixels."""
    variances, components = np.linalg.eigh(centred.T @ centred)
    kept = components[:, _trailing(variances, max(centred.shape), variance)]
    return np.asarray(kept @ (kept.T @ outside))


def _of_few(centred: Matrix, outside: Matrix, variance: float) -> Matrix:
    """Otherwise, by the eigenvectors of the images' inner products: the same projection without the components."""
    variances, vectors = np.linalg.eigh(centred @ centred.T)
    chosen = _trailing(variances, max(centred.shape), variance)
    vectors, variances = vectors[:, chosen], variances[chosen]
    return np.asarray(centred.T @ (vectors @ ((vectors.T @ (centred @ outside)) / variances)))


def _trailing(variances: Matrix, size: int, share: float) -> slice:
    """Which ascending variances to take: from the first above rounding on, until they add up to the share of all."""
    least = variances[-1] * size * np.finfo(np.float64).eps
    first = int(np.searchsorted(variances, least, side="right"))
    explained = variances[first:].cumsum() / variances[first:].sum()
    return slice(first, first + int(np.searchsorted(explained, share)) + 1)
