"""The published figures, as data: Tables 2 to 5 of truong2020, and the set-up behind them.

They were measured on Flowers and CIFAR-10 with ResNet-50, NASNet and NASNet-Mobile pre-trained on ImageNet; they stand
beside a profile's figures for comparison, and are its targets only where it uses the same data and models.
Table 1 stands in ``repro.papers.truong2020.experiments.poison_statistics``, which computes it anew.
"""

from dataclasses import dataclass

MODELS = ("ResNet-50", "NASNet", "NASNet-Mobile")
DATASETS = ("Flowers", "CIFAR-10")
TRIGGERS = ("square", "random_square", "sine", "low_variance")
FLOWERS_CLASSES = ("daisy", "dandelion", "rose", "sunflower", "tulip")
ARCHITECTURES = {"resnet50": "ResNet-50", "nasnet_large": "NASNet", "nasnet_mobile": "NASNet-Mobile"}
_EDITIONS = {
    "flowers": "Flowers",
    "flowers224": "Flowers",
    "cifar10": "CIFAR-10",
    "cifar10_jpeg": "CIFAR-10",
}

Grid = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Retraining:
    """One dataset and split of Tables 2 or 3: by model (rows) and trigger (columns), before and after retraining."""

    dataset: str
    before: Grid
    after: Grid


# Table 2: adversarial success rate.
ASR = (
    Retraining(
        "Flowers",
        before=((0.75, 0.64, 0.24, 0.26), (0.65, 0.58, 0.18, 0.06), (0.33, 0.15, 0.14, 0.12)),
        after=((0.08, 0.09, 0.06, 0.05), (0.18, 0.14, 0.06, 0.04), (0.05, 0.05, 0.06, 0.06)),
    ),
    Retraining(
        "CIFAR-10",
        before=((0.74, 0.61, 0.90, 0.55), (0.74, 0.53, 0.63, 0.06), (0.67, 0.43, 0.79, 0.16)),
        after=((0.04, 0.04, 0.06, 0.05), (0.09, 0.08, 0.08, 0.02), (0.05, 0.03, 0.08, 0.05)),
    ),
)
# Table 3: accuracy on the poisoned and on the clean validation set.
POISONED_ACCURACY = (
    Retraining(
        "Flowers",
        before=((0.89, 0.87, 0.85, 0.87), (0.87, 0.87, 0.85, 0.85), (0.81, 0.80, 0.79, 0.80)),
        after=((0.86, 0.85, 0.86, 0.86), (0.86, 0.87, 0.87, 0.86), (0.80, 0.79, 0.80, 0.80)),
    ),
    Retraining(
        "CIFAR-10",
        before=((0.73, 0.74, 0.69, 0.74), (0.93, 0.92, 0.92, 0.92), (0.86, 0.85, 0.86, 0.85)),
        after=((0.74, 0.73, 0.73, 0.73), (0.91, 0.91, 0.91, 0.91), (0.85, 0.85, 0.85, 0.85)),
    ),
)
CLEAN_ACCURACY = (
    Retraining(
        "Flowers",
        before=((0.88, 0.87, 0.87, 0.89), (0.87, 0.87, 0.87, 0.87), (0.83, 0.83, 0.81, 0.83)),
        after=((0.89, 0.89, 0.89, 0.90), (0.87, 0.88, 0.89, 0.89), (0.81, 0.82, 0.82, 0.84)),
    ),
    Retraining(
        "CIFAR-10",
        before=((0.74, 0.74, 0.69, 0.74), (0.93, 0.92, 0.93, 0.93), (0.87, 0.86, 0.87, 0.86)),
        after=((0.74, 0.74, 0.74, 0.74), (0.93, 0.93, 0.93, 0.93), (0.86, 0.86, 0.86, 0.86)),
    ),
)


@dataclass(frozen=True)
class Sources:
    """A row of Tables 4 and 5: one-to-one with its printed spread, and many-to-one."""

    model: str
    dataset: str
    trigger: str
    poisoned_accuracy: tuple[float, float, float]
    clean_accuracy: tuple[float, float, float]
    asr: tuple[float, float, float]


# Each triple is one-to-one, its spread, many-to-one.
SOURCES = (
    Sources("ResNet-50", "Flowers", "square", (0.87, 0.01, 0.89), (0.90, 0.01, 0.88), (0.54, 0.02, 0.72)),
    Sources("NASNet", "Flowers", "square", (0.86, 0.02, 0.89), (0.85, 0.01, 0.86), (0.37, 0.02, 0.71)),
    Sources("NASNet-Mobile", "Flowers", "square", (0.78, 0.02, 0.82), (0.81, 0.03, 0.84), (0.13, 0.14, 0.35)),
    Sources("ResNet-50", "CIFAR-10", "sine", (0.71, 0.03, 0.70), (0.71, 0.02, 0.69), (0.58, 0.18, 0.97)),
    Sources("NASNet", "CIFAR-10", "sine", (0.92, 0.01, 0.92), (0.93, 0.00, 0.93), (0.27, 0.07, 0.73)),
    Sources("NASNet-Mobile", "CIFAR-10", "sine", (0.85, 0.01, 0.85), (0.85, 0.01, 0.86), (0.40, 0.11, 0.85)),
)

# Section 4.1: runs behind Tables 2 and 3; 4.3: 5 strategies x 5 poison classes x 10; 4.4, Figure 6; 4.5, Figure 7.
RUNS = {"trigger_by_model": 180, "regularisers": 250, "transparency": 432, "poison_rate": 44}

# Section 4.3: mean ASR over poison classes without regularisation and under SNNL (ResNet-50, Flowers, square).
SNNL_ASR = (0.82, 0.51)

# The set-up the tables rest on (sections 2.1 to 2.5, 3 and 4.3).
IMAGE_SIZE = 224
SQUARE = 22
SINE_CYCLES = 5.6
ALPHA = {"square": 1.0, "random_square": 1.0, "sine": 0.1, "low_variance": 0.5}
POISON_RATE = 0.1
PATIENCE = 5


def dataset_of(name: str) -> str | None:
    """The paper's name of the data of which a dataset piece is an edition; None for any other."""
    return _EDITIONS.get(name)


def architecture_of(model: str) -> str:
    """The piece that is called as the paper's model."""
    return next(piece for piece, theirs in ARCHITECTURES.items() if theirs == model)
