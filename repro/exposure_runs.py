"""Descriptions of membership-exposure runs: public encoders, and the victims that are exposed (desanctis 2.3-2.5)."""

from dataclasses import dataclass, field

from repro.runs import Data, Defence, Description, Options
from repro.training.recipe import Recipe


@dataclass(frozen=True)
class EncoderRun(Description):
    """A public model, trained on the attacker's pool, whose representation victims and attacker share."""

    unit: str
    data: Data
    seed: int
    architecture: str
    recipe: Recipe
    members: int
    nonmembers: int

    def pieces(self) -> set[tuple[str, str]]:
        """Also its architecture."""
        return super().pieces() | {("architecture", self.architecture), ("defence", "none")}


@dataclass(frozen=True)
class Amplification:
    """An attack on the membership of one class: its poisons join the victim's training set."""

    name: str
    budget: int
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class ExposureRun(Description):
    """A victim: trained on its members, from scratch or from the public encoder, and probed at checkpoints (epochs)."""

    unit: str
    data: Data
    seed: int
    target_class: int
    architecture: str
    recipe: Recipe
    members: int
    nonmembers: int
    fine_tuned: bool
    checkpoints: tuple[int, ...]
    attack: Amplification | None = None
    defence: Defence = field(default_factory=Defence)

    def pieces(self) -> set[tuple[str, str]]:
        """Also its architecture, defence and attack."""
        used = super().pieces() | {("architecture", self.architecture), ("defence", self.defence.name)}
        return used | ({("attack", self.attack.name)} if self.attack else set())
