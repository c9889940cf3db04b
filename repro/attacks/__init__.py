"""What the adversary does to the training set: one file per attack, found by its name.

An attack that adds poisons to a training set defines

- ``DRAWS_FROM``: which images of the attacker's pool it uses up, ``"the target class"`` or ``"other classes"``, so that
  a budget which a pool cannot afford is refused before anything is trained;
- ``poison(scene, budget, **options)``: the `Poisons` of stacked attackers, ``budget`` each.

Any experiment that adds poisons can then use it. An attack that replaces images (``backdoor.py``) says which positions
instead. Attacks are pure functions of what they are given, and poisoning copies no dataset.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Scene:
    """What K attackers have, one per model: everything but the victims' training itself.

    ``labels`` int64 (N,) are the true labels of the whole dataset, ``classes`` how many there are. ``pools`` int64
    (K, P) and ``members`` int64 (K, M) index it: each attacker's own images, and its victim's training set.
    ``target_classes`` and ``seeds`` have one entry per attacker; all that is random comes from its seed.
    ``images(indices)`` gives images (..., h, w, c) in [0, 1]; ``features(images)`` their representation (K, n, D) by
    the public encoder.
    """

    labels: Tensor
    classes: int
    pools: Tensor
    members: Tensor
    target_classes: Sequence[int]
    seeds: Sequence[int]
    images: Callable[[Tensor], Tensor]
    features: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Poisons:
    """What joins each training set: labels int64 (K, budget), of images of the dataset or of new ones.

    Either ``indices`` int64 (K, budget) into the dataset, or ``images`` float (K, budget, h, w, c) in [0, 1].
    """

    labels: Tensor
    indices: Tensor | None = None
    images: Tensor | None = None
