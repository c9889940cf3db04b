"""A training process ends when its parent does, and a stage with its ``dvc``."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest


def python(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
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


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_a_process_ends_soon_after_the_one_it_watches() -> None:
    watched = python("import time; time.sleep(60)")
    watching = python(
        "import sys, time, psutil\n"
        "from repro.harness import lifetime\n"
        f"lifetime.end_with(psutil.Process({watched.pid}))\n"
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
        "import time\nfrom repro.harness import lifetime\nlifetime.end_with_dvc()\n"
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
