"""Descriptions of models backdoored with a family of triggers, and of their clean counterparts (desanctis 3.2)."""

from dataclasses import dataclass, field
from typing import Any

from repro.data.partition import POISON_SHARE, TRAIN_SHARE
from repro.harness.runs import Data, Description, Options, engine_of, plain
from repro.training.recipe import Recipe


@dataclass(frozen=True)
class Family:
    """A family of triggers, with all of its piece's options."""

    name: str
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class FamilyRun(Description):
    """One model's life under a family of triggers, or without one.

    ``seed`` decides the partition too. ``members`` is how many of the first images of the poison-set's training part
    are used (None: all); ``enlarge`` and ``ink`` prepare the images, triggered or not, as ``repro.families.prepared``
    says. ``poison_rate`` is 0 without a family; ``probes`` are families that a clean model is also measured on.
    """

    unit: str
    data: Data
    seed: int
    poison_class: int
    architecture: str
    recipe: Recipe
    enlarge: int
    ink: float
    family: Family | None = None
    poison_rate: float = 0.0
    members: int | None = None
    probes: tuple[Family, ...] = ()

    @property
    def measured(self) -> tuple[Family, ...]:
        """Families that the model is measured on."""
        return (*([self.family] if self.family else []), *self.probes)

    def pieces(self) -> set[tuple[str, str]]:
        """Also its architecture and that one's engine, its families, and the defence ``none``."""
        used = super().pieces() | {("architecture", self.architecture), ("defence", "none")}
        used.add(("engine", engine_of(self.architecture)))
        return used | {("family", family.name) for family in self.measured}

    def epoch_images(self, count: int) -> int:
        """How many of the dataset's ``count`` images it trains on in an epoch."""
        return self.members or round(TRAIN_SHARE * round(POISON_SHARE * count))


def stacked_alike(run: FamilyRun) -> Any:
    """The key of runs that can share a stack: architecture, recipe, data, training set's size, images' preparation."""
    return [
        run.architecture,
        plain(run.recipe),
        plain(run.data),
        run.members,
        run.enlarge,
        run.ink,
    ]
