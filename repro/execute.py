"""Carry out a phase of an experiment: fleets not yet in the store are trained, in processes of one thread each."""

import importlib
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from safetensors.torch import load_file, save_file

from repro import plugins
from repro.data import load_dataset
from repro.errors import ReproError, WorkerLostError
from repro.evidence.files import write_json
from repro.evidence.fingerprint import phase_fingerprint
from repro.evidence.phases import ABOUT, PHASE_RECORDS, phase_folder
from repro.evidence.store import RECORDS, WEIGHTS, Store, key_of
from repro.experiments import Experiment, Phase
from repro.machine import cores
from repro.profiles import Profile
from repro.progress import Progress
from repro.runs import Fleet, digest
from repro.training import process

Say = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """One fleet to train, in values that travel to another process."""

    root: Path
    key: str
    work: str
    fleet: Fleet
    device: str
    parent: Path | None
    keeps_weights: bool


def train_task(task: Task) -> str:
    """Train a fleet and put its outcome into the store; returns its key."""
    started = time.monotonic()
    chosen = process.device(task.device)
    data = task.fleet.data
    dataset = load_dataset(data.name, task.root, data.limit, data.options) if data else None
    weights = load_file(task.parent) if task.parent else {}
    module, _, function = task.work.partition(":")
    outcome = getattr(importlib.import_module(module), function)(task.fleet, dataset, weights, chosen)
    with Store(task.root).adding(task.key) as folder:
        if task.keeps_weights:
            save_file(dict(outcome.weights), folder / WEIGHTS)
        about = {
            "seconds": round(time.monotonic() - started, 3),
            "device": process.device_name(chosen),
            "variant": dataset.variant if dataset else None,
        }
        write_json(folder / RECORDS, {"records": outcome.records, **about})
    return task.key


def _begin_worker(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.getppid() != parent:  # it ended while this process was starting
        os._exit(1)
    process.end_with(psutil.Process(parent))
    process.prepare()


def run_phase(root: Path, profile: Profile, name: str, phase_name: str, say: Say) -> None:
    """Bring a phase's folder up to date; finished fleets come from the store, and are said to."""
    experiment: Experiment = plugins.load("experiment", name).EXPERIMENT
    phase = next((p for p in experiment.phases if p.name == phase_name), None)
    if phase is None:
        raise ReproError(
            f"{name} has no phase {phase_name!r}: {', '.join(p.name for p in experiment.phases)}"
        )
    if name in profile.leaves_out:
        say(f"{name} {phase_name}: left out: {profile.leaves_out[name]}")
        folder = phase_folder(root, profile.name, name, phase_name)
        write_json(folder / "left_out.json", {"left out": profile.leaves_out[name]})
        return
    store = Store(root)
    fingerprint = phase_fingerprint(profile, phase)
    fleets = phase.fleets(profile)
    keys = [key_of(profile, phase, fingerprint, fleet) for fleet in fleets]
    chosen = process.device(profile.device)
    workers = 1 if chosen.type == "cuda" else cores()
    with store.locked():
        pending = [
            Task(
                root,
                key,
                phase.work,
                fleet,
                profile.device,
                _parent(root, profile, name, phase, fleet),
                phase.keeps_weights,
            )
            for key, fleet in zip(keys, fleets, strict=True)
            if store.entry(key) is None
        ]
        if len(pending) < len(fleets):
            say(f"{name} {phase_name}: {len(fleets) - len(pending)} of {len(fleets)} fleets are cached")
        _train_all(pending, workers, Progress(f"{name} {phase_name}", len(pending), "fleets", say))
        _collect(root, profile, name, phase, dict(zip(keys, fleets, strict=True)), fingerprint, workers)


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


def _train_all(pending: list[Task], workers: int, progress: Progress) -> None:
    if min(len(pending), workers) <= 1:
        process.prepare()
        for task in pending:
            train_task(task)
            progress.advance()
        return
    executor = ProcessPoolExecutor(
        min(workers, len(pending)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin_worker,
        initargs=(os.getpid(),),
    )
    lost = "a training process was killed (out of memory?); finished fleets are kept, run again to go on"
    try:
        waiting = {executor.submit(train_task, task) for task in pending}
    except (BrokenProcessPool, OSError, ValueError):
        # One that is killed while others are being started takes their pipes away, in one of several ways.
        raise WorkerLostError(lost) from None
    try:
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
                progress.advance()
    except BrokenProcessPool:
        # The pool is left as it is: taking down a broken one can wait for ever, and workers end with this process.
        raise WorkerLostError(lost) from None
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    executor.shutdown()


def _collect(
    root: Path,
    profile: Profile,
    name: str,
    phase: Phase,
    fleets: dict[str, Fleet],
    fingerprint: dict[str, Any],
    workers: int,
) -> None:
    store, folder = Store(root), phase_folder(root, profile.name, name, phase.name)
    entries = {key: store.records(key) for key in fleets}
    records: dict[str, Any] = {record["run"]: record for key in fleets for record in entries[key]["records"]}
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
            "device": ", ".join(sorted({entry["device"] for entry in entries.values()})),
            "variant": next((entry["variant"] for entry in entries.values()), None),
            "threads": 1,
            "workers": workers,
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
