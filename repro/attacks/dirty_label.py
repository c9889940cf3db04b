"""Dirty-label amplification of membership exposure: desanctis section 2.5; Chen et al. 2022.

The attacker adds images *of the target class*, from a pool of its own, labelled as other classes. What the class has in
common then no longer decides the label, and the model memorises its members one by one. (The reverse, other classes'
images labelled as the target class, exposes those other classes instead.)
"""

import torch
from torch import Generator, Tensor

from repro.attacks import Poisons, Scene
from repro.errors import ReproError
from repro.seeds import stream

DRAWS_FROM = "the target class"


def poison(scene: Scene, budget: int) -> Poisons:
    """Each attacker's images of its target class, wrongly labelled."""
    labels = scene.labels.cpu()
    chosen = [
        mislabelled(
            pool.cpu(),
            labels,
            target_class,
            budget=budget,
            classes=scene.classes,
            generator=stream(seed, "dirty-label"),
        )
        for pool, target_class, seed in zip(scene.pools, scene.target_classes, scene.seeds, strict=True)
    ]
    indices, wrong = (torch.stack(column).to(scene.pools.device) for column in zip(*chosen, strict=True))
    return Poisons(wrong, indices=indices)


def mislabelled(
    pool_indices: Tensor,
    labels: Tensor,
    target_class: int,
    *,
    budget: int,
    classes: int,
    generator: Generator,
) -> tuple[Tensor, Tensor]:
    """Which images of the shared dataset to add to the training set, and their wrong labels.

    `pool_indices` int64 (P,) are the attacker's images, disjoint from the victim's members and non-members; `labels`
    int64 (N,) the true labels of the whole dataset. Draws `budget` distinct images of `target_class` from the pool, and
    for each a label uniformly among the `classes` - 1 others. Returns indices and new labels, both int64 (budget,).
    Raises ReproError when the pool holds fewer images of that class.
    """
    candidates = pool_indices[labels[pool_indices] == target_class]
    if not 0 <= budget <= len(candidates):
        raise ReproError(
            f"dirty_label: a budget of {budget} poisons, but the attacker's pool holds "
            f"{len(candidates)} images of class {target_class}"
        )
    indices = candidates[torch.randperm(len(candidates), generator=generator)[:budget]]
    shift = torch.randint(1, classes, (budget,), generator=generator)
    return indices, (target_class + shift) % classes
