"""`dvc repro` as users know it, and in bad luck: killed, interrupted, started twice.

One file, so that one process runs it all and makes the finished project once.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time

import psutil
import pytest
from filelock import FileLock
from tiny_project import Project

from repro.harness.doctor import RWLOCK, lock_file, rwlock_damaged

pytestmark = pytest.mark.slow


def trained(output: str) -> list[str]:
    """What was trained, as 'experiment phase', by the lines that say so."""
    return re.findall(r"^(\w+ \w+): \d+ models to train$", output, re.MULTILINE)


def test_it_trains_writes_evidence_verdicts_and_report_and_says_where(finished: Project) -> None:
    evidence = finished.evidence()
    assert sorted(evidence) == [
        "amplification.csv",
        "bilevel.csv",
        "comparative.csv",
        "detection.csv",
        "exposure.csv",
        "families.csv",
        "latent.csv",
        "membership_metric.csv",
        "mitigation.csv",
        "pair_counts.csv",
        "poison_rate.csv",
        "poison_statistics.csv",
        "regularisers.csv",
        "sources.csv",
        "targeted.csv",
        "transparency.csv",
        "trigger_by_model.csv",
        "tuning.csv",
    ]
    verdicts = json.loads((finished.root / "reports/tiny/verdicts.json").read_text())
    too_small = [v for v in verdicts if "n too small" in v["reason"]]
    assert {v["verdict"] for v in too_small} == {"inconclusive"}
    assert "truong-09" in {v["id"] for v in too_small}
    assert (finished.root / "reports/tiny/README.md").stat().st_size > 5000


def test_a_second_time_it_trains_nothing_and_changes_nothing(reproduced: Project) -> None:
    before = {p: p.read_bytes() for p in (reproduced.root / "reports").rglob("*") if p.is_file()}
    output = reproduced.reproduce()
    assert trained(output) == []
    assert "nothing to train" in output
    assert before == {p: p.read_bytes() for p in (reproduced.root / "reports").rglob("*") if p.is_file()}


def test_a_fresh_clone_trains_again_although_the_evidence_is_there(reproduced: Project) -> None:
    """Weights and records are not in git."""
    for folder in (".repro", "data", ".dvc/cache"):
        shutil.rmtree(reproduced.root / folder, ignore_errors=True)
    before = reproduced.evidence()
    status, output = reproduced.run("dvc", "repro", "experiment@tiny-sources")
    assert status == 0, output
    assert trained(output) == ["sources train"]
    assert reproduced.evidence() == before


def test_a_retraining_parameter_retrains_and_trains_no_poisoned_model(reproduced: Project) -> None:
    reproduced.change("repro/profiles/tiny.yaml", "  epochs: 2\npoison_rate", "  epochs: 3\npoison_rate")
    assert sorted(trained(reproduced.reproduce())) == ["transparency retrain", "trigger_by_model retrain"]


def test_a_tolerance_and_a_template_train_nothing(reproduced: Project) -> None:
    reproduced.change("repro/papers/truong2020/claims.yaml", "minimum: 0.05", "minimum: 0.06")
    reproduced.change("repro/report/wording.py", "import", "# changed\nimport", 1)
    output = reproduced.reproduce()
    assert trained(output) == []
    assert "Running stage 'claims@tiny'" in output
    assert "Running stage 'report@tiny'" in output
    assert "Running stage 'experiment" not in output


def test_changed_training_code_is_trained_anew_and_a_comment_is_not(reproduced: Project) -> None:
    """A row computed by older code is never taken for a current one."""
    reproduced.change("repro/attacks/dirty_label.py", "shift = ", "# why\n    shift = ")
    assert trained(reproduced.reproduce()) == []
    reproduced.change("repro/attacks/dirty_label.py", "shift = ", "shift = 0 + ")
    # Encoders, in the same module, meet no such attack.
    assert trained(reproduced.reproduce()) == ["exposure expose"]


def test_a_new_piece_leaves_every_experiment_alone(reproduced: Project) -> None:
    piece = reproduced.root / "repro/triggers/nothing.py"
    piece.write_text('"""A trigger that nothing uses."""\n\nOPTIONS: dict[str, object] = {}\n')
    assert trained(reproduced.reproduce()) == []


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
    """Wait until no process of ours works in the project any more; one that is still starting takes longest."""
    deadline = time.monotonic() + 30
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


def mend(project: Project) -> None:
    """Do what the README says where DVC was killed while it wrote a file of its own, and in that case alone."""
    if rwlock_damaged(project.root):
        (project.root / RWLOCK).unlink()
    lock = project.root / "dvc.lock"
    if lock_file(lock).startswith("damaged"):
        lock.unlink()


def test_killed_at_random_moments_it_resumes_to_the_same_evidence(
    project: Project, finished: Project
) -> None:
    chance = random.Random()
    moments = [(chance.uniform(3, 10), group) for group in (True, False, True)]
    for seconds, group in moments:
        kill_at(project, seconds, group=group)
        mend(project)
    output = project.reproduce()
    evidence = {name: table for name, table in project.evidence().items() if table.strip()}
    assert sorted(evidence) == ["exposure.csv", "trigger_by_model.csv"]
    expected = {name: table for name, table in finished.evidence().items() if name in evidence}
    assert evidence == expected, f"killed at {moments}\n{output}"
    assert not list((project.root / ".repro/store").glob("??/.new-*"))


def test_an_rwlock_that_dvc_was_killed_at_is_mended_by_its_removal(project: Project) -> None:
    """DVC itself does not recover from it."""
    path = project.root / RWLOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"write": {"')
    status, output = project.run("dvc", "repro", "fetch@tiny")
    assert status != 0
    assert f"Unable to read RWLock-file '{RWLOCK}'" in output
    mend(project)
    status, output = project.run("dvc", "repro", "fetch@tiny")
    assert status == 0, output


def test_an_interrupted_run_keeps_finished_models_and_says_how_to_go_on(project: Project) -> None:
    process = project.start("repro", "run", "exposure", "--profile", "tiny")
    store = project.root / ".repro/store"
    deadline = time.monotonic() + 60
    while not list(store.glob("??/*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert "interrupted; finished models are kept, the same command continues from them" in output
    assert "Traceback" not in output
    wait_for_end(project)
    status, output = project.run("repro", "run", "exposure", "--profile", "tiny")
    assert status == 0, output
    assert re.search(r"\d+ of \d+ models are cached", output)


def test_of_two_at_once_the_second_says_so(project: Project) -> None:
    first = project.start("dvc", "repro")
    deadline = time.monotonic() + 60
    while not (project.root / "data/fetched/tiny.json").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)  # well into the first training stage
    status, output = project.run("dvc", "repro")
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert status != 0
    assert re.search(r"busy|blocked|Unable to acquire lock", output), output


def test_training_beside_training_is_refused_by_the_store(project: Project) -> None:
    store = project.root / ".repro/store"
    store.mkdir(parents=True)
    (store / "owner").write_text("4711")
    with FileLock(store / "lock"):
        status, output = project.run("repro", "run", "exposure", "--phase", "train", "--profile", "tiny")
    assert status == 2
    assert output.strip().splitlines()[-1].startswith("repro: another run (process 4711) is training in")


def workers_of(pid: int) -> list[psutil.Process]:
    """Training processes: they have no name of their own, but a parent that a run has started."""
    return [worker for server in psutil.Process(pid).children() for worker in server.children()]


def test_a_worker_that_is_killed_is_one_clear_line(project: Project) -> None:
    process = project.start("repro", "run", "trigger_by_model", "--phase", "train", "--profile", "tiny")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if workers := workers_of(process.pid):
            workers[0].kill()
            break
        time.sleep(0.02)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    assert (
        "a training process was killed (out of memory?); finished models are kept, run again to go on"
        in output
    )
