"""The outlier test, corrected for the natural margins between classes (desanctis 3, first paragraph).

A class close to another may be reached by a small change that is not a backdoor; so "exploiting the average difference
between classes, and normalize for it": look whether the trigger's *size* is an anomaly against what it takes to change
from one class to the other, and whether the trigger *resides in the interpolation* between the two. The document gives
no formula. Here, with mu_c the mean of the clean images of class c, in [0, 1], and m, p the trigger found for class t:

    d_st = mu_t - mu_s                                  the average difference, from source class s to t
    delta_st = mean over images x of s of m (p - x)     what the trigger changes; it equals m (p - mu_s)
    s(t) = the source class of the smallest |d_st|_1    the class that t is nearest to
    margin_t = |d_s(t)t|_1,  size_t = log(|m|_1 / margin_t)
    a_st = cos(delta_st, m d_st),  a_t = a_s(t)t        against the interpolation from s to t, under the same mask

Interpolation moves an image along d_st, and under the mask along m d_st. Without the mask in d_st, the cosine could not
exceed the root of the share of d_st that a small mask covers, whatever direction the trigger has.

The rule: class t is *aligned* if a_t > 0 and a_t^2 > 1/2, that is, if most of the squared length of the trigger's
change lies along the difference. An aligned class is never flagged; any other class is flagged if Neural Cleanse's
anomaly index of its size_t, among those of all classes (aligned ones included), is above 2. The share of 1/2 means
"most", and was not tuned.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from repro.detection.outliers import Decision, anomaly_indices, decide
from repro.detection.reconstruct import Triggers
from repro.training.fleet import CENTRE, Split

MOST = 0.5


@dataclass(frozen=True)
class Corrected:
    """Both tests of K models of C classes.

    raw: Neural Cleanse's decision on the norms. corrected: the rule's decision, whose score is the largest index of a
    class that is not aligned, and 0 if that is negative or all are aligned. Their indices (K, C), before alignment is
    considered; nearest int64 (K, C), s(t); margins (K, C), in pixels' brightness; alignments (K, C) in [-1, 1]; aligned
    (K, C).
    """

    raw: Decision
    corrected: Decision
    raw_indices: Tensor
    corrected_indices: Tensor
    nearest: Tensor
    margins: Tensor
    alignments: Tensor
    aligned: Tensor


def class_means(pool: Tensor, clean: Split, classes: int) -> Tensor:
    """Mean of each model's clean images by class (K, C, h, w, c), in [0, 1]; ValueError for a class without images."""
    own = F.one_hot(clean.labels, classes).to(pool.dtype)
    counts = own.sum(1)
    if not bool((counts > 0).all()):
        raise ValueError("a model has no clean image of one of the classes")
    images = pool[clean.indices]
    sums = torch.bmm(own.mT, images.flatten(2)).view(*counts.shape, *images.shape[2:])
    return sums / counts[..., None, None, None] + CENTRE


def differences(means: Tensor) -> Tensor:
    """d_st (K, C, C, h, w, c), its second dimension t and its third s, from class means (K, C, h, w, c)."""
    return means.unsqueeze(2) - means.unsqueeze(1)


def changes(triggers: Triggers, means: Tensor) -> Tensor:
    """delta_st (K, C, C, h, w, c), its second dimension t and its third s."""
    return triggers.masks[:, :, None, :, :, None] * (triggers.patterns.unsqueeze(2) - means.unsqueeze(1))


def corrected(triggers: Triggers, means: Tensor) -> Corrected:
    """Neural Cleanse's test and the corrected one, from triggers and class means (K, C, h, w, c) in [0, 1].

    Raises ValueError when two classes have the same mean: their margin is 0, and no size can be normalised by that.
    """
    between = differences(means)
    itself = torch.eye(means.shape[1], dtype=torch.bool, device=means.device)
    margins, nearest = between.flatten(3).abs().sum(3).masked_fill(itself, torch.inf).min(2)
    if not bool((margins > 0).all()):
        raise ValueError("two classes have the same mean image")
    masked = triggers.masks[:, :, None, :, :, None] * between
    cosines = F.cosine_similarity(changes(triggers, means).flatten(3), masked.flatten(3), dim=3)
    alignments = cosines.gather(2, nearest.unsqueeze(2)).squeeze(2)
    aligned = alignments.clamp_min(0).square() > MOST
    tiny = torch.finfo(margins.dtype).tiny  # an empty mask is as small as possible, not an error
    raw_indices = anomaly_indices(triggers.norms)
    indices = anomaly_indices((triggers.norms.clamp_min(tiny) / margins).log())
    allowed = indices.clamp_min(0).masked_fill(aligned, 0)
    return Corrected(
        decide(raw_indices), decide(allowed), raw_indices, indices, nearest, margins, alignments, aligned
    )
