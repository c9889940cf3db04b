"""Descriptions of membership-exposure runs: public encoders, and the victims that are exposed (desanctis 2.3-2.5)."""

from dataclasses import dataclass, field
from typing import Literal

from repro.harness.runs import Data, Defence, Description, Options
from repro.training.recipe import Recipe

Victim = Literal["scratch", "fine-tuned", "frozen"]
"""Trained from scratch; from a public encoder, all layers; or only a linear head on the frozen encoder."""


@dataclass(frozen=True)
class EncoderRun(Description):
    """A public model, trained on the attacker's pool, whose representation victims and attacker share.

    ``validation`` images are kept out of the pool: the victim uses them for early stopping.
    """

    unit: str
    data: Data
    seed: int
    architecture: str
    recipe: Recipe
    members: int
    nonmembers: int
    validation: int = 0

    def pieces(self) -> set[tuple[str, str]]:
        """Also its architecture."""
        return super().pieces() | {("architecture", self.architecture), ("defence", "none")}

    def epoch_images(self, count: int) -> int:
        """How many of the dataset's ``count`` images it trains on in an epoch."""
        return max(0, count - self.members - self.nonmembers - self.validation)


@dataclass(frozen=True)
class Amplification:
    """An attack on the membership of one class: its poisons join the victim's training set."""

    name: str
    budget: int
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class ExposureRun(Description):
    """A victim, trained on its members and the attack's poisons, and probed at checkpoints (epochs)."""

    unit: str
    data: Data
    seed: int
    target_class: int
    architecture: str
    recipe: Recipe
    members: int
    nonmembers: int
    victim: Victim
    checkpoints: tuple[int, ...]
    attack: Amplification | None = None
    defence: Defence = field(default_factory=Defence)
    validation: int = 0

    def pieces(self) -> set[tuple[str, str]]:
        """Also its architecture, defence and attack."""
        used = super().pieces() | {("architecture", self.architecture), ("defence", self.defence.name)}
        return used | ({("attack", self.attack.name)} if self.attack else set())

    def epoch_images(self, count: int) -> int:
        """How many images it trains on in an epoch, regardless of the dataset's ``count``."""
        del count
        return self.members + (self.attack.budget if self.attack else 0)
