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
from repro.evidence.files import write_json
from repro.evidence.fingerprint import PACKAGE, evidence_fingerprint, evidence_path
from repro.evidence.phases import ABOUT, phase_folder
from repro.evidence.store import Store, key_of
from repro.evidence.table import checksum
from repro.experiments import Experiment
from repro.needs import memory_bytes, trains, weight_bytes
from repro.profiles import Profile
from repro.runs import Fleet, digest
from repro.timing import at_most, read_timings


def _files(package: str) -> dict[str, str]:
    """Checksums of a package's sources and data."""
    folder = PACKAGE / package
    return {
        str(path.relative_to(folder)): checksum(path)
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".py", ".yaml")
    }


Fingerprints = dict[str, dict[str, Any]]
"""By experiment."""


@dataclass(frozen=True)
class Cost:
    """What an experiment costs.

    fleets, pending, models: in all, still to train, in all. seconds: of one core, as its evidence took in all, on
    ``device``; None when never measured. estimated: what is pending takes at most these seconds of one core, from
    ``kinds`` of steps that were timed here; None when these were not. memory: bytes of the largest process. weights:
    bytes of one copy of the pending weights, not counting architectures of ``unsized``.
    """

    experiment: str
    fleets: int
    pending: int
    models: int
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
        write_json(folder / f"{name}.json", fingerprint)
    for name, reason in profile.leaves_out.items():
        write_json(folder / f"{name}.json", {"left out": reason})


def costs(root: Path, profile: Profile, known: Fingerprints | None = None) -> list[Cost]:
    """The cost of each of the profile's experiments that it does not leave out."""
    return [
        _cost(root, profile, name, every["phases"])
        for name, every in (known or fingerprints(profile)).items()
    ]


def _cost(root: Path, profile: Profile, name: str, fingerprint: dict[str, Any]) -> Cost:
    experiment: Experiment = plugins.load("experiment", name).EXPERIMENT
    store, timings = Store(root), read_timings(root, profile.name)
    total = pending_fleets = models = memory = weights = 0
    training: list[Fleet] = []
    unsized: set[str] = set()
    for phase in experiment.phases:
        fleets = phase.fleets(profile)
        total += len(fleets)
        models += sum(len(fleet.runs) for fleet in fleets)
        if _is_current(phase_folder(root, profile.name, name, phase.name), fingerprint[phase.name]):
            continue
        keys = [key_of(profile, phase, fingerprint[phase.name], fleet) for fleet in fleets]
        pending = [fleet for key, fleet in zip(keys, fleets, strict=True) if store.entry(key) is None]
        pending_fleets += len(pending)
        training += pending if trains(phase) else []
        memory = max([memory, *(memory_bytes(profile, phase, fleet) for fleet in pending)])
        for fleet in pending if phase.keeps_weights else []:
            held, unknown = weight_bytes(profile, fleet)
            weights += held
            unsized |= unknown
    seconds, device = _measured(root, profile, name)
    estimated, kinds = at_most(profile, training, timings) or (None, set())
    return Cost(
        experiment=name,
        fleets=total,
        pending=pending_fleets,
        models=models,
        seconds=seconds,
        device=device,
        estimated=estimated,
        kinds=frozenset(kinds),
        memory=memory,
        weights=weights,
        unsized=frozenset(unsized),
    )


def _is_current(folder: Path, fingerprint: dict[str, Any]) -> bool:
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(about.get("fingerprint") == digest(fingerprint))


def _measured(root: Path, profile: Profile, name: str) -> tuple[float | None, str | None]:
    """(seconds, device) that the evidence took."""
    path = evidence_path(root, profile.name, name).with_suffix(".provenance.json")
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
        return float(made["seconds"]), str(made.get("device", "cpu"))
    except (OSError, ValueError, KeyError, TypeError):
        return None, None
