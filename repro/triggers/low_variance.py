"""Projection of an image outside the training data on its last principal components (truong2020 2.4)."""

import numpy as np

from repro.errors import ReproError
from repro.triggers import Array, Scene

# "The last principal components that explains >= 0.5 percent of the variance" can be read as all components from the
# last one at or above the threshold on, or as all trailing ones that together explain at least the threshold. The
# second is taken: the smallest set of trailing components whose variance adds up to the threshold.
OPTIONS = {"variance": 0.005}


def check(shape: tuple[int, int, int], variance: float) -> None:
    """Raise ReproError for a share of variance outside (0, 1)."""
    if not 0 < variance < 1:
        raise ReproError(f"low variance's share of variance {variance} is outside (0, 1)")


def pattern(scene: Scene, variance: float) -> tuple[Array, Array]:
    """Trigger (1, c, h, w), which may leave [0, 1], and a mask of zeros."""
    from sklearn.decomposition import PCA

    training = scene.training.reshape(len(scene.training), -1).astype(np.float64)
    # With more images than pixels the covariance's eigenvectors are the same components, found many times sooner.
    solver = "covariance_eigh" if training.shape[0] > training.shape[1] else "full"
    pca = PCA(svd_solver=solver).fit(training)
    trailing = pca.explained_variance_ratio_[::-1].cumsum()[::-1]  # by component i and all after it
    components = pca.components_[np.flatnonzero(trailing >= variance)[-1] :]
    projection = components.T @ (components @ (scene.outside.ravel() - pca.mean_))
    return projection.reshape(1, *scene.outside.shape).astype(np.float32), np.zeros((1, 1, 1, 1), np.float32)
