"""Experiments: one file per table or figure, each a named grid of runs and how its rows are computed.

A piece defines ``Settings``, what a profile may set, and ``EXPERIMENT``. Importing it imports no training code: a phase
names the function that does its work, which is looked up where the work is done.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from repro.harness.evidence.table import Row
from repro.harness.profile import Profile
from repro.harness.runs import Fleet

Record = dict[str, Any]
Records = Mapping[str, Mapping[str, Record]]
"""What the work function recorded, by phase and then by run id."""


@dataclass(frozen=True)
class Phase:
    """A step of an experiment.

    ``work`` is ``module:function``; ``after`` names the phase from whose weights it continues, run by run: ``parent``
    gives that phase's runs in the order of a fleet's runs. Weights are kept only if a later phase needs them.
    """

    name: str
    work: str
    fleets: Callable[[Profile], list[Fleet]]
    after: str | None = None
    parent: Callable[[Profile, Fleet], Fleet] | None = None
    keeps_weights: bool = False

    def planned(self, profile: Profile) -> list[Fleet]:
        """The phase's fleets, described once for a profile."""
        described, found = _planned.get(self, (None, []))
        if described is not profile:
            found = self.fleets(profile)
            _planned[self] = profile, found
        return found


_planned: dict[Phase, tuple[Profile, list[Fleet]]] = {}


@dataclass(frozen=True)
class Experiment:
    """A grid of runs behind one table or figure. ``rows`` turns records into evidence, in a fixed order."""

    paper: str
    reproduces: str
    phases: tuple[Phase, ...]
    rows: Callable[[Profile, Records], list[Row]]


@dataclass(frozen=True)
class Unit:
    """One partition seed and one poison (or target) class; the partition belongs to this unit alone."""

    name: str
    partition_seed: int
    poison_class: int


def units(first_seed: int, count: int, classes: int) -> list[Unit]:
    """``count`` units with consecutive partition seeds, the classes taking turns."""
    return [Unit(f"u{i:03d}", first_seed + i, i % classes) for i in range(count)]
