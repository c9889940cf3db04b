"""Descriptions of autoencoders whose latent space is searched for a backdoor (desanctis 3)."""

from dataclasses import dataclass
from typing import Literal

from repro.harness.runs import Backdoor, Data, Description, Run
from repro.training.recipe import Recipe

Training = Literal["poisoned", "clean"]


@dataclass(frozen=True)
class LatentRun(Description):
    """A variational autoencoder of a unit's training set, with or without the backdoor's poison in it.

    Either is measured on the backdoor's triggered images. ``latent`` dimensions, hidden layers of ``width``, ``beta``
    as `repro.training.autoencoder` has it.
    """

    unit: str
    data: Data
    partition_seed: int
    seed: int
    training: Training
    backdoor: Backdoor
    latent: int
    width: int
    beta: float
    recipe: Recipe

    @property
    def attacked(self) -> Run:
        """The run of the backdoor experiments with this training set and these measured images."""
        poisoned = self.training == "poisoned"
        return Run(
            unit=self.unit,
            data=self.data,
            partition_seed=self.partition_seed,
            seed=self.seed,
            architecture="autoencoder",
            recipe=self.recipe,
            backdoor=self.backdoor if poisoned else None,
            probes=() if poisoned else (self.backdoor,),
        )

    def pieces(self) -> set[tuple[str, str]]:
        """Also its trigger."""
        return super().pieces() | {("trigger", self.backdoor.trigger.name)}
