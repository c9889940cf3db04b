"""Is one class's trigger unusually small? Neural Cleanse's outlier test (Wang et al. 2019, IV.B).

A class's anomaly index is how far its trigger's norm lies *below* the median over the classes, in units of the median
absolute deviation times 1.4826, which estimates a normal sample's standard deviation. Above 2, a class is called
backdoored: 95 % of normal values lie within 2. Large triggers do not indicate a backdoor, and have negative indices.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

CONSISTENCY = 1.4826
THRESHOLD = 2.0


@dataclass(frozen=True)
class Decision:
    """One verdict per model, over leading dimensions (...).

    scores (...), the largest index of its classes, for ROC curves; backdoored bool (...), whether that is above 2;
    classes int64 (...), the class with that index: meaningful where backdoored.
    """

    scores: Tensor
    backdoored: Tensor
    classes: Tensor


def anomaly_indices(sizes: Tensor) -> Tensor:
    """How many deviations below the median each of ``sizes`` (..., C) is.

    The median of an even number is the mean of the middle two. Where more than half of the sizes are equal, the
    deviation is 0: these sizes then have index 0, and all others, being infinitely many deviations away, plus or minus
    infinity. Raises ValueError for sizes that are not finite.
    """
    if not bool(sizes.isfinite().all()):
        raise ValueError("trigger sizes must be finite")
    below = _median(sizes) - sizes
    # 0 / 0 is 0 here: a size at the median does not deviate, whatever the deviation.
    return torch.where(below == 0, below, below / (CONSISTENCY * _median(below.abs())))


def decide(indices: Tensor) -> Decision:
    """The verdict from anomaly indices (..., C)."""
    scores, classes = indices.max(-1)
    return Decision(scores, scores > THRESHOLD, classes)


def _median(values: Tensor) -> Tensor:
    """Median over the last dimension, which is kept; torch.median would take the lower of the middle two."""
    ordered, count = values.sort(-1).values, values.shape[-1]
    return (ordered[..., (count - 1) // 2] + ordered[..., count // 2]).unsqueeze(-1) / 2
