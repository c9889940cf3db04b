"""Training processes: the same outcome as in this one, started once, and none without the one that started it."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from repro import plugins, workers
from repro.errors import ReproError
from repro.evidence.fingerprint import phase_fingerprint
from repro.evidence.store import Store, key_of
from repro.execute import run_phases
from repro.experiments import Phase
from repro.profiles import Profile
from repro.training.task import Task
from repro.workers import Workers


def tasks(root: Path, profile: Profile) -> list[Task]:
    phase: Phase = plugins.load("experiment", "poison_rate").EXPERIMENT.phases[0]
    fingerprint = phase_fingerprint(profile, phase)
    return [
        Task(root, key_of(profile, phase, fingerprint, fleet), phase.work, fleet, "cpu", None, False)
        for fleet in phase.fleets(profile)
    ]


def trained(root: Path, profile: Profile, cores: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Records by key, trained on so many cores; the second half by the processes of the first."""
    monkeypatch.setattr(workers, "cores", lambda: cores)
    waiting = tasks(root, profile)
    assert len(waiting) >= 2
    started: set[int] = set()
    with Workers("cpu", [waiting[0].work]) as pool:
        for turn in ("a", "b"):
            pool.train(
                turn, [task for task in waiting if (int(task.key, 16) % 2 == 0) == (turn == "a")], ignore
            )
            pool.train(turn, waiting[:2], ignore)
            if pool._executor:
                started |= set(pool._executor._processes)
    assert len(started) == (cores if cores > 1 else 0)
    return {task.key: Store(root).records(task.key)["records"] for task in waiting}


def ignore(line: str) -> None:
    """Say nothing."""


def test_other_processes_train_the_same(
    tmp_path: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = trained(tmp_path / "alone", profile, 1, monkeypatch)
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
    code = f"from repro.training.task import begin_worker\nbegin_worker({os.getpid()}, {begun!r})"
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == (1 if abs(error) > 5 else 0)


def test_phases_are_carried_out_in_order_and_one_alone_when_asked(tmp_path: Path, profile: Profile) -> None:
    said: list[str] = []
    with pytest.raises(ReproError, match=r"^sources has no phase 'retrain': train$"):
        run_phases(tmp_path, profile, "sources", "retrain", said.append)
    with pytest.raises(ReproError, match=r"its weights of phase train are missing; run that first$"):
        run_phases(tmp_path, profile, "trigger_by_model", "retrain", said.append)
    run_phases(tmp_path, profile, "trigger_by_model", "train", said.append)
    run_phases(tmp_path, profile, "trigger_by_model", None, said.append)
    assert [line for line in said if " cached" in line or " to train" in line] == [
        "trigger_by_model train: 3 fleets to train",
        "trigger_by_model train: 3 of 3 fleets are cached",
        "trigger_by_model retrain: 2 fleets to train",
    ]
