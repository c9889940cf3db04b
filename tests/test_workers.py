"""Training processes: the same outcome as in this one, started once, and none without the one that started it."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from repro import plugins
from repro.errors import ReproError
from repro.harness import workers
from repro.harness.evidence.keys import jobs
from repro.harness.evidence.store import Store
from repro.harness.execute import run_phases
from repro.harness.experiment import Experiment
from repro.harness.profile import Profile
from repro.harness.task import Task
from repro.harness.workers import Workers


def tasks(root: Path, profile: Profile) -> list[Task]:
    experiment: Experiment = plugins.load("experiment", "poison_rate").EXPERIMENT
    phase = experiment.phases[0]
    return [
        Task(root, phase.work, "cpu", False, tuple(j.run for j in own), tuple(j.key for j in own))
        for own in jobs(profile, experiment, phase)
    ]


def trained(root: Path, profile: Profile, cores: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Records by key, trained on so many cores; the second half by the processes of the first."""
    monkeypatch.setattr(workers, "cores", lambda: cores)
    waiting = tasks(root, profile)
    assert len(waiting) >= 2
    started: set[int] = set()
    with Workers("cpu", [waiting[0].work]) as pool:
        for turn in (0, 1):
            pool.train(str(turn), waiting[turn::2], ignore)
            pool.train(str(turn), waiting[:2], ignore)
            if pool._executor:
                started |= set(pool._executor._processes)
    assert len(started) == (cores if cores > 1 else 0)
    entries = {key: Store(root).entry(key) for task in waiting for key in task.keys}
    return {key: entry and entry["record"] for key, entry in entries.items()}


def ignore(line: str) -> None:
    """Say nothing."""


def test_other_processes_train_the_same(
    tmp_path: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = trained(tmp_path / "alone", profile, 1, monkeypatch)
    assert all(alone.values())
    assert trained(tmp_path / "several", profile, 2, monkeypatch) == alone


def test_a_gpu_by_name_that_is_not_there_is_said_before_anything_else(
    tmp_path: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    said: list[str] = []
    wanted = profile.model_copy(update={"device": "cuda"})
    with pytest.raises(ReproError, match=r"^device: cuda was asked for, but PyTorch sees no GPU"):
        run_phases(tmp_path, wanted, "sources", None, said.append)
    assert said == []


@pytest.mark.parametrize("error", [0.0, 1.0, -1.0, 60.0, -60.0])
def test_a_worker_of_a_process_that_is_gone_ends_at_once(error: float) -> None:
    """A process of the same number, begun at quite another time, is another one."""
    begun = psutil.Process().create_time() + error
    code = f"from repro.harness.task import begin_worker\nbegin_worker({os.getpid()}, {begun!r})"
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == (1 if abs(error) > 5 else 0)


def test_phases_are_carried_out_in_order_and_one_alone_when_asked(tmp_path: Path, profile: Profile) -> None:
    said: list[str] = []
    with pytest.raises(ReproError, match=r"^sources has no phase 'retrain': train$"):
        run_phases(tmp_path, profile, "sources", "retrain", said.append)
    run_phases(tmp_path, profile, "trigger_by_model", "train", said.append)
    run_phases(tmp_path, profile, "trigger_by_model", None, said.append)
    assert [line for line in said if " cached" in line or " to train" in line] == [
        "trigger_by_model train: 9 models to train",
        "trigger_by_model train: 9 of 9 models are cached",
        "trigger_by_model retrain: 6 models to train",
    ]


@pytest.mark.parametrize(("sizes", "cores"), [([30, 30, 7], 2), ([1], 2), ([60] * 30, 2), ([5, 5], 8)])
def test_tasks_become_smaller_towards_the_end(sizes: list[int], cores: int, tmp_path: Path) -> None:
    fleets = [
        Task(tmp_path, "work", "cpu", False, runs, tuple(map(str, runs)))
        for k, size in enumerate(sizes)
        for runs in [tuple(range(1000 * k, 1000 * k + size))]
    ]
    parts = list(workers.dealt(fleets, cores))
    assert [run for part in parts for run in part.runs] == [run for task in fleets for run in task.runs]
    assert all(part.keys == tuple(map(str, part.runs)) for part in parts)
    assert max(len(part.runs) for part in parts) <= 30
    assert len(parts) >= min(sum(sizes), 8 * cores)
    assert [len(part.runs) for part in parts[-cores:]] == [1] * len(parts[-cores:])
