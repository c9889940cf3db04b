"""Descriptions of poisonings by the bi-level problem: one objective, its inner model and its solver (desanctis 2.1)."""

from dataclasses import dataclass
from typing import Literal, get_args

from repro.harness.runs import Data, Description, Trigger

Objective = Literal["accuracy_degradation", "targeted_misclassification", "backdoor"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)


@dataclass(frozen=True)
class BilevelRun(Description):
    """Poisons for one objective, moved by ``iterations`` steps down the hypergradient of a softmax regression.

    The poisons start as images of the target class with their own label. ``tested`` images measure accuracy. Depending
    on the objective, D_target holds these images, ``targets`` images of other classes, or ``tested`` images of other
    classes under the trigger.
    """

    unit: str
    data: Data
    seed: int
    objective: Objective
    target_class: int
    members: int
    tested: int
    targets: int
    poisons: int
    regularisation: float
    iterations: int
    step: float
    trigger: Trigger

    def pieces(self) -> set[tuple[str, str]]:
        """Also its trigger."""
        return super().pieces() | {("trigger", self.trigger.name)}
