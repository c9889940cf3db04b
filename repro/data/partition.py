"""The dataset partition of truong2020, section 3 and Figure 3: 76/19/5, the first two split 80/20 again.

The *poison-set* (76 %) is the public data an adversary has tampered with, the *clean-set* (19 %) is what the developer
retrains on, and *adversarial-test* (5 %) measures the attack's success. The paper notes that the clean-set is "1/5th
the size of the poison-set"; by its own percentages it is 19/76 = 1/4, and 1/5 of the two together. The percentages are
implemented.
"""

from dataclasses import dataclass, fields

from repro.data import Indices, seeded_generator
from repro.errors import ReproError

POISON_SHARE = 0.76
CLEAN_SHARE = 0.19
TRAIN_SHARE = 0.8


@dataclass(frozen=True, eq=False)
class Partition:
    """Which images each part has: int64 indices (k,), in random order, disjoint, covering the dataset."""

    poison_train: Indices
    poison_validation: Indices
    clean_train: Indices
    clean_validation: Indices
    adversarial_test: Indices


def partition(n: int, seed: int) -> Partition:
    """A random partition of ``n`` images, independent for each ``seed``; classes are not balanced.

    The poison-set has round(0.76 n) images, the clean-set round(0.19 n), adversarial-test the rest; round(0.8 size) of
    each of the first two are for training. Raises ReproError when a part would be empty (which no n >= 15 gives).
    """
    order = seeded_generator(f"partition/{seed}").permutation(n)
    poison, clean = round(POISON_SHARE * n), round(CLEAN_SHARE * n)
    clean_end = poison + clean
    poison_train, clean_train = round(TRAIN_SHARE * poison), round(TRAIN_SHARE * clean)
    parts = Partition(
        poison_train=order[:poison_train],
        poison_validation=order[poison_train:poison],
        clean_train=order[poison : poison + clean_train],
        clean_validation=order[poison + clean_train : clean_end],
        adversarial_test=order[clean_end:],
    )
    for field in fields(parts):
        if len(getattr(parts, field.name)) == 0:
            raise ReproError(f"{n} images are too few to partition: {field.name} would be empty")
    return parts
