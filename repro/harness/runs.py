"""A run's full description, and the fleets that runs are trained in where there is a GPU.

Descriptions are plain values. A run's id is a hash of its description, so it contains everything that decides a run's
outcome, except for the code and the data.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache, cached_property
from typing import Any

from repro import plugins
from repro.training.recipe import Recipe

Options = dict[str, Any]
_PLAIN = "plain"
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(_CANONICAL.encode(value).encode("utf-8")).hexdigest()


def plain(value: Any) -> Any:
    """A description as dicts and lists, like `dataclasses.asdict` but without copying what is already plain."""
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    # A part that many descriptions share is converted once; the descriptions themselves are not kept.
    known = value.__dict__.get(_PLAIN)
    if known is None:
        kind: Any = type(value)
        known = {name: plain(getattr(value, name)) for name in _fields(kind)}
        if not isinstance(value, Description):
            value.__dict__[_PLAIN] = known
    return known


@cache
def _fields(kind: Any) -> tuple[str, ...]:
    if not is_dataclass(kind):
        raise TypeError(f"{kind.__name__} cannot be part of a description")
    return tuple(field.name for field in fields(kind))


@dataclass(frozen=True)
class Data:
    """A dataset with its piece's options, or its first ``limit`` images in a fixed random order."""

    name: str
    limit: int | None = None
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Trigger:
    """A trigger pattern and its transparency."""

    name: str
    alpha: float
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Backdoor:
    """A backdoor attack: one-to-one when a source class is named, many-to-one otherwise."""

    poison_class: int
    trigger: Trigger
    poison_rate: float
    source_class: int | None = None

    @property
    def sources(self) -> str:
        """The poisoning strategy's name."""
        return "many-to-one" if self.source_class is None else "one-to-one"


@dataclass(frozen=True)
class Defence:
    """A defence in training, its weight and options."""

    name: str = "none"
    weight: float = 0.0
    options: Options = field(default_factory=dict)


class Description:
    """The description of a run of any kind: a frozen dataclass of plain values."""

    data: Data | None

    @cached_property
    def id(self) -> str:
        """Sixteen characters that identify the whole description; never all digits."""
        return "r" + digest(plain(self))[:15]

    def pieces(self) -> set[tuple[str, str]]:
        """(kind, name) of every piece the run uses: their code decides its outcome."""
        return {("dataset", self.data.name)} if self.data else set()


@dataclass(frozen=True)
class Run(Description):
    """One model's life under a backdoor attack, or without one.

    ``pretrained``: from published weights, not from random ones. ``probes`` are the backdoors whose success rate is
    measured on a clean model; ``retraining`` continues the same run without it.
    """

    unit: str
    data: Data
    partition_seed: int
    seed: int
    architecture: str
    recipe: Recipe
    pretrained: bool = False
    defence: Defence = Defence()
    backdoor: Backdoor | None = None
    probes: tuple[Backdoor, ...] = ()
    retraining: Recipe | None = None

    def pieces(self) -> set[tuple[str, str]]:
        """Also its architecture and that one's engine, its defence and triggers."""
        used = super().pieces() | {("architecture", self.architecture), ("defence", self.defence.name)}
        used.add(("engine", engine_of(self.architecture)))
        attacks = [*self.probes, *([self.backdoor] if self.backdoor else [])]
        return used | {("trigger", attack.trigger.name) for attack in attacks}


@cache
def engine_of(architecture: str) -> str:
    """The engine that trains an architecture."""
    engine: str = plugins.literal("architecture", architecture, "ENGINE", "stacked")
    return engine


@dataclass(frozen=True)
class Fleet:
    """Runs that can train together, in a fixed order, on one dataset; no outcome depends on another run."""

    runs: tuple[Any, ...]

    @cached_property
    def id(self) -> str:
        """A digest of all its runs, in order."""
        return "f" + digest([run.id for run in self.runs])[:15]

    @property
    def data(self) -> Data | None:
        """The dataset that all its runs use."""
        data: Data | None = self.runs[0].data
        return data

    def pieces(self) -> set[tuple[str, str]]:
        """Every piece that one of its runs uses."""
        return set().union(*(run.pieces() for run in self.runs))


def fleets(runs: Iterable[Any], size: int, alike: Callable[[Any], Any]) -> list[Fleet]:
    """Runs grouped by the key ``alike``, in order, in fleets of at most ``size``: a pure function of the grid."""
    groups: dict[str, list[Any]] = {}
    for run in runs:
        groups.setdefault(_CANONICAL.encode(alike(run)), []).append(run)
    return [
        Fleet(tuple(group[i : i + size])) for group in groups.values() for i in range(0, len(group), size)
    ]


def stacked_alike(run: Run) -> Any:
    """The key of runs that can share a stack: architecture, recipe, data size and kind of defence."""
    return [
        run.architecture,
        run.pretrained,
        plain(run.recipe),
        plain(run.data),
        run.defence.name,
        run.defence.options,
    ]
