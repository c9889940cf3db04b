"""Recipe options of the engine ``network``: their checks, and the optimiser and learning rate that follow from them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from repro.errors import ReproError
from repro.training.recipe import Recipe

_CHOICES = {
    "precision": ("float32", "bfloat16"),
    "optimiser": ("adam", "sgd"),
    "schedule": ("constant", "triangle"),
    "augmentation": ("none", "flip", "flip+translate"),
}
_SWITCHES = ("channels_last", "compile")
_MOMENTUM = 0.9
_RISE = 0.2  # share of all steps after which the triangle peaks


@dataclass(frozen=True)
class Settings:
    """A recipe's options, each of a known kind and within its range; ``size`` 0 keeps the images' own size."""

    precision: str
    channels_last: bool
    compile: bool
    optimiser: str
    schedule: str
    label_smoothing: float
    augmentation: str
    weight_decay: float
    size: int


def settings_of(recipe: Recipe, defaults: dict[str, Any]) -> Settings:
    """The options of a recipe; raises ReproError that names a wrong one."""
    for name in recipe.options:
        if name not in defaults:
            raise ReproError(f"training option {name!r}: engine network has {', '.join(sorted(defaults))}")
    options = defaults | recipe.options
    for name, choices in _CHOICES.items():
        if options[name] not in choices:
            raise ReproError(f"training option {name} is {options[name]!r}, not one of {', '.join(choices)}")
    for name in _SWITCHES:
        if not isinstance(options[name], bool):
            raise ReproError(f"training option {name} is {options[name]!r}, neither true nor false")
    _range(options, "label_smoothing", below=1.0)
    _range(options, "weight_decay", below=float("inf"))
    size = options["size"]
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 8):
        raise ReproError(
            f"training option size is {size!r}, neither null nor a whole number of at least 8 pixels"
        )
    return Settings(**(options | {"size": size or 0}))


def _range(options: dict[str, Any], name: str, below: float) -> None:
    value = options[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < below:
        limit = f" and below {below:g}" if below < float("inf") else ""
        raise ReproError(f"training option {name} is {value!r}, must be a number from 0{limit}")


class Optimiser:
    """Adam or SGD with Nesterov momentum, its rate set before every step; one update is one pass over memory.

    Weight decay is L2: part of the gradient of every parameter of the network, but not of a defence's own parameters.
    """

    def __init__(
        self, network: Iterable[Tensor], own: Iterable[Tensor], recipe: Recipe, chosen: Settings
    ) -> None:
        groups: list[dict[str, Any]] = [
            {"params": list(network), "weight_decay": chosen.weight_decay},
            {"params": list(own), "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        self.peak, self.schedule = recipe.learning_rate, chosen.schedule
        self.optimiser: torch.optim.Optimizer
        if chosen.optimiser == "adam":
            self.optimiser = torch.optim.Adam(groups, lr=self.peak, fused=True)
        else:
            self.optimiser = torch.optim.SGD(
                groups, lr=self.peak, momentum=_MOMENTUM, nesterov=True, fused=True
            )

    def step(self, loss: Tensor, share: float) -> None:
        """Update on a loss, with ``share`` in [0, 1) of the recipe's steps already done."""
        if self.schedule == "triangle":
            for group in self.optimiser.param_groups:
                group["lr"] = self.peak * triangle(share)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()


def triangle(share: float) -> float:
    """The rate relative to its peak: rises linearly over the first fifth of a recipe's steps, then falls to zero.

    It starts at a tenth. The length is that of the recipe's ``epochs``, even if training stops early.
    """
    rise = 0.1 + 0.9 * share / _RISE
    fall = (1 - share) / (1 - _RISE)
    return min(rise, fall)
