"""Carry out phases of an experiment: runs that are not yet in the store are trained."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from repro import plugins
from repro.errors import ReproError
from repro.files import write_json
from repro.harness.evidence.equivalence import resolved
from repro.harness.evidence.fingerprint import evidence_fingerprint, phase_digest
from repro.harness.evidence.keys import Job, jobs
from repro.harness.evidence.phases import ABOUT, PHASE_RECORDS, phase_folder
from repro.harness.evidence.store import Store
from repro.harness.experiment import Experiment
from repro.harness.machine import cores
from repro.harness.profile import Profile
from repro.harness.task import Task
from repro.harness.workers import Workers

Say = Callable[[str], None]
Entries = dict[str, dict[str, Any]]
"""The store's entries by key."""


def run_phases(root: Path, profile: Profile, name: str, only: str | None, say: Say) -> None:
    """Bring an experiment's phases, or one of them, up to date; finished runs come from the store, as reported."""
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
        from repro.harness import process

        process.device(profile.device)  # if there is none, nothing is touched
    fingerprint = resolved(root, profile.name, name, evidence_fingerprint(profile, name))
    works = [phase.work for phase in experiment.phases]
    with Store(root).locked(), Workers(profile.device, works) as workers:
        for phase in phases:
            wanted = jobs(profile, experiment, phase)
            entries = _bring(root, profile, name, wanted, workers, say)
            _collect(
                phase_folder(root, profile.name, name, phase.name),
                phase_digest(fingerprint, phase.name),
                wanted,
                entries,
            )


def _bring(
    root: Path, profile: Profile, name: str, wanted: list[list[Job]], workers: Workers, say: Say
) -> Entries:
    """The store's entries of one phase's jobs, by fleet; missing ones are made, their parents first."""
    phase, store = wanted[0][0].phase, Store(root)
    entries = _read(store, wanted, store.finished(phase.keeps_weights))
    count = sum(map(len, wanted))
    pending = [left for own in wanted if (left := [job for job in own if job.key not in entries])]
    if entries:
        say(f"{name} {phase.name}: {len(entries)} of {count} models are cached")
    if not pending:
        return entries
    missing = _missing_parents(store, pending)
    if missing:
        _bring(root, profile, name, missing, workers, say)
    workers.train(f"{name} {phase.name}", [_task(root, profile, own) for own in pending], say)
    made = _read(store, pending, store.finished())
    for job in (job for own in pending for job in own if job.key not in made):
        raise ReproError(f"{store.folder}: entry {job.key} vanished; run again")
    return entries | made


def _read(store: Store, wanted: list[list[Job]], among: set[str]) -> Entries:
    """Complete entries by key, from those ``among``."""
    found = {job.key: store.entry(job.key) for own in wanted for job in own if job.key in among}
    return {key: entry for key, entry in found.items() if entry is not None}


def _missing_parents(store: Store, pending: list[list[Job]]) -> list[list[Job]]:
    """Jobs that have to be done first, by fleet, without repetition."""
    done = store.finished(with_weights=True)
    found = []
    for own in pending:
        parents = {job.parent.key: job.parent for job in own if job.parent and job.parent.key not in done}
        done |= parents.keys()
        found.append(list(parents.values()))
    return [parents for parents in found if parents]


def _task(root: Path, profile: Profile, own: list[Job]) -> Task:
    phase = own[0].phase
    return Task(
        root=root,
        work=phase.work,
        device=profile.device,
        keeps_weights=phase.keeps_weights,
        runs=tuple(job.run for job in own),
        keys=tuple(job.key for job in own),
        parents=tuple(job.parent.key for job in own if job.parent),
    )


def _collect(folder: Path, fingerprint: str, wanted: list[list[Job]], entries: Entries) -> None:
    """Put a phase's records where the stages after it look for them."""
    records = {job.run.id: entries[job.key]["record"] for own in wanted for job in own}
    devices = sorted({entry["device"] for entry in entries.values()})
    beside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    write_json(beside / PHASE_RECORDS, records)
    write_json(
        beside / ABOUT,
        {
            "fingerprint": fingerprint,
            "device": ", ".join(devices),
            "variant": next((entry["variant"] for entry in entries.values()), None),
            "threads": 1,
            "workers": cores() if devices == ["cpu"] else 1,
            "seconds": round(sum(entry["seconds"] for entry in entries.values()), 1),
        },
    )
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(beside, folder)
