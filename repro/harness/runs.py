"""A run's full description, and the fleets that runs are trained in where there is a GPU.

Descriptions are plain values. A run's id is a hash of its description, so whatever decides a run's outcome, but for the
code and the data, stands in it.
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
    """A description as dicts and lists, as `dataclasses.asdict` gives it but without copying what is plain already."""
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    # A part that many descriptions share is written out once; these themselves are not kept.
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
        raise TypeError(f"{kind.__name__} is no part of a description")
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
    """What a run of any kind is described by: a frozen dataclass of plain values."""

    data: Data | None

    @cached_property
    def id(self) -> str:
        """Sixteen characters that stand for the whole description; never all digits."""
        return "r" + digest(plain(self))[:15]

    def pieces(self) -> set[tuple[str, str]]:
        """(kind, name) of every piece the run uses: their code decides its outcome."""
        return {("dataset", self.data.name)} if self.data else set()


@dataclass(frozen=True)
class Run(Description):
    """One model's life under a backdoor attack, or without one.

    ``pretrained``: from published weights, not from random ones. ``probes`` are the backdoors a clean model's success
    rate is measured on; with ``retraining``, the run is the one without it, gone on with.
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
        """Also its architecture, the engine that trains that, its defence and triggers."""
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
    """Runs that can train together, in a fixed order, on one dataset; what becomes of each depends on no other."""

    runs: tuple[Any, ...]

    @cached_property
    def id(self) -> str:
        """Stands for all its runs, in order."""
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
    """Runs that are alike, in order, in fleets of at most ``size``: a pure function of the grid."""
    groups: dict[str, list[Any]] = {}
    for run in runs:
        groups.setdefault(_CANONICAL.encode(alike(run)), []).append(run)
    return [
        Fleet(tuple(group[i : i + size])) for group in groups.values() for i in range(0, len(group), size)
    ]


def stacked_alike(run: Run) -> Any:
    """Runs that can share a stack: one architecture, recipe, data size and kind of defence."""
    return [
        run.architecture,
        run.pretrained,
        plain(run.recipe),
        plain(run.data),
        run.defence.name,
        run.defence.options,
    ]
