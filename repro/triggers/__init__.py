"""Trigger patterns (truong2020 2.4): one file per pattern; blending, eq. 7, in one place.

A piece defines ``OPTIONS`` (its hyper-parameters and their defaults), ``check(shape, **options)``, which raises
ReproError for what does not fit an image of ``shape`` (channels, height, width), and ``pattern(scene, **options)``,
which returns the trigger t and the mask m, broadcastable to the images; as in the paper, m is 1 where the trigger
leaves a pixel unchanged.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """What a trigger may depend on.

    ``images`` (n, c, h, w) in [0, 1] to be stamped; ``training`` (m, c, h, w), the data to be poisoned; ``outside`` (c,
    h, w), an image that is not among these; ``generator`` for random choices.
    """

    images: Array
    training: Array
    outside: Array
    generator: np.random.Generator


def blend(images: Array, trigger: Array, mask: Array, alpha: float) -> Array:
    """Poisoned images p = ((1 - alpha) x + alpha t) (1 - m) + x m  (truong2020 eq. 7), clipped to [0, 1].

    Images (n, c, h, w) in [0, 1]; alpha in [0, 1]. The paper does not mention clipping; sine and low variance leave the
    range of pixels, and a stored image cannot. Pixels under the mask and images at alpha = 0 stay unchanged.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha {alpha} outside [0, 1]")
    stamped = np.clip((1 - alpha) * images + alpha * trigger, 0, 1)
    return np.where(mask == 1, images, stamped).astype(np.float32)
