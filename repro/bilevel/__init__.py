"""Data poisoning as one bi-level problem (desanctis 2.1), whatever the attacker is after.

D_poison = argmin over D of sum over D_target of A(f(x; theta*)), such that
theta* = argmin over theta of sum over D_clean and D of L(f(x; theta), y).

A *problem* has three parts that know nothing of each other: an *objective* (D_target and A), an *inner* model (how
theta* comes about, and how it moves with the poisons) and clean samples. *Solvers* look for D. An attack that goes by a
model's optimality conditions, or back through the steps of its training, brings an inner model that derives theta* so,
and descends; one on a surrogate of the objective, such as feature collision, is another solver. The problem stays.

Everything is stacked: the first dimension is K problems, solved at once and independent of each other.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Samples:
    """``images`` (K, n, ...) in [0, 1] of one floating-point kind, ``labels`` int64 (K, n)."""

    images: Tensor
    labels: Tensor
