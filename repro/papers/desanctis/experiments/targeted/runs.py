"""Descriptions of targeted clean-label attacks: one target, its poisons, and three victims (desanctis 2.4)."""

from dataclasses import dataclass, field

from repro.harness.runs import Data, Defence, Description, Options
from repro.papers.desanctis.victims.runs import EncoderRun
from repro.training.recipe import Recipe


@dataclass(frozen=True)
class TargetedRun(Description):
    """An attack on one held-out image, and the clean, poisoned and placebo victims on which it is measured.

    ``frozen`` victims train a linear head on the public encoder's features, the others all layers. ``watermark`` is the
    opacity at which the target is blended over each base before crafting; ``crafting`` are the options of the attack's
    piece.
    """

    unit: str
    data: Data
    seed: int
    base_class: int
    architecture: str
    encoder_recipe: Recipe
    recipe: Recipe
    members: int
    nonmembers: int
    frozen: bool
    budget: int
    watermark: float
    crafting: Options
    defence: Defence = field(default_factory=Defence)

    @property
    def encoder(self) -> EncoderRun:
        """The public encoder that the attacker crafts against and from which the victims continue."""
        about = (self.unit, self.data, self.seed, self.architecture, self.encoder_recipe)
        return EncoderRun(*about, self.members, self.nonmembers)

    def pieces(self) -> set[tuple[str, str]]:
        """Also its architecture, defence and attack."""
        own = {("defence", self.defence.name), ("attack", "feature_collision")}
        return super().pieces() | self.encoder.pieces() | own

    def epoch_images(self, count: int) -> int:
        """How many images its clean, poisoned and placebo victims train on in an epoch, regardless of ``count``."""
        del count
        return 3 * self.members + 2 * self.budget
