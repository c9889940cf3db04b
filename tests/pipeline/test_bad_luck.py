"""Killed, interrupted, started twice: nothing is lost and the evidence comes out the same."""

import os
import random
import re
import signal
import subprocess
import time

import psutil
import pytest
from tiny_project import Project


def kill_at(project: Project, seconds: float, *, group: bool) -> None:
    """Start `dvc repro` and SIGKILL it, alone or with its children, after some seconds."""
    process = project.start("dvc", "repro")
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        if group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        wait_for_end(project)


def wait_for_end(project: Project) -> None:
    """Wait until no process of ours works in the project any more, five seconds at most."""
    deadline = time.monotonic() + 5
    while left := training(project):
        assert time.monotonic() < deadline, f"still alive: {left}"
        time.sleep(0.1)


def training(project: Project) -> list[list[str]]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(project.root) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.cmdline())
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
    return found


@pytest.mark.slow
def test_killed_at_random_moments_it_resumes_to_the_same_evidence(
    project: Project, finished: Project
) -> None:
    chance = random.Random()
    moments = [(chance.uniform(3, 12), True), (chance.uniform(3, 12), False), (chance.uniform(3, 12), True)]
    for seconds, group in moments:
        kill_at(project, seconds, group=group)
    output = project.reproduce()
    assert project.evidence() == finished.evidence(), f"killed at {moments}\n{output}"
    assert not list((project.root / ".repro/store").glob(".new-*"))


def test_an_interrupted_run_keeps_whole_fleets_and_says_how_to_go_on(project: Project) -> None:
    process = project.start("repro", "run", "exposure", "--profile", "tiny")
    store = project.root / ".repro/store"
    deadline = time.monotonic() + 60
    while not list(store.glob("*/records.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert "interrupted; finished fleets are kept, the same command goes on from them" in output
    assert "Traceback" not in output
    wait_for_end(project)
    status, output = project.run("repro", "run", "exposure", "--profile", "tiny")
    assert status == 0, output
    assert re.search(r"\d+ of \d+ fleets are cached", output)


def test_of_two_at_once_the_second_says_so(project: Project) -> None:
    first = project.start("dvc", "repro")
    time.sleep(2.5)
    status, output = project.run("dvc", "repro")
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert status != 0
    assert re.search(r"busy|blocked|Unable to acquire lock", output), output


def test_training_beside_training_is_refused_by_the_store(project: Project) -> None:
    from filelock import FileLock

    store = project.root / ".repro/store"
    store.mkdir(parents=True)
    (store / "owner").write_text("4711")
    with FileLock(store / "lock"):
        status, output = project.run("repro", "run", "sources", "--phase", "train", "--profile", "tiny")
    assert status == 2
    assert output.strip().splitlines()[-1].startswith("repro: another run (process 4711) is training in")


def test_a_worker_that_is_killed_is_one_clear_line(project: Project) -> None:
    process = project.start("repro", "run", "regularisers", "--phase", "train", "--profile", "tiny")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        workers = [
            child
            for child in psutil.Process(process.pid).children()
            if "multiprocessing.spawn" in " ".join(child.cmdline())
        ]
        if workers:
            workers[0].kill()
            break
        time.sleep(0.02)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    assert (
        "a training process was killed (out of memory?); finished fleets are kept, run again to go on"
        in output
    )
