"""The runs that witness for all others: the cheapest of each kind, and some redrawn for every change of code."""

import random
from collections.abc import Mapping
from typing import Any

from repro import plugins
from repro.harness.experiment import Experiment
from repro.harness.profile import Profile
from repro.harness.runs import digest, plain

Chosen = dict[str, dict[str, list[str]]]
"""Run ids by experiment, then phase."""
_DRAWN = 2


def witnesses(
    profile: Profile, phases: Mapping[str, set[str]], seed: str, seconds: Mapping[str, float]
) -> Chosen:
    """Runs of some ``phases`` by experiment: one run of every kind, and a few runs of every phase drawn from ``seed``.

    A kind is given by the work, the pieces and the shape of the description: which parts it has, not their numbers.
    Each piece of each phase is thus among them. Of runs of the same kind, one is taken whose experiment took the fewest
    ``seconds`` per run. As the seed is derived from the changed code, nobody can choose which runs are checked.
    """
    every = {
        (name, phase.name, phase.work): [run for fleet in phase.planned(profile) for run in fleet.runs]
        for name in phases
        for phase in _experiment(name).phases
        if phase.name in phases[name]
    }
    each = {
        name: seconds[name] / sum(len(runs) for key, runs in every.items() if key[0] == name)
        for name in phases
    }
    chosen: Chosen = {}
    kinds: set[str] = set()
    for (name, phase, work), runs in sorted(every.items(), key=lambda item: (each[item[0][0]], item[0])):
        own = chosen.setdefault(name, {}).setdefault(phase, [])
        for run in runs:
            kind = digest([work, sorted(run.pieces()), _shape(plain(run))])
            if kind not in kinds:
                kinds.add(kind)
                own.append(run.id)
        left = [run.id for run in runs if run.id not in own]
        own += random.Random(f"{seed}/{name}/{phase}").sample(left, min(_DRAWN, len(left)))
    return chosen


def _experiment(name: str) -> Experiment:
    experiment: Experiment = plugins.load("experiment", name).EXPERIMENT
    return experiment


def _shape(value: Any) -> Any:
    """A description without its numbers and its unit's name; only the first entry of a list."""
    if isinstance(value, dict):
        return {name: _shape(part) for name, part in value.items() if name != "unit"}
    if isinstance(value, list):
        return [_shape(part) for part in value[:1]]
    return value if isinstance(value, str | bool | None) else type(value).__name__
