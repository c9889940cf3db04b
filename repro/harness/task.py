"""Runs as a task: trained in whichever process receives it, with each run's outcome put into the store.

On a CPU every run is trained by itself, so that it cannot depend on other runs; on a GPU a task's runs are one fleet.
Training code is imported where it runs: the process that hands out tasks may not need it.
"""

import importlib
import os
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from repro import plugins
from repro.data import Dataset, load_dataset
from repro.errors import ReproError
from repro.harness.evidence.store import Store
from repro.harness.lifetime import end_with
from repro.harness.runs import Data, Fleet, digest, plain

if TYPE_CHECKING:
    import torch

_DATASETS: dict[tuple[Path, str], Dataset | None] = {}  # the dataset read last
_CLOCK_SECONDS = 5.0  # processes read each other's start times off the clock, which may be set in between


@dataclass(frozen=True)
class Task:
    """Runs of one phase to train, as values that can be sent to another process.

    ``keys`` and ``parents`` are in the order of ``runs``; ``parents`` is empty if no weights are continued from. Data
    are read below ``data_root`` if given, else below ``root``, the project's folder, whose store is filled.
    """

    root: Path
    work: str
    device: str
    keeps_weights: bool
    runs: tuple[Any, ...]
    keys: tuple[str, ...]
    parents: tuple[str, ...] = ()
    data_root: Path | None = None

    def part(self, start: int, end: int) -> "Task":
        """A task with some of its runs."""
        return replace(
            self,
            runs=self.runs[start:end],
            keys=self.keys[start:end],
            parents=self.parents[start:end],
        )


def train_task(task: Task) -> int:
    """Train a task's runs and put their outcomes into the store; returns their number."""
    from repro.harness import process

    chosen = process.device(task.device)
    size = len(task.runs) if chosen.type == "cuda" else 1
    for start in range(0, len(task.runs), size):
        _train(task.part(start, start + size), chosen)
    return len(task.runs)


def _train(task: Task, chosen: "torch.device") -> None:
    from safetensors.torch import save

    from repro.harness import process

    started = time.monotonic()
    fleet = Fleet(task.runs)
    module, _, function = task.work.partition(":")
    with plugins.observed() as loaded:
        dataset = _dataset(task.data_root or task.root, fleet.data)
        work = getattr(importlib.import_module(module), function)
        outcome = work(fleet, dataset, _parents_weights(task), chosen)
    _refuse_undeclared(task, fleet, loaded)
    about = {
        "seconds": round((time.monotonic() - started) / len(task.runs), 3),
        "device": process.device_name(chosen),
        "variant": dataset.variant if dataset else None,
    }
    for k, (key, record) in enumerate(zip(task.keys, outcome.records, strict=True)):
        own = {name: tensor[k : k + 1].contiguous() for name, tensor in outcome.weights.items()}
        Store(task.root).add(key, {"record": record, **about}, save(own) if task.keeps_weights else None)


def _dataset(root: Path, data: Data | None) -> Dataset | None:
    """The dataset; a process that trains many runs on the same one reads it once."""
    described = root, digest(plain(data))
    if described not in _DATASETS:
        _DATASETS.clear()
        _DATASETS[described] = load_dataset(data.name, root, data.limit, data.options) if data else None
    return _DATASETS[described]


def _parents_weights(task: Task) -> dict[str, "torch.Tensor"]:
    """Weights by name, one row per run's parent."""
    import torch
    from safetensors.torch import load_file

    each = [load_file(Store(task.root).weights(key)) for key in task.parents]
    return {name: torch.cat([weights[name] for weights in each]) for name in (each[0] if each else ())}


def _refuse_undeclared(task: Task, fleet: Fleet, loaded: set[tuple[str, str]]) -> None:
    """Raise ReproError for a loaded piece that is missing from the code on which the runs are said to depend."""
    undeclared = sorted(loaded - fleet.pieces())
    if not undeclared:
        return
    from repro.harness.evidence.fingerprint import code, is_covered

    declared = code(task.work, frozenset(fleet.pieces()), frozenset(map(type, fleet.runs)))
    for kind, name in undeclared:
        if not is_covered((kind, name), declared):
            raise ReproError(
                f"run {fleet.runs[0].id} loads {kind} {name!r}, which its pieces() does not name: "
                "a change of that piece would leave its evidence current"
            )


def begin_worker(parent: int, begun: float) -> None:
    """Set up a worker that only the process ``parent``, started at ``begun``, can interrupt and end."""
    from repro.harness import process

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        started_by = psutil.Process(parent)
        same = abs(started_by.create_time() - begun) < _CLOCK_SECONDS
    except psutil.NoSuchProcess:
        same = False
    if not same:  # the parent ended while this process was starting
        os._exit(1)
    end_with(started_by)
    process.prepare()
