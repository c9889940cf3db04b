"""What training needs from a machine (memory, disk, steps), computed from a profile's grid without training.

No training code is imported. What cannot be known beforehand, such as what a network keeps between its forward and
backward passes, is left out: memory is a lower bound.
"""

import math
from functools import cache
from typing import Any

from repro import plugins
from repro.data.partition import CLEAN_SHARE, POISON_SHARE, TRAIN_SHARE
from repro.harness.experiment import Phase
from repro.harness.profile import Profile
from repro.harness.runs import Defence, Fleet, engine_of
from repro.models import Convolution
from repro.training.recipe import Recipe

Shape = tuple[int, int, int]

_FLOAT_BYTES = 4
# How many float32 copies of dataset and triggered images exist, besides the dataset itself, while an engine's pool is
# put together: measured.
_PIXEL_COPIES = {"stacked": 4, "network": 3}
_TRAINING_COPIES = 4  # weights, their gradient, and Adam's two moments
_INTERPRETER_BYTES = 250_000_000  # Python with PyTorch, before it has any data


@cache
def parameters(architecture: str, shape: Shape, classes: int) -> int | None:
    """How many numbers a model's state holds; None if its piece does not say.

    A normalised channel has two parameters and two running statistics. For a network it is the piece's ``PARAMETERS``,
    at 1,000 classes.
    """
    if engine_of(architecture) != "stacked":
        stated: int | None = plugins.literal("architecture", architecture, "PARAMETERS", None)
        return stated
    channels, height, width = shape
    features, count = math.prod(shape), 0
    for block in plugins.load("architecture", architecture).blocks(shape, classes):
        if isinstance(block, Convolution):
            count += block.channels * (9 * channels + (4 if block.normalised else 1))
            channels, height, width = block.channels, -(-height // block.stride), -(-width // block.stride)
            features = channels * height * width
        else:
            count += block.features * (features + 1)
            features = block.features
    return count + classes * (features + 1)


def image_shape(profile: Profile) -> Shape:
    """(channels, height, width) of the profile's images."""
    return profile.facts().shape


def images(profile: Profile) -> int:
    """How many images the profile uses."""
    return profile.data.limit or profile.facts().images


def triggered(run: Any, count: int, classes: int) -> int:
    """How many triggered images a run adds to a pool of ``count``: every attack's test set, and its own poison."""
    own = getattr(run, "backdoor", None)
    attacks = len(getattr(run, "probes", ())) + (own is not None)
    tested = count - round(POISON_SHARE * count) - round(CLEAN_SHARE * count)
    poisoned = own.poison_rate * POISON_SHARE * count / classes if own else 0
    return round(attacks * tested + poisoned)


def weight_bytes(profile: Profile, fleet: Fleet) -> tuple[int, set[str]]:
    """(bytes of one copy of a fleet's weights, architectures of unknown size that are not counted)."""
    total, unknown = 0, set()
    shape, classes = image_shape(profile), profile.classes()
    for architecture in (run.architecture for run in fleet.runs if hasattr(run, "architecture")):
        count = parameters(architecture, shape, classes)
        if count is None:
            unknown.add(architecture)
        total += _FLOAT_BYTES * (count or 0)
    return total, unknown


def memory_bytes(profile: Profile, phase: Phase, fleet: Fleet) -> int:
    """The least memory of a process for a fleet: itself, images, triggered images, and models in training."""
    if fleet.data is None:
        return _INTERPRETER_BYTES
    count, classes = images(profile), profile.classes()
    image_bytes = _FLOAT_BYTES * math.prod(image_shape(profile))
    held = _INTERPRETER_BYTES + count * image_bytes
    if not trains(phase) or not of_architecture(fleet):
        return held
    pool = count + sum(triggered(run, count, classes) for run in fleet.runs)
    weights, engine = weight_bytes(profile, fleet)[0], engine_of(fleet.runs[0].architecture)
    models = _TRAINING_COPIES * weights
    if engine == "network":  # one model after another, besides the state of all models before and after
        models = 2 * weights + models // len(fleet.runs)
    return held + _PIXEL_COPIES[engine] * pool * image_bytes + models


def trains(phase: Phase) -> bool:
    """Whether a phase trains models; those called ``measure`` only count or compute."""
    return phase.name != "measure"


def of_architecture(fleet: Fleet) -> bool:
    """Whether a fleet's models have a named architecture.

    Others (autoencoders, inner problems) are small, and are neither timed nor counted."""
    return hasattr(fleet.runs[0], "architecture")


def recipe_of(run: Any) -> Recipe:
    """The recipe of a run's last step: its retraining, if it has one."""
    recipe: Recipe = getattr(run, "retraining", None) or run.recipe
    return recipe


def defence_of(run: Any) -> Defence:
    """The defence in a run's last step; retraining has none."""
    if getattr(run, "retraining", None):
        return Defence()
    defence: Defence = getattr(run, "defence", Defence())
    return defence


def epoch_images(run: Any, count: int) -> int:
    """How many of ``count`` images a run trains on in an epoch; an image counts once per model.

    Either what the run's description says (its ``epoch_images``), or a share of the backdoor experiments' partition.
    """
    if hasattr(run, "epoch_images"):
        own: int = run.epoch_images(count)
        return own
    share = CLEAN_SHARE if run.retraining else POISON_SHARE
    return round(TRAIN_SHARE * round(share * count))


def most_steps(run: Any, count: int) -> int:
    """How many training steps a run takes at most: early stopping ends sooner."""
    recipe, n = recipe_of(run), epoch_images(run, count)
    return recipe.epochs * (n // min(recipe.batch_size, n)) if n else 0
