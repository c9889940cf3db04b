"""The plan of a profile: a fingerprint file an experiment, on which DVC's stages depend, and what is still to be done.

The files change when, and only when, something changes on which that phase's outcome depends; so DVC runs what has to
run, however the code is spread over files. No training code is imported, and nothing is timed.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro import plugins
from repro.data import describe
from repro.files import checksum, write_json
from repro.harness.evidence.definitions import PACKAGE
from repro.harness.evidence.equivalence import resolved
from repro.harness.evidence.fingerprint import evidence_fingerprint, evidence_path, phase_digest
from repro.harness.evidence.keys import Job, jobs
from repro.harness.evidence.phases import ABOUT, phase_folder
from repro.harness.evidence.store import Store
from repro.harness.experiment import Experiment
from repro.harness.needs import memory_bytes, trains, weight_bytes
from repro.harness.profile import Profile
from repro.harness.runs import Fleet, digest
from repro.harness.timing import at_most, read_timings


def _files(package: str) -> dict[str, str]:
    """Checksums of a package's sources, and of what papers add: claims to ``claims``, everything to ``report``."""
    found = _below(PACKAGE / package)
    for claims in plugins.claims_files():
        paper = claims.parent.name
        own = {claims.name: checksum(claims)} if package == "claims" else _below(claims.parent)
        found |= {f"{paper}/{file}": sum_ for file, sum_ in own.items()}
    return found


def _below(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): checksum(path)
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".py", ".yaml")
    }


Fingerprints = dict[str, dict[str, Any]]
"""By experiment."""


@dataclass(frozen=True)
class Cost:
    """What an experiment costs.

    models, pending: in all, still to train; one that several experiments describe is pending in the first alone.
    seconds: of one core, as its evidence took in all, on ``device``; None when never measured. estimated: what is
    pending takes at most these seconds of one core, from ``kinds`` of steps that were timed here; None when these were
    not. memory: bytes of the largest process. weights: bytes of the pending weights, not counting architectures of
    ``unsized``.
    """

    experiment: str
    models: int
    pending: int
    seconds: float | None
    device: str | None
    estimated: float | None
    kinds: frozenset[str]
    memory: int
    weights: int
    unsized: frozenset[str]


def fingerprints(profile: Profile) -> Fingerprints:
    """What each of the profile's experiments depends on."""
    return {name: evidence_fingerprint(profile, name) for name in profile.experiments}


def write_plan(root: Path, profile: Profile, known: Fingerprints | None = None) -> None:
    """Write a file for the data, an experiment, the claims and the report below ``data/plan/<profile>/``.

    ``known``: the profile's ``fingerprints``, where they have been computed already. DVC has stages for every
    experiment: the files of one that the profile leaves out say why.
    """
    folder = root / "data" / "plan" / profile.name
    data = {
        "name": profile.data.name,
        "sha256": describe(profile.data.name, profile.data.options, root).checksum,
    }
    write_json(
        folder / "data.json", data | ({"options": profile.data.options} if profile.data.options else {})
    )
    facts = digest(profile.model_dump(mode="json"))
    for package in ("claims", "report"):
        write_json(folder / f"{package}.json", {"profile": facts, "files": _files(package)})
    for name, fingerprint in (known or fingerprints(profile)).items():
        write_json(folder / f"{name}.json", resolved(root, profile.name, name, fingerprint))
    for name, reason in profile.leaves_out.items():
        write_json(folder / f"{name}.json", {"left out": reason})


def costs(root: Path, profile: Profile, known: Fingerprints | None = None) -> list[Cost]:
    """The cost of each of the profile's experiments that it does not leave out."""
    store = Store(root)
    done = {kept: store.finished(with_weights=kept) for kept in (False, True)}
    return [
        _cost(root, profile, name, resolved(root, profile.name, name, fingerprint), done)
        for name, fingerprint in (known or fingerprints(profile)).items()
    ]


def _cost(
    root: Path, profile: Profile, name: str, fingerprint: dict[str, Any], done: dict[bool, set[str]]
) -> Cost:
    """``done``: keys of the store, by whether these have weights; what is found pending is added to them."""
    experiment: Experiment = plugins.load("experiment", name).EXPERIMENT
    timings = read_timings(root, profile.name)
    models = memory = weights = pending_models = 0
    training: list[Fleet] = []
    unsized: set[str] = set()
    needed: dict[str, list[Job]] = {}
    """By phase, what later phases continue from and is not there."""
    for phase in reversed(experiment.phases):
        every = jobs(profile, experiment, phase)
        models += sum(map(len, every))
        current = _is_current(
            phase_folder(root, profile.name, name, phase.name), phase_digest(fingerprint, phase.name)
        )
        every = [needed.get(phase.name, [])] if current else every
        pending = [
            left for own in every if (left := [j for j in own if j.key not in done[phase.keeps_weights]])
        ]
        for job in (job for own in pending for job in own):
            done[False].add(job.key)
            if phase.keeps_weights:
                done[True].add(job.key)
            if job.parent and job.parent.key not in done[True]:
                needed.setdefault(job.parent.phase.name, []).append(job.parent)
        for own in pending:
            fleet = Fleet(tuple(job.run for job in own))
            pending_models += len(own)
            training += [fleet] if trains(phase) else []
            together = [fleet] if profile.device == "cuda" else [Fleet((run,)) for run in fleet.runs]
            memory = max(memory, *(memory_bytes(profile, phase, part) for part in together))
            held, unknown = weight_bytes(profile, fleet) if phase.keeps_weights else (0, set())
            weights += held
            unsized |= unknown
    seconds, device = _measured(root, profile, name)
    estimated, kinds = at_most(profile, training, timings) or (None, set())
    return Cost(
        experiment=name,
        models=models,
        pending=pending_models,
        seconds=seconds,
        device=device,
        estimated=estimated,
        kinds=frozenset(kinds),
        memory=memory,
        weights=weights,
        unsized=frozenset(unsized),
    )


def _is_current(folder: Path, fingerprint: str) -> bool:
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(about.get("fingerprint") == fingerprint)


def _measured(root: Path, profile: Profile, name: str) -> tuple[float | None, str | None]:
    """(seconds, device) that the evidence took."""
    path = evidence_path(root, profile.name, name).with_suffix(".provenance.json")
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
        return float(made["seconds"]), str(made.get("device", "cpu"))
    except (OSError, ValueError, KeyError, TypeError):
        return None, None
