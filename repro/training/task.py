"""A fleet as a task: trained in whichever process it reaches, its outcome put into the store.

Training code is imported where it runs: the process that hands tasks out may need none of it.
"""

import importlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from repro.data import load_dataset
from repro.evidence.files import write_json
from repro.evidence.store import RECORDS, WEIGHTS, Store
from repro.lifetime import end_with
from repro.runs import Fleet

_CLOCK_SECONDS = 5.0  # processes read when another began off the clock, which may be set in between


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
    from safetensors.torch import load_file, save_file

    from repro.training import process

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


def begin_worker(parent: int, begun: float) -> None:
    """Set a worker up, for the process ``parent`` that was ``begun`` then: interrupted and ended by that one alone."""
    from repro.training import process

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        started_by = psutil.Process(parent)
        same = abs(started_by.create_time() - begun) < _CLOCK_SECONDS
    except psutil.NoSuchProcess:
        same = False
    if not same:  # it ended while this process was starting
        os._exit(1)
    end_with(started_by)
    process.prepare()
