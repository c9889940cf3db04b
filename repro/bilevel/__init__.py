"""Data poisoning as one bi-level problem (desanctis 2.1), whatever the attacker's goal.

D_poison = argmin over D of sum over D_target of A(f(x; theta*)), such that
theta* = argmin over theta of sum over D_clean and D of L(f(x; theta), y).

A *problem* has three independent parts: an *objective* (D_target and A), an *inner* model (how theta* is computed, and
how it depends on the poisons) and clean samples. *Solvers* search for D. An attack that differentiates through a
model's optimality conditions, or back through the steps of its training, supplies an inner model that differentiates
theta* in that way, and descends. An attack on a surrogate of the objective, such as feature collision, is another
solver. The problem stays the same.

Everything is stacked: the first dimension counts K independent problems, which are solved at once.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Samples:
    """``images`` (K, n, ...) in [0, 1] of one floating-point kind, ``labels`` int64 (K, n)."""

    images: Tensor
    labels: Tensor
