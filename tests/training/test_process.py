"""What a training process sets up, and that it ends when its parent does."""

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from repro.errors import ReproError
from repro.training import process


def python(code: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
        start_new_session=True,
    )


def ended_within(pid: int, seconds: float) -> bool:
    try:
        watched = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return True
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not watched.is_running() or watched.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_a_training_process_computes_on_one_thread() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        process.prepare()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_kept() -> None:
    """In a process of its own; the one without is forked off before, as what it frees changes glibc's thresholds."""
    code = """
import os, psutil
from repro.training.process import keep_freed_memory
def kept():
    before = psutil.Process().memory_info().rss
    blocks = [b"x" * 2**24 for _ in range(6)]
    del blocks
    print((psutil.Process().memory_info().rss - before) / 2**20, flush=True)
without = os.fork()
if not without:
    kept()
    os._exit(0)
os.waitpid(without, 0)
keep_freed_memory()
kept()
"""
    output, _ = python(code).communicate(timeout=60)
    without, kept = map(float, output.split())
    assert without < 20
    assert kept > 70


def test_asking_for_a_gpu_by_name_where_there_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    wanted = "^device: cuda was asked for, but PyTorch sees no GPU; use device: auto or cpu$"
    with pytest.raises(ReproError, match=wanted):
        process.device("cuda")
    assert process.device("auto") == process.device("cpu") == torch.device("cpu")
    assert process.device_name(process.device("cpu")) == "cpu"


def test_a_gpu_is_taken_where_there_is_one_unless_the_cpu_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda chosen: f"a GPU ({chosen.type})")
    assert process.device("auto") == process.device("cuda") == torch.device("cuda")
    assert process.device("cpu") == torch.device("cpu")
    assert process.device_name(torch.device("cuda")) == "a GPU (cuda)"


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_a_process_ends_soon_after_the_one_it_watches() -> None:
    watched = python("import time; time.sleep(60)")
    watching = python(
        "import sys, time, psutil\n"
        "from repro.training import process\n"
        f"process.end_with(psutil.Process({watched.pid}))\n"
        "print('watching', flush=True)\n"
        "time.sleep(60)\n"
    )
    try:
        assert watching.stdout is not None
        assert watching.stdout.readline() == "watching\n"
        time.sleep(1)
        assert watching.poll() is None
        watched.kill()
        assert watching.wait(timeout=10) == 128 + signal.SIGTERM
    finally:
        for started in (watched, watching):
            started.kill()
            started.communicate()


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
@pytest.mark.parametrize("in_stage", [True, False])
def test_a_stage_ends_when_dvc_is_killed_and_nothing_ends_outside_one(tmp_path: Path, in_stage: bool) -> None:
    """``dvc`` runs a shell, which runs the stage; killing ``dvc`` kills neither by itself."""
    stage = tmp_path / "stage.py"
    stage.write_text(
        "import time\nfrom repro.training import process\nprocess.end_with_dvc()\n"
        "import os\nprint(os.getpid(), flush=True)\ntime.sleep(30)\n",
        encoding="utf-8",
    )
    dvc = tmp_path / "dvc"
    dvc.write_text(
        f"import subprocess\nsubprocess.call('{sys.executable} {stage}; true', shell=True)\n",
        encoding="utf-8",
    )
    environment = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"}
    started = subprocess.Popen(
        [sys.executable, str(dvc), "repro"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment | ({"DVC_STAGE": "train"} if in_stage else {}),
        start_new_session=True,
    )
    assert started.stdout is not None
    pid = int(started.stdout.readline())
    try:
        started.kill()
        started.wait()
        assert ended_within(pid, 10 if in_stage else 2) is in_stage
    finally:
        if psutil.pid_exists(pid):
            psutil.Process(pid).kill()
        started.stdout.close()
