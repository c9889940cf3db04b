"""Descriptions of backdoored models on which every defence of a study is tried (desanctis 1)."""

from dataclasses import dataclass
from math import ceil
from typing import Any

from repro.data.partition import CLEAN_SHARE, POISON_SHARE, TRAIN_SHARE
from repro.papers.desanctis.experiments.families.runs import FamilyRun, stacked_alike


@dataclass(frozen=True)
class MitigationRun(FamilyRun):
    """One backdoored model, and each defence's settings from light to heavy.

    ``pruned`` counts hidden units, ``weights`` are weight decay's, ``epochs_stopped`` the epochs after which training
    is cut short, from late to early, ``epochs_retrained`` those of clean retraining and of unlearning.
    """

    pruned: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    epochs_stopped: tuple[int, ...] = ()
    epochs_retrained: tuple[int, ...] = ()

    def pieces(self) -> set[tuple[str, str]]:
        """Also weight decay."""
        return super().pieces() | {("defence", "weight_decay")}

    def epoch_images(self, count: int) -> int:
        """How many of ``count`` images an epoch stands for: those of the undefended training and of each weight's.

        The images of clean retraining and of unlearning are spread over the epochs.
        """
        trained = round(TRAIN_SHARE * round(POISON_SHARE * count))
        trained = trained if self.members is None else self.members
        retrained = 2 * max(self.epochs_retrained) * round(TRAIN_SHARE * round(CLEAN_SHARE * count))
        return (1 + len(self.weights)) * trained + ceil(retrained / self.recipe.epochs)


def defended_alike(run: MitigationRun) -> Any:
    """The key of runs that share a fleet: one family, a stackable description, and equal settings of each defence."""
    lines = [run.pruned, run.weights, run.epochs_stopped, run.epochs_retrained]
    return [run.family.name if run.family else None, *stacked_alike(run), *map(list, lines)]
