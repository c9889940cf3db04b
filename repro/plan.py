"""The plan of a profile: a fingerprint file a phase, on which DVC's stages depend, and what is still to be done.

The files change when, and only when, something changes on which that phase's outcome depends; so DVC runs what has to
run, however the code is spread over files. No training code is imported.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro import plugins
from repro.evidence.files import write_json
from repro.evidence.fingerprint import PACKAGE, evidence_fingerprint, evidence_path
from repro.evidence.phases import ABOUT, phase_folder
from repro.evidence.store import Store, key_of
from repro.evidence.table import checksum
from repro.experiments import Experiment
from repro.machine import cores
from repro.profiles import Profile
from repro.progress import duration
from repro.runs import digest


def _files(package: str) -> dict[str, str]:
    """Checksums of a package's sources and data."""
    folder = PACKAGE / package
    return {
        str(path.relative_to(folder)): checksum(path)
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".py", ".yaml")
    }


@dataclass(frozen=True)
class Cost:
    """What an experiment costs: fleets in all, fleets to train, models in all, and seconds of one core, if known."""

    experiment: str
    fleets: int
    pending: int
    models: int
    seconds: float | None


def write_plan(root: Path, profile: Profile) -> None:
    """Write a file for the data, a phase, a table, the claims and the report below ``data/plan/<profile>/``."""
    folder = root / "data" / "plan" / profile.name
    piece = plugins.load("dataset", profile.data.name)
    write_json(folder / "data.json", {"name": profile.data.name, "sha256": piece.checksum()})
    facts = digest(profile.model_dump(mode="json"))
    for package in ("claims", "report"):
        write_json(folder / f"{package}.json", {"profile": facts, "files": _files(package)})
    for name in profile.experiments:
        fingerprint = evidence_fingerprint(profile, name)
        for phase, content in fingerprint["phases"].items():
            write_json(folder / f"{name}.{phase}.json", content)
        write_json(folder / f"{name}.evidence.json", fingerprint)


def costs(root: Path, profile: Profile) -> list[Cost]:
    """The cost of each of the profile's experiments, from the time its evidence took when it was last made."""
    store = Store(root)
    found = []
    for name in profile.experiments:
        experiment: Experiment = plugins.load("experiment", name).EXPERIMENT
        fingerprint = evidence_fingerprint(profile, name)["phases"]
        total = pending = models = 0
        for phase in experiment.phases:
            fleets = phase.fleets(profile)
            folder = phase_folder(root, profile.name, name, phase.name)
            done = _is_current(folder, fingerprint[phase.name])
            keys = [key_of(profile, phase, fingerprint[phase.name], fleet) for fleet in fleets]
            total += len(fleets)
            models += sum(len(fleet.runs) for fleet in fleets)
            pending += 0 if done else sum(store.entry(key) is None for key in keys)
        found.append(Cost(name, total, pending, models, _measured_seconds(root, profile, name)))
    return found


def _is_current(folder: Path, fingerprint: dict[str, Any]) -> bool:
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(about.get("fingerprint") == digest(fingerprint))


def _measured_seconds(root: Path, profile: Profile, name: str) -> float | None:
    path = evidence_path(root, profile.name, name).with_suffix(".provenance.json")
    try:
        seconds: float = json.loads(path.read_text(encoding="utf-8"))["seconds"]
    except (OSError, ValueError, KeyError):
        return None
    return seconds


def estimate(root: Path, profile: Profile) -> tuple[float, list[Cost]]:
    """(wall seconds on this machine for what is still to be trained, the costs behind it).

    An experiment never measured is left out of the seconds.
    """
    listed = costs(root, profile)
    core_seconds = sum(c.seconds * c.pending / c.fleets for c in listed if c.seconds and c.fleets)
    return core_seconds / (1 if profile.device == "cuda" else cores()), listed


def announce(root: Path, profile: Profile) -> str:
    """What is still to be trained, an experiment a line, and how long it is going to take."""
    seconds, listed = estimate(root, profile)
    waiting = [cost for cost in listed if cost.pending]
    if not waiting:
        return f"{profile.name}: all {sum(c.fleets for c in listed)} fleets are trained; nothing to train"
    lines = [
        f"{profile.name}: {c.experiment}: {c.pending} of {c.fleets} fleets to train, {c.models} models in all"
        for c in waiting
    ]
    unknown = [c.experiment for c in waiting if c.seconds is None]
    about = f"about {duration(seconds)} on {cores()} cores, going by the time the evidence took"
    if unknown:
        about += f" (not counting {', '.join(unknown)}: never measured)"
    return "\n".join([*lines, f"{profile.name}: {about}"])
