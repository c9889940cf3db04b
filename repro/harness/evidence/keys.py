"""The keys of the store: digests of everything that a run's outcome depends on."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from repro.harness.evidence.equivalence import code_root
from repro.harness.evidence.fingerprint import Pieces, code, data_facts, packages
from repro.harness.experiment import Experiment, Phase
from repro.harness.profile import Profile
from repro.harness.runs import Fleet, digest


@dataclass(frozen=True)
class Job:
    """A run of a phase, the key of its outcome, and the job whose weights it continues from."""

    phase: Phase
    run: Any
    key: str
    parent: "Job | None" = None


def jobs(profile: Profile, experiment: Experiment, phase: Phase) -> list[list[Job]]:
    """A phase's jobs by fleet, without repetition."""
    seen: set[str] = set()
    found = []
    for fleet in phase.planned(profile):
        own = [job for job in _jobs(profile, experiment, phase, fleet) if job.key not in seen]
        seen |= {job.key for job in own}
        found.append(own)
    return [own for own in found if own]


def _jobs(profile: Profile, experiment: Experiment, phase: Phase, fleet: Fleet) -> Iterator[Job]:
    parents: list[Job | None] = [None] * len(fleet.runs)
    if phase.parent is not None:
        after = next(before for before in experiment.phases if before.name == phase.after)
        parents = list(_jobs(profile, experiment, after, phase.parent(profile, fleet)))
    common = _common(profile, phase)
    for run, parent in zip(fleet.runs, parents, strict=True):
        kind: Any = type(run)
        own = code_root(_code(phase.work, frozenset(run.pieces()), kind))
        described = " ".join([common, own, run.id, parent.key if parent else "-"])
        key = hashlib.sha256(described.encode()).hexdigest()[:32]
        yield Job(phase, run, key, parent)


_shared: dict[Phase, tuple[Profile, str]] = {}


def _common(profile: Profile, phase: Phase) -> str:
    """A digest of what the keys of all of a phase's runs have in common; computed once for a profile."""
    described, found = _shared.get(phase, (None, ""))
    if described is not profile:
        data = next((fleet.data for fleet in phase.planned(profile) if fleet.data), None)
        found = digest([phase.work, data_facts(data), profile.device, packages()])
        _shared[phase] = profile, found
    return found


@cache
def _code(work: str, pieces: Pieces, kind: Any) -> str:
    """A digest of the code of a run of that kind that names these pieces."""
    return digest(code(work, pieces, frozenset({kind})))
