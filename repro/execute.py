"""Carry out phases of an experiment: fleets not yet in the store are trained."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from repro import plugins
from repro.errors import ReproError
from repro.evidence.files import write_json
from repro.evidence.fingerprint import phase_fingerprint
from repro.evidence.phases import ABOUT, PHASE_RECORDS, phase_folder
from repro.evidence.store import WEIGHTS, Store, key_of
from repro.experiments import Experiment, Phase
from repro.machine import cores
from repro.profiles import Profile
from repro.runs import Fleet, digest
from repro.training.task import Task
from repro.workers import Workers

Say = Callable[[str], None]


def run_phases(root: Path, profile: Profile, name: str, only: str | None, say: Say) -> None:
    """Bring an experiment's phases, or one of them, up to date; finished fleets come from the store, as is said."""
    experiment: Experiment = plugins.load("experiment", name).EXPERIMENT
    phases = [phase for phase in experiment.phases if only in (None, phase.name)]
    if not phases:
        raise ReproError(f"{name} has no phase {only!r}: {', '.join(p.name for p in experiment.phases)}")
    if name in profile.leaves_out:
        for phase in phases:
            say(f"{name} {phase.name}: left out: {profile.leaves_out[name]}")
            folder = phase_folder(root, profile.name, name, phase.name)
            write_json(folder / "left_out.json", {"left out": profile.leaves_out[name]})
        return
    if profile.device == "cuda":
        from repro.training import process

        process.device(profile.device)  # where there is none, nothing is touched
    works = [phase.work for phase in phases]
    with Store(root).locked(), Workers(profile.device, works) as workers:
        for phase in phases:
            _run_phase(root, profile, name, phase, workers, say)


def _run_phase(root: Path, profile: Profile, name: str, phase: Phase, workers: Workers, say: Say) -> None:
    store, fingerprint = Store(root), phase_fingerprint(profile, phase)
    fleets = {key_of(profile, phase, fingerprint, fleet): fleet for fleet in phase.fleets(profile)}
    pending = [key for key in fleets if store.entry(key) is None]
    if len(pending) < len(fleets):
        say(f"{name} {phase.name}: {len(fleets) - len(pending)} of {len(fleets)} fleets are cached")
    tasks = [
        Task(
            root=root,
            key=key,
            work=phase.work,
            fleet=fleets[key],
            device=profile.device,
            parent=_parent(root, profile, name, phase, fleets[key]),
            keeps_weights=phase.keeps_weights,
        )
        for key in pending
    ]
    if tasks:
        workers.train(f"{name} {phase.name}", tasks, say)
    _collect(root, profile, name, phase, fleets, fingerprint)


def _parent(root: Path, profile: Profile, name: str, phase: Phase, fleet: Fleet) -> Path | None:
    if phase.after is None or phase.parent is None:
        return None
    path = (
        phase_folder(root, profile.name, name, phase.after) / f"{phase.parent(profile, fleet).id}.safetensors"
    )
    if not path.is_file():
        raise ReproError(
            f"{name} {phase.name}: its weights of phase {phase.after} are missing; run that first"
        )
    return path


def _collect(
    root: Path,
    profile: Profile,
    name: str,
    phase: Phase,
    fleets: dict[str, Fleet],
    fingerprint: dict[str, Any],
) -> None:
    store, folder = Store(root), phase_folder(root, profile.name, name, phase.name)
    entries = {key: store.records(key) for key in fleets}
    records: dict[str, Any] = {record["run"]: record for key in fleets for record in entries[key]["records"]}
    devices = sorted({entry["device"] for entry in entries.values()})
    beside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    if phase.keeps_weights:
        for key, fleet in fleets.items():
            _link_or_copy(store.folder / key / WEIGHTS, beside / f"{fleet.id}.safetensors")
    write_json(beside / PHASE_RECORDS, records)
    write_json(
        beside / ABOUT,
        {
            "fingerprint": digest(fingerprint),
            "device": ", ".join(devices),
            "variant": next((entry["variant"] for entry in entries.values()), None),
            "threads": 1,
            "workers": cores() if devices == ["cpu"] else 1,
            "seconds": round(sum(entry["seconds"] for entry in entries.values()), 1),
        },
    )
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(beside, folder)


def _link_or_copy(source: Path, target: Path) -> None:
    """The store's file under another name too: weights are on disk once where the file system can."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
