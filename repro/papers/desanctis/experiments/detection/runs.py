"""Descriptions of backdoor detection: a trained model, how it is searched, and what is done with the triggers found."""

from dataclasses import dataclass
from math import ceil

from repro.data import describe
from repro.data.partition import CLEAN_SHARE, TRAIN_SHARE
from repro.harness.runs import Backdoor, Data, Description, Run
from repro.training.recipe import Recipe


@dataclass(frozen=True)
class DetectionRun(Description):
    """The detection of a backdoor in one trained model, poisoned or clean, and its mitigation.

    A trigger is searched for every class in ``steps`` steps on ``batch_size`` clean images each. ``recipe`` is that of
    unlearning and of its control; ``pruned_units`` and ``filter_units`` count hidden units, and ``filter_rate`` is the
    share of clean images that the filter may flag.
    """

    trained: Run
    steps: int
    batch_size: int
    pruned_units: int
    recipe: Recipe
    filter_units: int
    filter_rate: float

    @property
    def data(self) -> Data:  # type: ignore[override]
        """The model's own."""
        return self.trained.data

    @property
    def architecture(self) -> str:
        """The model's own."""
        return self.trained.architecture

    @property
    def backdoor(self) -> Backdoor | None:
        """The poisoned model's own."""
        return self.trained.backdoor

    @property
    def probes(self) -> tuple[Backdoor, ...]:
        """The backdoors that a clean model is measured on."""
        return self.trained.probes

    @property
    def attack(self) -> Backdoor:
        """The unit's backdoor, whether the model is poisoned by it or only measured on it."""
        return self.backdoor or self.probes[0]

    def pieces(self) -> set[tuple[str, str]]:
        """The model's own pieces, and no defence for unlearning."""
        return super().pieces() | self.trained.pieces() | {("defence", "none")}

    def epoch_images(self, count: int) -> int:
        """How many images an epoch stands for: those of unlearning and of its control, where the model is poisoned.

        The search's images, of all classes and steps, are spread over the epochs.
        """
        classes = len(describe(self.data.name, self.data.options).classes)
        searched = ceil(classes * self.steps * self.batch_size / self.recipe.epochs)
        retrained = 2 * round(TRAIN_SHARE * round(CLEAN_SHARE * count)) if self.backdoor else 0
        return searched + retrained
